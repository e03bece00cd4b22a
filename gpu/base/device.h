// The CUDA devices of this machine. Every function is thread-safe and may be
// called in a build without CUDA, where it answers UNAVAILABLE.
#ifndef TACIT_GPU_BASE_DEVICE_H_
#define TACIT_GPU_BASE_DEVICE_H_

#include <cstddef>
#include <string>

#include "gpu/base/error.h"

namespace tacit::gpu {

struct DeviceInfo {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t memory_total = 0, memory_free = 0;  // bytes
  size_t l2_bytes = 0;
  int clock_khz = 0, memory_clock_khz = 0;  // highest, as the driver names them
  int memory_bus_bits = 0;
  int driver_version = 0, runtime_version = 0;  // 13000 is 13.0

  // What the figures above allow at most; 0 where they are not known.
  double MemoryBytesPerSecond() const;
  double Int8OperationsPerSecond() const;  // dense tensor cores, 2 per product
};

// At least 1. UNAVAILABLE if there is no device, or its driver is older than
// the runtime that this was built with: in CUDA's words, with what to do.
Result<int> DeviceCount();

// INVALID_ARGUMENT if there is no device `index`; as DeviceCount otherwise.
Result<DeviceInfo> QueryDevice(int index);

// Makes `index` the device of the calling thread's later calls.
Error UseDevice(int index);

// Whether device `index` still works for this process: runs a kernel and reads
// what it wrote. UNAVAILABLE once a kernel has done what the device does not
// forgive (an illegal address): nothing but a new process helps then. Needs a
// few bytes of device memory. For a service's health.
Error CheckHealth(int index);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_DEVICE_H_
