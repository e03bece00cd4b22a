// What a product needs and how its workspace is divided: arithmetic alone, so
// that the host tests it.
#ifndef TACIT_GPU_RING_GEMM_PLAN_H_
#define TACIT_GPU_RING_GEMM_PLAN_H_

#include "gpu/ring/gemm.h"
#include "gpu/ring/limbs-inl.h"

namespace tacit::gpu {

// Offsets in the workspace; every part begins at a multiple of 256.
struct GemmPlan {
  bool by_library = false;  // else few rows at a time
  size_t left = 0;          // limb planes of the left operand, if it is words
  size_t right = 0;         // of the right one
  size_t library = 0;       // the multiplier's own
  size_t sums = 0;          // int32 [batch, limbs, m, columns]
  size_t columns = 0;       // of C at a time: a multiple of 16
  size_t bytes = 0;         // in all
};

// For all columns at once, or for as few as is sensible. `library_bytes` is the
// multiplier's workspace; `has_library` whether there is one.
GemmPlan PlanFor(const RingProduct& product, bool has_library,
                 size_t library_bytes, bool least);

// The plan with the most columns that fits into `bytes`. RESOURCE_EXHAUSTED
// with both figures if none does.
Result<GemmPlan> PlanWithin(const RingProduct& product, bool has_library,
                            size_t library_bytes, size_t bytes);

// How an operand given as words is taken apart.
DecomposeBody Decomposition(const LimbShape& shape, const GemmOperand& operand,
                            size_t batch, int8_t* limbs,
                            size_t limb_batch_stride);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMM_PLAN_H_
