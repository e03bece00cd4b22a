// A device as services and programs use it.
#ifndef TACIT_GPU_SESSION_DEVICE_H_
#define TACIT_GPU_SESSION_DEVICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/device_name.h"
#include "common/gates/accelerator.h"
#include "gpu/session/cuda_kernels.h"
#include "gpu/session/weights.h"

namespace tacit::gpu {

using tacit::ParseDevice;

// A device of this process, with the weights on it. Sessions share both.
// Thread-safe; outlives its sessions.
class Device {
 public:
  // UNAVAILABLE in a build without CUDA, without a device or with too old a
  // driver; INVALID_ARGUMENT if there is no such device: in CUDA's words, with
  // what to do.
  static absl::StatusOr<std::unique_ptr<Device>> Open(int index);

  // For the calling thread, which uses the device from now on.
  // RESOURCE_EXHAUSTED with figures.
  absl::StatusOr<std::unique_ptr<Accelerator>> StartSession();

  // UNAVAILABLE once the device has failed this process: it must be restarted.
  absl::Status CheckHealth() const;

  int index() const { return index_; }
  const std::string& name() const { return name_; }
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  Device(int index, std::string name, size_t memory_bytes,
         std::shared_ptr<const RingGemm> gemm, std::shared_ptr<Kernels> kernels)
      : index_(index),
        name_(std::move(name)),
        memory_bytes_(memory_bytes),
        gemm_(std::move(gemm)),
        weights_(std::move(kernels)) {}

  const int index_;
  const std::string name_;
  const size_t memory_bytes_;
  const std::shared_ptr<const RingGemm> gemm_;
  Weights weights_;
};

// The device of that name (ParseDevice); null for "cpu".
absl::StatusOr<std::unique_ptr<Device>> OpenDevice(absl::string_view name);

// All roles' accelerators on one device, for programs that run them as threads;
// none for null.
AcceleratorFactory SessionsOn(Device* device);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_DEVICE_H_
