// Launches on the device, and the conversion of CUDA's errors. For .cu files.
#ifndef TACIT_GPU_BASE_LAUNCH_CUH_
#define TACIT_GPU_BASE_LAUNCH_CUH_

#include <cuda_runtime.h>

#include <string_view>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"

namespace tacit::gpu {

// `what` with CUDA's own words and what to do; OK for cudaSuccess. Also clears
// the error where CUDA lets it be cleared.
//   RESOURCE_EXHAUSTED  out of memory
//   UNAVAILABLE         no device, a driver older than the toolkit, a device
//                       that is lost or that an earlier kernel made unusable
//   INTERNAL            anything else
Error FromCuda(cudaError_t code, std::string_view what);

#define TACIT_RETURN_IF_CUDA_ERROR(expr, what)                                \
  do {                                                                        \
    if (const cudaError_t tacit_code_ = (expr); tacit_code_ != cudaSuccess) { \
      return ::tacit::gpu::FromCuda(tacit_code_, what);                       \
    }                                                                         \
  } while (false)

template <typename Body>
__global__ void RunBody(Body body, Launch launch) {
  body(Thread{blockIdx.x, threadIdx.x, launch});
}

// Enqueues `body` for every thread of `launch` on `stream`. Reports a launch
// that CUDA refuses; what goes wrong while it runs is reported by a later call
// on the device.
template <typename Body>
Error LaunchBody(std::string_view name, Launch launch, const Body& body,
                 StreamHandle stream) {
  if (launch.blocks == 0) return {};
  RunBody<<<launch.blocks, launch.threads, 0, stream>>>(body, launch);
  return FromCuda(cudaGetLastError(), name);
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_LAUNCH_CUH_
