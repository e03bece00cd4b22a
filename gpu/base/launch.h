// Launches of one-dimensional grids whose threads do not talk to each other.
//
// The work of one thread is a *body*: a struct of plain values and pointers
// with
//
//   TACIT_HOST_DEVICE void operator()(const Thread& thread) const;
//
// defined in a header `x-inl.h`. `LaunchBody` (launch.cuh) runs it on the
// device, `RunOnHost` on the host, with the same indices.
#ifndef TACIT_GPU_BASE_LAUNCH_H_
#define TACIT_GPU_BASE_LAUNCH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"

// CUDA's stream and event, without CUDA's headers.
struct CUstream_st;
struct CUevent_st;

namespace tacit::gpu {

// A cudaStream_t. Null is CUDA's default stream.
using StreamHandle = CUstream_st*;

struct Launch {
  uint32_t blocks = 0;   // 0: nothing to do, and nothing is launched
  uint32_t threads = 0;  // of a block
};

inline constexpr uint32_t kDefaultThreads = 256;
inline constexpr size_t kMaxBlocks = 0x7fffffff;  // CUDA's limit of grid.x

// One thread for each of `count` items, and some that have none: a body checks
// `thread.index() < count`, or strides (`for (i = index(); i < count;
// i += stride())`), which is needed above kMaxBlocks * threads items.
inline constexpr Launch Cover(size_t count,
                              uint32_t threads = kDefaultThreads) {
  const size_t blocks = count / threads + (count % threads != 0);
  return {static_cast<uint32_t>(std::min(blocks, kMaxBlocks)), threads};
}

// Where a thread is in its launch.
struct Thread {
  uint32_t block;
  uint32_t thread;  // in its block
  Launch launch;

  TACIT_HOST_DEVICE size_t index() const {
    return size_t{block} * launch.threads + thread;
  }
  // Threads in the launch.
  TACIT_HOST_DEVICE size_t stride() const {
    return size_t{launch.blocks} * launch.threads;
  }
};

// All threads of a launch, one after the other.
template <typename Body>
void RunOnHost(Launch launch, const Body& body) {
  for (uint32_t block = 0; block < launch.blocks; ++block) {
    for (uint32_t thread = 0; thread < launch.threads; ++thread) {
      body(Thread{block, thread, launch});
    }
  }
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_LAUNCH_H_
