// What cuda_kernels.h answers in a build without CUDA.
#include "gpu/kernel/no_cuda.h"

#include "gpu/session/cuda_kernels.h"

namespace tacit::gpu {

Result<std::shared_ptr<Kernels>> CreateCudaKernels(
    std::shared_ptr<const RingGemm>) {
  return NoCudaError();
}
Result<std::shared_ptr<const RingGemm>> CreateRingGemm() {
  return NoCudaError();
}

}  // namespace tacit::gpu
