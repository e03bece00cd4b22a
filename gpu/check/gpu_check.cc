// Runs every check, or those whose name contains an argument; prints a line for
// each. Exit status: 0 all passed, 1 one failed, 2 nothing could be run.
#include <cstdio>
#include <string>

#include "gpu/base/device.h"
#include "gpu/check/check.h"

namespace tacit::gpu {
namespace {

bool Wanted(const std::string& name, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (name.find(argv[i]) != std::string::npos) return true;
  }
  return argc == 1;
}

int Run(int argc, char** argv) {
  Result<DeviceInfo> device = QueryDevice(0);
  if (!device.ok()) {
    std::fprintf(stderr, "gpu_check: %s\n", device.error().message().c_str());
    return 2;
  }
  std::printf("device %s, compute capability %d.%d, %zu MiB\n",
              device->name.c_str(), device->major, device->minor,
              device->memory_total >> 20);
  int passed = 0, failed = 0;
  for (const Check& check : Checks()) {
    const std::string name = std::string(check.suite) + "." + check.name;
    if (!Wanted(name, argc, argv)) continue;
    const Error error = check.run();
    std::printf("%-6s %s%s%s\n", error.ok() ? "ok" : "FAILED", name.c_str(),
                error.ok() ? "" : ": ", error.message().c_str());
    std::fflush(stdout);
    ++(error.ok() ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  if (failed > 0) return 1;
  return passed > 0 ? 0 : 2;
}

}  // namespace
}  // namespace tacit::gpu

int main(int argc, char** argv) { return tacit::gpu::Run(argc, argv); }
