// Devices for tests: kernels on the host (host_kernels.h), one device a role.
#ifndef TACIT_GPU_SESSION_HOST_DEVICE_TESTING_H_
#define TACIT_GPU_SESSION_HOST_DEVICE_TESTING_H_

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/accelerator.h"
#include "gpu/session/host_kernels.h"
#include "gpu/session/session.h"

namespace tacit::gpu {

class HostDevices {
 public:
  // For `roles` of -1 (the dealer), 0 and 1; the others compute on the host.
  explicit HostDevices(const std::vector<int>& roles,
                       size_t capacity = size_t{2} << 30,
                       size_t block_bytes = Session::kBlockBytes)
      : block_bytes_(block_bytes) {
    for (int role : roles) {
      Device& device = devices_[role];
      device.arena = std::make_shared<HostArena>(capacity);
      device.weights = std::make_unique<Weights>(MakeHostKernels(device.arena));
    }
  }

  AcceleratorFactory factory() {
    return [this](int role) -> absl::StatusOr<std::unique_ptr<Accelerator>> {
      const auto it = devices_.find(role);
      if (it == devices_.end()) return nullptr;
      return std::make_unique<Session>(MakeHostKernels(it->second.arena),
                                       *it->second.weights, block_bytes_);
    };
  }

  // What sessions have not freed.
  size_t bytes_left() {
    size_t bytes = 0;
    for (auto& [role, device] : devices_) {
      device.weights.reset();
      bytes += device.arena->used();
    }
    return bytes;
  }

 private:
  struct Device {
    std::shared_ptr<HostArena> arena;
    std::unique_ptr<Weights> weights;
  };
  const size_t block_bytes_;
  std::map<int, Device> devices_;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_HOST_DEVICE_TESTING_H_
