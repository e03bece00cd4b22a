// Elementwise work on the device.
//
// An *op* is a struct of plain pointers (device memory) and sizes whose call
// does the work of one element,
//
//   TACIT_HOST_DEVICE void operator()(size_t i) const;
//
// and, where it has parameters that can be wrong, `bool Valid() const`. Ops
// stand in *_ops-inl.h with their formulas; RunOp takes those that ops.cu
// lists. Outputs may be inputs of the same element, but for ops that say
// otherwise.
#ifndef TACIT_GPU_ELEMENTWISE_MAP_H_
#define TACIT_GPU_ELEMENTWISE_MAP_H_

#include <cstddef>

#include "gpu/base/error.h"
#include "gpu/base/host_device.h"
#include "gpu/base/launch.h"

namespace tacit::gpu {

// The body (gpu/base/launch.h) of an op over n elements.
template <class Op>
struct MapBody {
  Op op;
  size_t n;

  TACIT_HOST_DEVICE void operator()(const Thread& thread) const {
    for (size_t i = thread.index(); i < n; i += thread.stride()) op(i);
  }
};

template <class Op>
Error CheckOp(const Op& op) {
  if constexpr (requires { op.Valid(); }) {
    if (!op.Valid()) {
      return Error(Code::kInvalidArgument,
                   "elementwise: a width, shift or size is out of range");
    }
  }
  return {};
}

// op(i) for i < n, in parallel, on `stream`; nothing for n = 0. Errors:
// INVALID_ARGUMENT as above; as LaunchBody (gpu/base/launch.cuh);
// UNAVAILABLE in a build without CUDA.
template <class Op>
Error RunOp(const Op& op, size_t n, StreamHandle stream);

// The same on the host.
template <class Op>
Error RunOpOnHost(const Op& op, size_t n, uint32_t most_blocks = 3) {
  TACIT_GPU_RETURN_IF_ERROR(CheckOp(op));
  Launch launch = Cover(n);
  if (launch.blocks > most_blocks) launch.blocks = most_blocks;
  RunOnHost(launch, MapBody<Op>{op, n});
  return {};
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_MAP_H_
