#include <cstdint>

#include "gpu/base/device.h"
#include "gpu/check/check.h"

namespace tacit::gpu {
namespace {

TACIT_GPU_CHECK(Base, DeviceIsHealthy) { return CheckHealth(0); }

TACIT_GPU_CHECK(Base, CopiesThereAndBack) {
  std::mt19937_64 rng(1);
  for (size_t size : {0, 1, 1000, 1 << 20}) {
    const auto values = RandomValues<uint64_t>(size, rng);
    TACIT_GPU_ASSIGN_OR_RETURN(auto array, DeviceArray<uint64_t>::Copy(values));
    TACIT_GPU_ASSIGN_OR_RETURN(const auto read, array.ToHost());
    TACIT_GPU_RETURN_IF_ERROR(
        ExpectEqual("size " + std::to_string(size), read, values));
  }
  return {};
}

// The size is more than any device has: an error with figures, and the device
// works on.
TACIT_GPU_CHECK(Base, TooLittleMemoryIsAnErrorWithFigures) {
  const auto memory = DeviceMemory::Create(size_t{1} << 50);
  if (memory.ok() || memory.error().code() != Code::kResourceExhausted) {
    return Error(
        Code::kInternal,
        "2^50 bytes: " + (memory.ok() ? "given" : memory.error().message()));
  }
  return CheckHealth(0);
}

}  // namespace
}  // namespace tacit::gpu
