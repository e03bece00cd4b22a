#include "gpu/ring/gemm_plan.h"

#include <algorithm>
#include <string>

#include "gpu/ring/gemv-inl.h"

namespace tacit::gpu {
namespace {

constexpr size_t kAlign = 256;
// Fewer columns than this at a time are not worth a call of the library.
constexpr size_t kLeastColumns = 256;

// Takes `bytes` at the end of the plan.
size_t Take(GemmPlan& plan, size_t bytes) {
  const size_t offset = plan.bytes;
  plan.bytes += LimbShape::Up(bytes, kAlign);
  return offset;
}

size_t SumsBytes(const RingProduct& p, size_t columns) {
  return LimbShape::Up(
      p.batch * LimbsOf(p.width) * p.m * columns * sizeof(int32_t), kAlign);
}

// Matrices that have to be taken apart: one if all of a batch are the same.
size_t Distinct(const GemmOperand& operand, size_t batch) {
  return operand.batch_stride == 0 ? std::min<size_t>(batch, 1) : batch;
}

std::string Sizes(const RingProduct& p) {
  return "product of " + std::to_string(p.m) + " x " + std::to_string(p.k) +
         " by " + std::to_string(p.k) + " x " + std::to_string(p.n) +
         ", width " + std::to_string(p.width) + ", batch " +
         std::to_string(p.batch);
}

Error Invalid(const RingProduct& p, const std::string& why) {
  return Error(Code::kInvalidArgument, Sizes(p) + ": " + why);
}

bool Aligned(const void* pointer, size_t to) {
  return reinterpret_cast<uintptr_t>(pointer) % to == 0;
}

// `rows` and `columns` of the operand as its layout has them.
Error CheckOperand(const RingProduct& p, const char* name,
                   const GemmOperand& operand, size_t rows, size_t columns) {
  const std::string side = std::string(name) + " operand";
  if (rows == 0 || columns == 0 || p.batch == 0) return {};
  if (operand.limbs != nullptr) {
    if (!Aligned(operand.limbs, 16) || operand.limb_batch_stride % 16 != 0) {
      return Invalid(p, side + ": limb planes are not aligned to 16 bytes");
    }
    return {};
  }
  if (operand.words == nullptr) return Invalid(p, side + " is missing");
  const size_t width = operand.layout == Layout::kRowMajor ? columns : rows;
  if (operand.ld < width) {
    return Invalid(p, side + ": row stride " + std::to_string(operand.ld) +
                          " is less than a row");
  }
  return {};
}

bool SizesAreBounded(const RingProduct& p) {
  constexpr size_t kMaxSize = size_t{1} << 31, kMaxMatrix = size_t{1} << 40;
  return p.m < kMaxSize && p.n < kMaxSize && p.k < kMaxSize &&
         p.m * p.k <= kMaxMatrix && p.n * p.k <= kMaxMatrix &&
         p.m * p.n <= kMaxMatrix && p.batch <= 65535;
}

}  // namespace

Error Check(const RingProduct& p) {
  if (p.width < 1 || p.width > 64) return Invalid(p, "width is not 1 .. 64");
  if (!SizesAreBounded(p)) return Invalid(p, "too large");
  if (p.b_digits != 0 && p.b_digits != 2 && p.b_digits != 3) {
    return Invalid(p, "right digits are not 2 or 3");
  }
  if (p.b_digits >= LimbsOf(p.width)) {
    return Invalid(p, "right digits are not fewer than the ring's");
  }
  TACIT_GPU_RETURN_IF_ERROR(CheckOperand(p, "left", p.a, p.m, p.k));
  TACIT_GPU_RETURN_IF_ERROR(CheckOperand(p, "right", p.b, p.k, p.n));
  if (p.m == 0 || p.n == 0 || p.batch == 0) return {};
  if (p.c == nullptr) return Invalid(p, "the result's place is missing");
  if (p.ldc < p.n) {
    return Invalid(p, "the result's row stride " + std::to_string(p.ldc) +
                          " is less than a row");
  }
  return {};
}

GemmPlan PlanFor(const RingProduct& p, bool has_library, size_t library_bytes,
                 bool least) {
  GemmPlan plan;
  plan.by_library = has_library && p.m > kGemvMaxRows;
  if (p.a.limbs == nullptr) {
    plan.left = Take(plan, Distinct(p.a, p.batch) * p.left().bytes());
  }
  if (p.b.limbs == nullptr) {
    plan.right = Take(plan, Distinct(p.b, p.batch) * p.right().bytes());
  }
  if (plan.by_library) {
    plan.library = Take(plan, library_bytes);
    plan.columns = p.right().stored_rows();
    if (least) plan.columns = std::min(plan.columns, kLeastColumns);
    plan.sums = Take(plan, SumsBytes(p, plan.columns));
  }
  return plan;
}

Result<GemmPlan> PlanWithin(const RingProduct& p, bool has_library,
                            size_t library_bytes, size_t bytes) {
  GemmPlan plan = PlanFor(p, has_library, library_bytes, /*least=*/false);
  const size_t least =
      PlanFor(p, has_library, library_bytes, /*least=*/true).bytes;
  if (bytes < least) {
    return Error(Code::kResourceExhausted,
                 Sizes(p) + " needs " + std::to_string(least) + " to " +
                     std::to_string(plan.bytes) + " bytes of workspace, not " +
                     std::to_string(bytes));
  }
  while (plan.bytes > bytes) {
    plan.columns = LimbShape::Up(plan.columns / 2, LimbShape::kRowUnit);
    plan.columns = std::max(plan.columns, kLeastColumns);
    plan.bytes = plan.sums + SumsBytes(p, plan.columns);
  }
  return plan;
}

DecomposeBody Decomposition(const LimbShape& shape, const GemmOperand& operand,
                            size_t batch, int8_t* limbs,
                            size_t limb_batch_stride) {
  // A row of limbs is a row of the left operand and a column of the right one.
  const bool along = (shape.operand == Operand::kLeft) ==
                     (operand.layout == Layout::kRowMajor);
  return {.shape = shape,
          .batch = batch,
          .words = operand.words,
          .row_stride = along ? operand.ld : 1,
          .depth_stride = along ? 1 : operand.ld,
          .batch_stride = operand.batch_stride,
          .limbs = limbs,
          .limb_batch_stride = limb_batch_stride};
}

}  // namespace tacit::gpu
