// What a kernel that the device does not forgive leaves behind, in a program of
// its own since nothing works on the device afterwards: an error in CUDA's
// words from the next wait, an unhealthy device, and a process that lives on.
// Exit status: 0 as it should be, 1 not, 2 no device.
#include <cstdio>
#include <string>

#include "gpu/base/device.h"
#include "gpu/base/memory.h"
#include "gpu/check/fault.h"

namespace tacit::gpu {
namespace {

int Complain(const std::string& what) {
  std::fprintf(stderr, "gpu_fault_check: %s\n", what.c_str());
  return 1;
}

int Run() {
  if (const Result<int> count = DeviceCount(); !count.ok()) {
    std::fprintf(stderr, "gpu_fault_check: %s\n",
                 count.error().message().c_str());
    return 2;
  }
  if (const Error before = CheckHealth(0); !before.ok()) {
    return Complain("unwell before: " + before.message());
  }
  if (const Error launched = LaunchIllegalWrite(); !launched.ok()) {
    return Complain("launch: " + launched.message());
  }
  const Error waited = Synchronize(nullptr);
  const Error health = CheckHealth(0);
  if (waited.code() != Code::kUnavailable ||
      waited.message().find("illegal") == std::string::npos) {
    return Complain("the wait says: " + waited.message());
  }
  if (health.code() != Code::kUnavailable) {
    return Complain("health says: " + health.message());
  }
  std::printf("ok: %s\n", health.message().c_str());
  return 0;
}

}  // namespace
}  // namespace tacit::gpu

int main() { return tacit::gpu::Run(); }
