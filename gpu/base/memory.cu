#include <cstdint>
#include <string>

#include "gpu/base/launch.cuh"
#include "gpu/base/memory.h"

namespace tacit::gpu {
namespace {

std::string Figures(size_t bytes) {
  size_t free = 0, total = 0;
  std::string text =
      std::to_string(bytes) + " bytes of device memory asked for";
  if (cudaMemGetInfo(&free, &total) == cudaSuccess) {
    text +=
        ", " + std::to_string(free) + " of " + std::to_string(total) + " free";
  }
  return text;
}

Error Copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
           StreamHandle stream) {
  if (bytes == 0) return {};
  return FromCuda(cudaMemcpyAsync(to, from, bytes, kind, stream), "copy");
}

}  // namespace

Result<DeviceMemory> DeviceMemory::Create(size_t bytes) {
  DeviceMemory memory;
  if (bytes == 0) return Result<DeviceMemory>(std::move(memory));
  TACIT_RETURN_IF_CUDA_ERROR(cudaGetDevice(&memory.device_), "device memory");
  if (const cudaError_t code = cudaMalloc(&memory.data_, bytes);
      code != cudaSuccess) {
    memory.data_ = nullptr;
    return FromCuda(code, Figures(bytes));
  }
  memory.bytes_ = bytes;
  return Result<DeviceMemory>(std::move(memory));
}

void DeviceMemory::Release() {
  if (data_ == nullptr) return;
  int current = 0;
  (void)cudaGetDevice(&current);
  (void)cudaSetDevice(device_);
  // Work on other streams may still use it.
  (void)cudaDeviceSynchronize();
  (void)cudaMemset(data_, 0, bytes_);
  (void)cudaFree(data_);
  (void)cudaSetDevice(current);
  data_ = nullptr;
  bytes_ = 0;
}

Result<void*> AllocateInOrder(size_t bytes, StreamHandle stream) {
  void* memory = nullptr;
  if (bytes == 0) return memory;
  if (const cudaError_t code = cudaMallocAsync(&memory, bytes, stream);
      code != cudaSuccess) {
    return FromCuda(code, Figures(bytes));
  }
  return memory;
}

Error FreeInOrder(void* memory, size_t bytes, StreamHandle stream) {
  if (memory == nullptr) return {};
  TACIT_GPU_RETURN_IF_ERROR(Wipe(memory, bytes, stream));
  return FromCuda(cudaFreeAsync(memory, stream), "free");
}

Error KeepFreedMemory(int index) {
  cudaMemPool_t pool = nullptr;
  TACIT_RETURN_IF_CUDA_ERROR(cudaDeviceGetDefaultMemPool(&pool, index),
                             "memory pool");
  uint64_t all = UINT64_MAX;
  return FromCuda(
      cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all),
      "memory pool");
}

Error CopyToDevice(void* device, const void* host, size_t bytes,
                   StreamHandle stream) {
  return Copy(device, host, bytes, cudaMemcpyHostToDevice, stream);
}

Error CopyToHost(void* host, const void* device, size_t bytes,
                 StreamHandle stream) {
  return Copy(host, device, bytes, cudaMemcpyDeviceToHost, stream);
}

Error CopyOnDevice(void* to, const void* from, size_t bytes,
                   StreamHandle stream) {
  return Copy(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

Error Wipe(void* device, size_t bytes, StreamHandle stream) {
  if (bytes == 0) return {};
  return FromCuda(cudaMemsetAsync(device, 0, bytes, stream), "wipe");
}

Error Synchronize(StreamHandle stream) {
  return FromCuda(cudaStreamSynchronize(stream), "waiting for the device");
}

Error SynchronizeDevice() {
  return FromCuda(cudaDeviceSynchronize(), "waiting for the device");
}

}  // namespace tacit::gpu
