// What device.h, and what programs use of memory.h, answer in a build without
// CUDA.
#include "gpu/base/device.h"
#include "gpu/base/memory.h"

namespace tacit::gpu {
namespace {

Error NoCuda() {
  return Error(
      Code::kUnavailable,
      "this program was built without CUDA; use --device cpu, or build "
      "with TACIT_CUDA=on");
}

}  // namespace

Result<int> DeviceCount() { return NoCuda(); }
Result<DeviceInfo> QueryDevice(int) { return NoCuda(); }
Error UseDevice(int) { return NoCuda(); }
Error CheckHealth(int) { return NoCuda(); }
Error KeepFreedMemory(int) { return NoCuda(); }

}  // namespace tacit::gpu
