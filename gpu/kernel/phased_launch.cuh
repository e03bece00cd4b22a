// Launches phased kernels (phased.h) on the device. For .cu files.
#ifndef TACIT_GPU_KERNEL_PHASED_LAUNCH_CUH_
#define TACIT_GPU_KERNEL_PHASED_LAUNCH_CUH_

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <utility>

#include "gpu/base/error.h"
#include "gpu/base/launch.cuh"
#include "gpu/kernel/phased.h"

namespace tacit::gpu {
namespace internal {

template <class Kernel, int... kPhase>
__device__ __forceinline__ void RunPhases(
    const Kernel& kernel, typename Kernel::Shared& shared, Launch launch,
    std::integer_sequence<int, kPhase...>) {
  const Thread thread{blockIdx.x, threadIdx.x, launch};
  (((kPhase == 0 ? void() : __syncthreads()),
    kernel.template Run<kPhase>(shared, thread)),
   ...);
}

// Shared memory is always the dynamic kind: tables exceed what is allowed
// statically.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads)
    RunPhasedKernel(const __grid_constant__ Kernel kernel, Launch launch) {
  extern __shared__ __align__(16) unsigned char tacit_shared[];
  RunPhases(kernel, *reinterpret_cast<typename Kernel::Shared*>(tacit_shared),
            launch, std::make_integer_sequence<int, Kernel::kPhases>());
}

// Blocks that the calling thread's device runs at once; at least 1. Asked once
// for each device. FAILED_PRECONDITION if it has not the shared memory.
template <class Kernel>
Error ResidentBlocks(std::string_view name, uint32_t& blocks) {
  constexpr int kMaxDevices = 64;
  static std::array<std::atomic<uint32_t>, kMaxDevices> known;
  int device = 0;
  TACIT_RETURN_IF_CUDA_ERROR(cudaGetDevice(&device), name);
  if (device < kMaxDevices && known[device] != 0) {
    blocks = known[device];
    return {};
  }
  constexpr size_t kShared = sizeof(typename Kernel::Shared);
  if (kShared > 48 * 1024) {
    int most = 0;
    TACIT_RETURN_IF_CUDA_ERROR(
        cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                               device),
        name);
    if (kShared > static_cast<size_t>(most)) {
      return Error(Code::kFailedPrecondition,
                   std::string(name) + ": " + std::to_string(kShared) +
                       " bytes of shared memory are needed, a block of this "
                       "device has at most " +
                       std::to_string(most) + "; take another variant of AES");
    }
    TACIT_RETURN_IF_CUDA_ERROR(
        cudaFuncSetAttribute(RunPhasedKernel<Kernel>,
                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(kShared)),
        name);
  }
  int each = 0, multiprocessors = 0;
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(
          &each, RunPhasedKernel<Kernel>, Kernel::kThreads, kShared),
      name);
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount,
                             device),
      name);
  blocks = static_cast<uint32_t>(std::max(1, each * multiprocessors));
  if (device < kMaxDevices) known[device] = blocks;
  return {};
}

}  // namespace internal

// Enqueues `kernel` on `stream` for `items` threads, in blocks that stay: no
// more than the device runs at once. Nothing for no items.
template <class Kernel>
Error LaunchPhased(std::string_view name, const Kernel& kernel, size_t items,
                   StreamHandle stream) {
  if (items == 0) return {};
  uint32_t resident = 0;
  TACIT_GPU_RETURN_IF_ERROR(internal::ResidentBlocks<Kernel>(name, resident));
  const Launch launch = Persistent<Kernel>(items, resident);
  internal::RunPhasedKernel<Kernel>
      <<<launch.blocks, launch.threads, sizeof(typename Kernel::Shared),
         stream>>>(kernel, launch);
  return FromCuda(cudaGetLastError(), name);
}

struct DeviceLauncher {
  StreamHandle stream;

  template <class Kernel>
  Error operator()(std::string_view name, const Kernel& kernel,
                   size_t items) const {
    return LaunchPhased(name, kernel, items, stream);
  }
  // Kernels that give every block work of its own, with little shared memory.
  template <class Kernel>
  Error Blocks(std::string_view name, const Kernel& kernel,
               uint32_t blocks) const {
    static_assert(sizeof(typename Kernel::Shared) <= 48 * 1024);
    if (blocks == 0) return {};
    const Launch launch{blocks, Kernel::kThreads};
    internal::RunPhasedKernel<Kernel>
        <<<launch.blocks, launch.threads, sizeof(typename Kernel::Shared),
           stream>>>(kernel, launch);
    return FromCuda(cudaGetLastError(), name);
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_KERNEL_PHASED_LAUNCH_CUH_
