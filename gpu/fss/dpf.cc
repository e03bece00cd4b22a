// What of dpf.h and one_hot.h needs no device.
#include "gpu/fss/dpf.h"

#include <string>

#include "gpu/fss/half_tree-inl.h"
#include "gpu/fss/one_hot.h"

namespace tacit::gpu {
namespace {

Error Invalid(const std::string& message) {
  return Error(Code::kInvalidArgument, "DPF: " + message);
}

Error CheckDomain(int m) {
  if (m >= 1 && m <= kMaxDomainBits) return {};
  return Invalid("a domain of " + std::to_string(m) + " bits, not of 1 to 64");
}

Error CheckPoints(const Points& points) {
  if (points.words != nullptr && points.width >= 1 && points.width <= 64 &&
      points.shift >= 0 && points.shift < 64) {
    return {};
  }
  return Invalid("points are null, or of width " +
                 std::to_string(points.width) + " and shift " +
                 std::to_string(points.shift));
}

Error CheckBatch(const DpfBatch& keys) {
  TACIT_GPU_RETURN_IF_ERROR(CheckDomain(keys.m));
  if (keys.party != 0 && keys.party != 1) {
    return Invalid("party " + std::to_string(keys.party));
  }
  // Party 0's direct strings are its stream's, and party 1's its record's.
  const bool direct = DpfIsDirect(keys.m);
  const bool reads = !direct || keys.party == 1;
  if (keys.key == nullptr || (reads && keys.material == nullptr)) {
    return Invalid("the stream's key or the material is null");
  }
  if (keys.field.block == 0) return Invalid("records of no elements");
  return {};
}

Error CheckSameRecords(const FieldLayout (&field)[2]) {
  if (field[0].n == field[1].n && field[0].block == field[1].block &&
      field[0].block != 0) {
    return {};
  }
  return Invalid("the parties' records differ in their elements");
}

Error CheckOneHot(int m, int width) {
  if (m >= 1 && m <= kMaxOneHotBits && width >= 1 && width <= 64) return {};
  return Invalid("one-hot vectors of 2^" + std::to_string(m) + " entries of " +
                 std::to_string(width) +
                 " bits; 1 to 24 and 1 to 64 are taken");
}

}  // namespace

Error CheckArgs(const OneHotGenArgs& args) {
  if (args.field[0].n == 0 && args.field[1].n == 0) return {};
  TACIT_GPU_RETURN_IF_ERROR(CheckOneHot(args.m, args.width));
  TACIT_GPU_RETURN_IF_ERROR(CheckPoints(args.alpha));
  TACIT_GPU_RETURN_IF_ERROR(CheckSameRecords(args.field));
  for (int b = 0; b < 2; ++b) {
    if (args.key[b] == nullptr || args.material[b] == nullptr) {
      return Invalid("a stream's key or a party's material is null");
    }
  }
  return {};
}

Error CheckArgs(const OneHotEvalArgs& args) {
  if (args.field.n == 0) return {};
  TACIT_GPU_RETURN_IF_ERROR(CheckOneHot(args.m, args.width));
  TACIT_GPU_RETURN_IF_ERROR(CheckPoints(args.top));
  if (args.party != 0 && args.party != 1) {
    return Invalid("party " + std::to_string(args.party));
  }
  if (args.key == nullptr || args.material == nullptr || args.out == nullptr) {
    return Invalid("the stream's key, the material or the output is null");
  }
  if (args.size == 0 || args.size > uint64_t{1} << args.m ||
      args.field.block == 0) {
    return Invalid("vectors of " + std::to_string(args.size) +
                   " entries in a domain of " + std::to_string(args.m) +
                   " bits, records of " + std::to_string(args.field.block));
  }
  return {};
}

Error CheckArgs(const DpfGenArgs& args) {
  if (args.field[0].n == 0 && args.field[1].n == 0) return {};
  TACIT_GPU_RETURN_IF_ERROR(CheckDomain(args.m));
  TACIT_GPU_RETURN_IF_ERROR(CheckPoints(args.alpha));
  TACIT_GPU_RETURN_IF_ERROR(CheckSameRecords(args.field));
  const bool writes0 = !DpfIsDirect(args.m);
  if (args.key[0] == nullptr || args.key[1] == nullptr ||
      args.positive == nullptr || args.material[1] == nullptr ||
      (writes0 && args.material[0] == nullptr)) {
    return Invalid("a stream's key, a party's material or `positive` is null");
  }
  return {};
}

Error CheckArgs(const DpfPathArgs& args) {
  if (args.keys.field.n == 0) return {};
  TACIT_GPU_RETURN_IF_ERROR(CheckBatch(args.keys));
  TACIT_GPU_RETURN_IF_ERROR(CheckPoints(args.points));
  if (args.out == nullptr) return Invalid("the output is null");
  return {};
}

Error CheckArgs(const DpfWindowArgs& args) {
  if (args.keys.field.n == 0) return {};
  TACIT_GPU_RETURN_IF_ERROR(CheckBatch(args.keys));
  TACIT_GPU_RETURN_IF_ERROR(CheckPoints(args.start));
  const bool fits = args.keys.m == 64 || args.length <= uint64_t{1}
                                                            << args.keys.m;
  // 2^36 points are more than any table, and fewer than 2^32 passes.
  if (args.length == 0 || !fits || args.length > uint64_t{1} << 36) {
    return Invalid("a window of " + std::to_string(args.length) +
                   " points in a domain of " + std::to_string(args.keys.m) +
                   " bits");
  }
  if (args.table_count < 1 || args.table_count > 2 ||
      (args.interpolate && args.table_count != 2)) {
    return Invalid(std::to_string(args.table_count) +
                   " tables: 1, or 2 as interpolation needs");
  }
  for (int q = 0; q < args.table_count; ++q) {
    if (args.tables[q] == nullptr || args.out[q] == nullptr) {
      return Invalid("a table or its output is null");
    }
  }
  if (args.interpolate && (args.step_bits < 0 || args.step_bits >= 64 ||
                           args.value_shift < 0 || args.value_shift >= 64)) {
    return Invalid("interpolation by " + std::to_string(args.step_bits) +
                   " step bits, values shifted by " +
                   std::to_string(args.value_shift));
  }
  if (args.out_stride == 0) return Invalid("an output stride of 0");
  return {};
}

}  // namespace tacit::gpu
