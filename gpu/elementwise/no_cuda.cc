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

#define TACIT_GPU_INSTANTIATE(Op) \
  template Error RunOp<Op>(const Op&, size_t, StreamHandle);
TACIT_GPU_OPS(TACIT_GPU_INSTANTIATE)
#undef TACIT_GPU_INSTANTIATE

#define TACIT_GPU_INSTANTIATE(Term)                                          \
  template Error SumRows<Term>(const Term&, size_t, size_t, const uint64_t*, \
                               uint64_t*, StreamHandle);
TACIT_GPU_INSTANTIATE(WordTerm)
TACIT_GPU_INSTANTIATE(SquareTerm)
TACIT_GPU_INSTANTIATE(SelfSquareTerm)
#undef TACIT_GPU_INSTANTIATE

}  // namespace tacit::gpu
