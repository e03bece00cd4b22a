// Memory on the device, owned. It may hold secrets, so it is wiped before it is
// freed.
#ifndef TACIT_GPU_BASE_MEMORY_H_
#define TACIT_GPU_BASE_MEMORY_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"

namespace tacit::gpu {

// `bytes` of memory of the calling thread's device, aligned to 256. Contents
// are not initialised. Movable; the source is empty then.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  // RESOURCE_EXHAUSTED, with what was asked for and what is free, if the device
  // has too little.
  static Result<DeviceMemory> Create(size_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        device_(other.device_) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    if (this != &other) {
      Release();
      data_ = std::exchange(other.data_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
      device_ = other.device_;
    }
    return *this;
  }
  ~DeviceMemory() { Release(); }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  // Waits for the device, wipes and frees. An error ends up in CheckHealth.
  void Release();

  void* data_ = nullptr;
  size_t bytes_ = 0;
  int device_ = 0;
};

// Memory in the order of a stream, from what the device keeps for such use:
// without a wait. Aligned to 256. RESOURCE_EXHAUSTED with figures.
Result<void*> AllocateInOrder(size_t bytes, StreamHandle stream);
// Wipes and frees it for what comes after on `stream`, which may be another
// stream than that of its allocation if it is ordered behind that.
Error FreeInOrder(void* memory, size_t bytes, StreamHandle stream);
// Keeps memory that was freed so for later allocations, instead of giving it
// back to the device at each wait. For all of the process on device `index`.
Error KeepFreedMemory(int index);

// Enqueue on `stream`; sizes in bytes. The host memory must stay as it is until
// the stream got there, and is best pinned (pinned_ring.h): copies from other
// memory wait.
Error CopyToDevice(void* device, const void* host, size_t bytes,
                   StreamHandle stream);
Error CopyToHost(void* host, const void* device, size_t bytes,
                 StreamHandle stream);
Error CopyOnDevice(void* to, const void* from, size_t bytes,
                   StreamHandle stream);
Error Wipe(void* device, size_t bytes, StreamHandle stream);
// Waits. Reports what went wrong in anything that was enqueued before.
Error Synchronize(StreamHandle stream);

// The same of all streams of the calling thread's device.
Error SynchronizeDevice();

// An array on the device for tests and benchmarks: every copy waits.
template <typename T>
class DeviceArray {
 public:
  static Result<DeviceArray> Create(size_t size) {
    TACIT_GPU_ASSIGN_OR_RETURN(DeviceMemory memory,
                               DeviceMemory::Create(size * sizeof(T)));
    return DeviceArray(std::move(memory), size);
  }
  static Result<DeviceArray> Copy(const std::vector<T>& from) {
    TACIT_GPU_ASSIGN_OR_RETURN(DeviceArray array, Create(from.size()));
    TACIT_GPU_RETURN_IF_ERROR(CopyToDevice(array.data(), from.data(),
                                           from.size() * sizeof(T), nullptr));
    TACIT_GPU_RETURN_IF_ERROR(Synchronize(nullptr));
    return Result<DeviceArray>(std::move(array));
  }
  Result<std::vector<T>> ToHost() const {
    std::vector<T> host(size_);
    TACIT_GPU_RETURN_IF_ERROR(
        CopyToHost(host.data(), data(), size_ * sizeof(T), nullptr));
    TACIT_GPU_RETURN_IF_ERROR(Synchronize(nullptr));
    return Result<std::vector<T>>(std::move(host));
  }

  T* data() const { return static_cast<T*>(memory_.data()); }
  size_t size() const { return size_; }

 private:
  DeviceArray(DeviceMemory memory, size_t size)
      : memory_(std::move(memory)), size_(size) {}

  DeviceMemory memory_;
  size_t size_;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_MEMORY_H_
