#include "gpu/session/device.h"

#include <optional>
#include <utility>

#include "common/base/status_macros.h"
#include "gpu/base/device.h"
#include "gpu/base/memory.h"
#include "gpu/base/status.h"
#include "gpu/session/session.h"

namespace tacit::gpu {

absl::StatusOr<std::unique_ptr<Device>> Device::Open(int index) {
  ASSIGN_OR_RETURN(const DeviceInfo info, ToStatusOr(QueryDevice(index)));
  RETURN_IF_ERROR(ToStatus(UseDevice(index)));
  RETURN_IF_ERROR(ToStatus(KeepFreedMemory(index)));
  ASSIGN_OR_RETURN(std::shared_ptr<const RingGemm> gemm,
                   ToStatusOr(CreateRingGemm()));
  ASSIGN_OR_RETURN(std::shared_ptr<Kernels> kernels,
                   ToStatusOr(CreateCudaKernels(gemm)));
  return std::unique_ptr<Device>(new Device(index, info.name, info.memory_total,
                                            std::move(gemm),
                                            std::move(kernels)));
}

absl::StatusOr<std::unique_ptr<Accelerator>> Device::StartSession() {
  RETURN_IF_ERROR(ToStatus(UseDevice(index_)));
  ASSIGN_OR_RETURN(std::shared_ptr<Kernels> kernels,
                   ToStatusOr(CreateCudaKernels(gemm_)));
  return std::make_unique<Session>(std::move(kernels), weights_);
}

absl::Status Device::CheckHealth() const {
  return ToStatus(gpu::CheckHealth(index_));
}

absl::StatusOr<std::unique_ptr<Device>> OpenDevice(absl::string_view name) {
  ASSIGN_OR_RETURN(const std::optional<int> index, ParseDevice(name));
  if (!index) return nullptr;
  return Device::Open(*index);
}

AcceleratorFactory SessionsOn(Device* device) {
  if (device == nullptr) return {};
  return [device](int) { return device->StartSession(); };
}

}  // namespace tacit::gpu
