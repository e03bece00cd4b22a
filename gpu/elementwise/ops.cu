#include "gpu/base/launch.cuh"
#include "gpu/elementwise/map.h"
#include "gpu/elementwise/op_list.h"
#include "gpu/elementwise/row_sum-inl.h"
#include "gpu/kernel/phased_launch.cuh"

namespace tacit::gpu {

template <class Op>
Error RunOp(const Op& op, size_t n, StreamHandle stream) {
  TACIT_GPU_RETURN_IF_ERROR(CheckOp(op));
  return LaunchBody("elementwise", Cover(n), MapBody<Op>{op, n}, stream);
}

template <class Term>
Error SumRows(const Term& term, size_t rows, size_t d, const uint64_t* add,
              uint64_t* out, StreamHandle stream) {
  return DispatchRowSum(term, rows, d, add, out, DeviceLauncher{stream});
}

TACIT_GPU_INSTANTIATE_OPS()

}  // namespace tacit::gpu
