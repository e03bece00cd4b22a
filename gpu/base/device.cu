#include <string>

#include "gpu/base/device.h"
#include "gpu/base/launch.cuh"
#include "gpu/base/memory.h"

namespace tacit::gpu {
namespace {

// A device that answers writes this and not what was there.
constexpr uint32_t kHealthy = 0x600df00d;

struct WriteHealthy {
  uint32_t* out;
  TACIT_HOST_DEVICE void operator()(const Thread& thread) const {
    if (thread.index() == 0) *out = kHealthy;
  }
};

Error Attribute(cudaDeviceAttr attribute, int device, int* value) {
  return FromCuda(cudaDeviceGetAttribute(value, attribute, device),
                  "device " + std::to_string(device));
}

Error MemoryFigures(DeviceInfo& info) {
  int current = 0;
  TACIT_RETURN_IF_CUDA_ERROR(cudaGetDevice(&current), "device memory");
  TACIT_GPU_RETURN_IF_ERROR(UseDevice(info.index));
  const cudaError_t code =
      cudaMemGetInfo(&info.memory_free, &info.memory_total);
  TACIT_GPU_RETURN_IF_ERROR(UseDevice(current));
  return FromCuda(code, "device memory");
}

}  // namespace

Result<int> DeviceCount() {
  int count = 0;
  TACIT_RETURN_IF_CUDA_ERROR(cudaGetDeviceCount(&count), "CUDA");
  if (count == 0) return FromCuda(cudaErrorNoDevice, "CUDA");
  return count;
}

Error UseDevice(int index) {
  TACIT_GPU_ASSIGN_OR_RETURN(const int count, DeviceCount());
  if (index < 0 || index >= count) {
    return Error(Code::kInvalidArgument,
                 "no CUDA device " + std::to_string(index) + ": there are " +
                     std::to_string(count) + ", numbered from 0");
  }
  return FromCuda(cudaSetDevice(index), "device " + std::to_string(index));
}

Result<DeviceInfo> QueryDevice(int index) {
  DeviceInfo info;
  info.index = index;
  TACIT_GPU_RETURN_IF_ERROR(DeviceCount().error());
  TACIT_GPU_RETURN_IF_ERROR(MemoryFigures(info));
  cudaDeviceProp properties;
  TACIT_RETURN_IF_CUDA_ERROR(cudaGetDeviceProperties(&properties, index),
                             "device " + std::to_string(index));
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.l2_bytes = properties.l2CacheSize;
  info.memory_bus_bits = properties.memoryBusWidth;
  TACIT_GPU_RETURN_IF_ERROR(
      Attribute(cudaDevAttrClockRate, index, &info.clock_khz));
  TACIT_GPU_RETURN_IF_ERROR(
      Attribute(cudaDevAttrMemoryClockRate, index, &info.memory_clock_khz));
  TACIT_RETURN_IF_CUDA_ERROR(cudaDriverGetVersion(&info.driver_version),
                             "driver");
  TACIT_RETURN_IF_CUDA_ERROR(cudaRuntimeGetVersion(&info.runtime_version),
                             "runtime");
  return info;
}

Error CheckHealth(int index) {
  TACIT_GPU_RETURN_IF_ERROR(UseDevice(index));
  TACIT_GPU_ASSIGN_OR_RETURN(auto word, DeviceArray<uint32_t>::Copy({0}));
  TACIT_GPU_RETURN_IF_ERROR(
      LaunchBody("health", Cover(1, 32), WriteHealthy{word.data()}, nullptr));
  TACIT_GPU_ASSIGN_OR_RETURN(const auto read, word.ToHost());
  if (read[0] == kHealthy) return {};
  return Error(Code::kUnavailable,
               "device " + std::to_string(index) +
                   " does not compute: a kernel's result did not arrive; "
                   "restart this process, then look at the hardware");
}

}  // namespace tacit::gpu
