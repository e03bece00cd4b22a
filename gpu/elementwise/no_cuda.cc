// What gpu/elementwise answers in a build without CUDA.
#include "gpu/kernel/no_cuda.h"

#include "gpu/elementwise/map.h"
#include "gpu/elementwise/op_list.h"
#include "gpu/elementwise/row_sum-inl.h"

namespace tacit::gpu {

template <class Op>
Error RunOp(const Op&, size_t, StreamHandle) {
  return NoCudaError();
}

template <class Term>
Error SumRows(const Term&, size_t, size_t, const uint64_t*, uint64_t*,
              StreamHandle) {
  return NoCudaError();
}

TACIT_GPU_INSTANTIATE_OPS()

}  // namespace tacit::gpu
