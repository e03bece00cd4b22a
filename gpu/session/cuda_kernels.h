// The kernels on a CUDA device.
#ifndef TACIT_GPU_SESSION_CUDA_KERNELS_H_
#define TACIT_GPU_SESSION_CUDA_KERNELS_H_

#include <memory>

#include "gpu/session/kernels.h"

namespace tacit::gpu {

// On streams of their own of the calling thread's device, on which `gemm` was
// made too. UNAVAILABLE in a build without CUDA; RESOURCE_EXHAUSTED if there is
// no pinned memory for copies.
Result<std::shared_ptr<Kernels>> CreateCudaKernels(
    std::shared_ptr<const RingGemm> gemm);

// cuBLASLt's products if it is there, slower ones else. UNAVAILABLE without a
// device.
Result<std::shared_ptr<const RingGemm>> CreateRingGemm();

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_CUDA_KERNELS_H_
