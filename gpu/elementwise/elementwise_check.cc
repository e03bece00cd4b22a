// Every op of op_list.h and the sums over rows, on the device against the same
// bodies on the host.
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gpu/base/memory.h"
#include "gpu/check/check.h"
#include "gpu/elementwise/map.h"
#include "gpu/elementwise/op_list.h"
#include "gpu/elementwise/row_sum-inl.h"
#include "gpu/kernel/phased.h"

namespace tacit::gpu {
namespace {

// Arrays that an op may read and write: words anywhere in 64 bits, bytes of one
// bit. kArray elements each, of which ops reach at most kArray.
constexpr size_t kWordArrays = 24, kByteArrays = 4, kArray = 8192;
constexpr size_t kSizes[] = {1, 255, 256, 257, 2001};

struct Arrays {
  uint64_t* w[kWordArrays];
  uint8_t* b[kByteArrays];
};

struct Pool {
  std::vector<uint64_t> words;
  std::vector<uint8_t> bytes;
};

Pool RandomPool(uint64_t seed) {
  std::mt19937_64 rng(seed);
  Pool pool{RandomValues<uint64_t>(kWordArrays * kArray, rng),
            RandomValues<uint8_t>(kByteArrays * kArray, rng)};
  for (uint8_t& byte : pool.bytes) byte &= 1;
  return pool;
}

Arrays Split(uint64_t* words, uint8_t* bytes) {
  Arrays arrays;
  for (size_t i = 0; i < kWordArrays; ++i) arrays.w[i] = words + i * kArray;
  for (size_t i = 0; i < kByteArrays; ++i) arrays.b[i] = bytes + i * kArray;
  return arrays;
}

// run(arrays, on the device): does the same to both; then all arrays are equal.
template <class Run>
Error CheckBoth(const std::string& name, const Run& run) {
  Pool host = RandomPool(name.size());
  TACIT_GPU_ASSIGN_OR_RETURN(auto words,
                             DeviceArray<uint64_t>::Copy(host.words));
  TACIT_GPU_ASSIGN_OR_RETURN(auto bytes,
                             DeviceArray<uint8_t>::Copy(host.bytes));
  TACIT_GPU_RETURN_IF_ERROR(
      run(Split(host.words.data(), host.bytes.data()), false));
  TACIT_GPU_RETURN_IF_ERROR(run(Split(words.data(), bytes.data()), true));
  TACIT_GPU_ASSIGN_OR_RETURN(const auto device_words, words.ToHost());
  TACIT_GPU_ASSIGN_OR_RETURN(const auto device_bytes, bytes.ToHost());
  TACIT_GPU_RETURN_IF_ERROR(
      ExpectEqual(name + " (words)", device_words, host.words));
  return ExpectEqual(name + " (bytes)", device_bytes, host.bytes);
}

// make(arrays) gives the op; n elements, or those that its items() name.
template <class Make>
Error CheckOpOf(const char* name, size_t n, const Make& make) {
  return CheckBoth(name + std::string(", n = ") + std::to_string(n),
                   [&](const Arrays& a, bool device) {
                     const auto op = make(a);
                     return device ? RunOp(op, n, nullptr) : RunOpOnHost(op, n);
                   });
}

#define TACIT_GPU_CHECK_OP(n, ...)     \
  TACIT_GPU_RETURN_IF_ERROR(CheckOpOf( \
      #__VA_ARGS__, n, [&](const Arrays& a) { return __VA_ARGS__; }))

TACIT_GPU_CHECK(Elementwise, RingOpsEqualTheReference) {
  for (size_t n : kSizes) {
    TACIT_GPU_CHECK_OP(n, AddOp{a.w[0], a.w[1], a.w[2]});
    TACIT_GPU_CHECK_OP(n, SubOp{a.w[0], a.w[1], a.w[0]});
    TACIT_GPU_CHECK_OP(n, MulOp{a.w[0], a.w[1], a.w[2]});
    TACIT_GPU_CHECK_OP(n, MulAddOp{a.w[0], a.w[1], a.w[2]});
    TACIT_GPU_CHECK_OP(n, MulSubOp{a.w[0], a.w[1], a.w[2]});
    TACIT_GPU_CHECK_OP(n, NegateOp{a.w[0], a.w[1]});
    TACIT_GPU_CHECK_OP(n, AddScalarOp{a.w[0], 77, a.w[1]});
    TACIT_GPU_CHECK_OP(n, MulScalarOp{a.w[0], ~uint64_t{9}, a.w[1]});
    for (int width : {1, 31, 32, 33, 63, 64}) {
      TACIT_GPU_CHECK_OP(n, ShiftRightOp{a.w[0], width, width - 1, a.w[1]});
      TACIT_GPU_CHECK_OP(n, ShiftLeftOp{a.w[0], width - 1, a.w[1]});
      TACIT_GPU_CHECK_OP(n, ReduceOp{a.w[0], width, a.w[1]});
    }
    TACIT_GPU_CHECK_OP(n, MulRowOp{a.w[0], a.w[1], 53, a.w[2]});
    TACIT_GPU_CHECK_OP(n, RepeatLastOp{a.w[0], 7, a.w[1]});
    TACIT_GPU_CHECK_OP(n, SliceLastOp{a.w[0], 8, 3, 2, a.w[1]});
    TACIT_GPU_CHECK_OP(
        n, TransposeOp{a.w[0], {3, 5, 7, 20}, {140, 1, 700, 35}, a.w[1]});
  }
  // Public row numbers, in range: hence a reduction first.
  TACIT_GPU_RETURN_IF_ERROR(
      CheckBoth("GatherRows", [](const Arrays& a, bool device) {
        const ReduceOp reduce{a.w[0], 7, a.w[0]};
        const GatherRowsOp gather{a.w[1], a.w[0], 16, a.w[2]};
        if (!device) {
          TACIT_GPU_RETURN_IF_ERROR(RunOpOnHost(reduce, 100));
          return RunOpOnHost(gather, 1600);
        }
        TACIT_GPU_RETURN_IF_ERROR(RunOp(reduce, 100, nullptr));
        return RunOp(gather, 1600, nullptr);
      }));
  for (bool interleaved : {false, true}) {
    TACIT_GPU_CHECK_OP(
        30 * 6, RotateOp{a.w[0], reinterpret_cast<const int64_t*>(a.w[1]), 10,
                         4, 2, 3, interleaved, 12, a.w[2]});
  }
  return {};
}

TACIT_GPU_SMALL_CHECK(Elementwise, PackingEqualsTheReference) {
  for (int width = 1; width <= 64; ++width) {
    FieldLayout field = OneRecord(1000, 0, 3);
    field.block = 64;
    field.bytes_step = 8 * width + 1;
    field.bytes_last = 15 * field.bytes_step + 5;
    const auto pack = [&](const Arrays& a) {
      return PackOp{a.w[0], field, width, reinterpret_cast<uint8_t*>(a.w[1])};
    };
    const size_t items = pack(Arrays{}).items();
    TACIT_GPU_RETURN_IF_ERROR(CheckOpOf("Pack", items, pack));
    TACIT_GPU_CHECK_OP(1000, UnpackOp{reinterpret_cast<const uint8_t*>(a.w[0]),
                                      field, width, a.w[1]});
  }
  FieldLayout bits = OneRecord(1000, 0, 1);
  bits.block = 24;
  bits.bytes_step = 4;
  bits.bytes_last = 41 * 4 + 2;
  const size_t items = PackBitsOp{nullptr, bits, nullptr}.items();
  TACIT_GPU_CHECK_OP(items, PackBitsOp{a.b[0], bits, a.b[1]});
  TACIT_GPU_CHECK_OP(1000, UnpackBitsOp{a.b[0], bits, a.b[1]});
  return {};
}

TACIT_GPU_CHECK(Elementwise, PartysOpsEqualTheReference) {
  for (size_t n : kSizes) {
    TACIT_GPU_CHECK_OP(n, OpenedOp{a.w[0], a.w[1], 37, a.w[2]});
    TACIT_GPU_CHECK_OP(n, XorBitsOp{a.b[0], a.b[1], a.b[2]});
    TACIT_GPU_CHECK_OP(n, NotBitsOp{a.b[0], a.b[1]});
    for (int party = 0; party < 2; ++party) {
      TACIT_GPU_CHECK_OP(n, ToShareOp{party, a.w[0], a.w[1], a.w[2]});
      TACIT_GPU_CHECK_OP(n,
                         CompareOp{party, 33, a.w[0], a.b[0], a.b[1], a.b[2]});
      TACIT_GPU_CHECK_OP(n, IntervalOp{party, 10, a.w[0], 20, 3, 7, 99, a.b[0],
                                       a.b[1], 3, a.b[2]});
      TACIT_GPU_CHECK_OP(
          n, ExtendOp{party, {a.w[0], 20, 1 << 18}, a.w[1], a.w[2], a.w[3]});
      TACIT_GPU_CHECK_OP(n, SelectOp{party, 3, a.b[0], a.w[0], a.w[1], a.w[2],
                                     a.w[3], a.w[4]});
      TACIT_GPU_CHECK_OP(n, BitToShareOp{party, a.b[0], a.w[0], a.w[1]});
      TACIT_GPU_CHECK_OP(n, MulGateOp{party, 5, a.w[0], a.w[1], a.w[2], a.w[3],
                                      a.w[4], a.w[5]});
      TACIT_GPU_CHECK_OP(n, SquareOp{{party, a.w[0], a.w[1]}, a.w[2], a.w[3]});
      TACIT_GPU_CHECK_OP(n, MulExtendOp{party,
                                        {a.w[0], 23, 0},
                                        5,
                                        nullptr,
                                        a.w[1],
                                        a.w[2],
                                        a.w[3],
                                        a.w[4],
                                        a.w[5],
                                        a.w[6],
                                        a.w[7]});
      TACIT_GPU_CHECK_OP(n, MulExtendBothOp{party,
                                            {a.w[0], 15, 1 << 13},
                                            {a.w[1], 21, 0},
                                            a.w[2],
                                            a.w[3],
                                            a.w[4],
                                            a.w[5],
                                            a.w[6],
                                            a.w[7],
                                            a.w[8],
                                            a.w[9],
                                            a.w[10]});
      TACIT_GPU_CHECK_OP(n, AddSquaresOp{party,
                                         {a.w[0], 31, 1 << 29},
                                         a.w[1],
                                         a.w[2],
                                         a.w[3],
                                         a.w[4],
                                         a.w[5],
                                         a.w[6],
                                         a.w[7]});
    }
    for (bool extends : {false, true}) {
      TACIT_GPU_CHECK_OP(
          n,
          WindowSumOp{{24, extends}, a.w[0], a.w[1], a.w[2], a.w[3], a.w[4]});
    }
    TACIT_GPU_CHECK_OP(n, MulPowerOp{a.w[0], a.w[1], a.w[2], 10, a.w[3]});
    TACIT_GPU_CHECK_OP(n, SegmentedOp{3, a.w[0], a.b[0], a.w[1], a.w[2], a.w[3],
                                      a.w[4], a.w[5]});
  }
  TACIT_GPU_CHECK_OP(7 * 32, HistogramOp{19, 32, a.w[0], a.w[1], a.w[20]});
  return {};
}

TACIT_GPU_CHECK(Elementwise, DealersOpsEqualTheReference) {
  for (size_t n : kSizes) {
    TACIT_GPU_CHECK_OP(n, MsbBitOp{a.w[0], 33, a.b[0]});
    TACIT_GPU_CHECK_OP(n, DealExtendOp{a.w[0], 20, a.w[1], a.w[2]});
    TACIT_GPU_CHECK_OP(n, DealSelectOp{3, a.b[0], a.w[0], a.w[1], a.w[2]});
    TACIT_GPU_CHECK_OP(n, DealMulOp{5, a.w[0], a.w[1], a.w[2]});
    TACIT_GPU_CHECK_OP(n, DealMulExtendOp{23, 5, nullptr, a.w[0], a.w[1],
                                          a.w[2], a.w[3], a.w[4], a.w[5]});
    TACIT_GPU_CHECK_OP(
        n, DealMulExtendBothOp{15, 21, a.w[0], a.w[1], a.w[2], a.w[3], a.w[4],
                               a.w[5], a.w[6], a.w[7], a.w[8], a.w[9]});
    TACIT_GPU_CHECK_OP(n, DealAddSquaresOp{31, a.w[0], a.w[1], a.w[2], a.w[3],
                                           a.w[4], a.w[5]});
    TACIT_GPU_CHECK_OP(n, SignOp{a.b[0], a.w[0]});
    TACIT_GPU_CHECK_OP(
        n, DealWindowSumOp{{24, true}, a.w[0], a.w[1], a.w[2], a.w[3]});
    TACIT_GPU_CHECK_OP(n, DealExp2Op{10, 26, a.w[0], a.w[1], a.b[0], a.w[2]});
    TACIT_GPU_CHECK_OP(n, DealSegmentedOp{a.b[0], a.b[1], a.w[0], a.w[1],
                                          a.w[2], a.w[3], a.w[4]});
    TACIT_GPU_CHECK_OP(n, DealHistogramOp{32, a.w[0], a.w[1]});
  }
  return {};
}

InterpolatedForm IdentityForm() {
  InterpolatedForm form;
  form.sum = {20, true};
  form.slope = {12, true};
  form.tail = Tail::kIdentity;
  form.tail_shift = 2;
  form.extends = true;
  form.x_width = 24;
  form.step_bits = 8;
  return form;
}

// The pool's first nine arrays are values, the next nine their products.
InterpolatedOp MakeForm(const Arrays& a, int party, bool times) {
  InterpolatedOp op{party,
                    IdentityForm(),
                    a.w[18],
                    a.w[19],
                    a.w[20],
                    a.b[0],
                    {},
                    {},
                    times ? a.w[21] : nullptr,
                    a.w[22],
                    a.w[23]};
  for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
    op.value[term] = a.w[term];
    op.times[term] = a.w[9 + term];
  }
  return op;
}
DealInterpolatedOp MakeDealtForm(const Arrays& a, bool times) {
  DealInterpolatedOp op{IdentityForm(),
                        a.b[0],
                        a.b[1],
                        a.w[18],
                        a.w[19],
                        a.w[20],
                        times ? a.w[21] : nullptr,
                        {},
                        {}};
  for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
    op.value[term] = a.w[term];
    op.times[term] = a.w[9 + term];
  }
  return op;
}

TACIT_GPU_CHECK(Elementwise, InterpolatedEqualsTheReference) {
  for (size_t n : kSizes) {
    for (bool times : {false, true}) {
      for (int party = 0; party < 2; ++party) {
        TACIT_GPU_CHECK_OP(n, MakeForm(a, party, times));
      }
      TACIT_GPU_CHECK_OP(n, MakeDealtForm(a, times));
    }
  }
  return {};
}

template <class MakeTerm>
Error CheckRowSum(const char* name, size_t rows, size_t d,
                  const MakeTerm& make) {
  return CheckBoth(name, [&](const Arrays& a, bool device) {
    const auto term = make(a);
    return device ? SumRows(term, rows, d, a.w[20], a.w[21], nullptr)
                  : DispatchRowSum(term, rows, d, a.w[20], a.w[21],
                                   HostLauncher());
  });
}

TACIT_GPU_SMALL_CHECK(Elementwise, RowSumsEqualTheReference) {
  for (size_t d : {0, 1, 63, 64, 65, 255, 256, 257, 800}) {
    TACIT_GPU_RETURN_IF_ERROR(CheckRowSum(
        "words", 9, d, [](const Arrays& a) { return WordTerm{a.w[0]}; }));
    TACIT_GPU_RETURN_IF_ERROR(CheckRowSum(
        "masks", 9, d, [](const Arrays& a) { return SelfSquareTerm{a.w[0]}; }));
    TACIT_GPU_RETURN_IF_ERROR(CheckRowSum("squares", 9, d, [](const Arrays& a) {
      return SquareTerm{1, a.w[0], a.w[1]};
    }));
  }
  return {};
}

}  // namespace
}  // namespace tacit::gpu
