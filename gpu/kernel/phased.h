// Kernels whose threads work together, written so that the host can run every
// thread of them. gpu/base/launch.h serves those whose threads don't.
//
// A kernel is a struct of plain pointers and sizes, its arguments, with
//
//   struct Shared;                       // a block's shared memory
//   static constexpr uint32_t kThreads;  // of a block
//   static constexpr int kPhases;        // block-wide barriers lie between
//   template <int kPhase>
//   TACIT_HOST_DEVICE void Run(Shared& shared, const Thread& thread) const;
//
// The device runs it through LaunchPhased (phased_launch.cuh); RunPhasesOnHost
// runs the same bodies, block by block, phase by phase, thread by thread. What
// a thread needs after a barrier lies in `shared`.
#ifndef TACIT_GPU_KERNEL_PHASED_H_
#define TACIT_GPU_KERNEL_PHASED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "gpu/base/error.h"
#include "gpu/base/host_device.h"
#include "gpu/base/launch.h"

#ifdef __CUDA_ARCH__
#define TACIT_NO_UNROLL _Pragma("unroll 1")
#define TACIT_UNROLL_BY_8 _Pragma("unroll 8")
#else
#define TACIT_NO_UNROLL
#define TACIT_UNROLL_BY_8
#endif

namespace tacit::gpu {

inline constexpr uint32_t kWarp = 32;

TACIT_HOST_DEVICE inline uint32_t LaneOf(const Thread& thread) {
  return thread.thread % kWarp;
}
// The thread's warp among all of the launch, and how many there are.
TACIT_HOST_DEVICE inline size_t WarpOf(const Thread& thread) {
  return thread.index() / kWarp;
}
TACIT_HOST_DEVICE inline size_t WarpsOf(const Thread& thread) {
  return thread.stride() / kWarp;
}

namespace internal {

template <class Kernel, int kPhase>
void RunPhase(const Kernel& kernel, typename Kernel::Shared& shared,
              uint32_t block, Launch launch) {
  for (uint32_t thread = 0; thread < launch.threads; ++thread) {
    kernel.template Run<kPhase>(shared, Thread{block, thread, launch});
  }
}

template <class Kernel, int... kPhase>
void RunBlock(const Kernel& kernel, uint32_t block, Launch launch,
              std::integer_sequence<int, kPhase...>) {
  const auto shared = std::make_unique<typename Kernel::Shared>();
  (RunPhase<Kernel, kPhase>(kernel, *shared, block, launch), ...);
}

}  // namespace internal

// Blocks of one launch: enough for `items` threads, at most `most`, whose
// threads then stride over the rest (persistent blocks). 0 if there is nothing
// to do.
template <class Kernel>
Launch Persistent(size_t items, uint32_t most) {
  const Launch all = Cover(items, Kernel::kThreads);
  return {std::min(all.blocks, most), Kernel::kThreads};
}

template <class Kernel>
void RunPhasesOnHost(Launch launch, const Kernel& kernel) {
  for (uint32_t block = 0; block < launch.blocks; ++block) {
    internal::RunBlock(kernel, block, launch,
                       std::make_integer_sequence<int, Kernel::kPhases>());
  }
}

// What x_dispatch.h headers hand a kernel to, here: the host, in at most `most`
// blocks. DeviceLauncher (phased_launch.cuh) is the other one.
struct HostLauncher {
  uint32_t most = 3;

  template <class Kernel>
  Error operator()(std::string_view, const Kernel& kernel, size_t items) const {
    RunPhasesOnHost(Persistent<Kernel>(items, most), kernel);
    return {};
  }
  // Kernels that give every block work of its own.
  template <class Kernel>
  Error Blocks(std::string_view, const Kernel& kernel, uint32_t blocks) const {
    RunPhasesOnHost(Launch{blocks, Kernel::kThreads}, kernel);
    return {};
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_KERNEL_PHASED_H_
