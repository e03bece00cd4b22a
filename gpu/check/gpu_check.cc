// Runs every check, or those whose name contains one of the arguments; with
// --small only those for compute-sanitizer. Prints a line for each. Exit
// status: 0 all passed, 1 one failed, 2 nothing could be run.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "gpu/base/device.h"
#include "gpu/check/check.h"

namespace tacit::gpu {
namespace {

struct Options {
  bool small = false;
  std::vector<std::string> names;
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--small") {
      options.small = true;
    } else {
      options.names.emplace_back(argv[i]);
    }
  }
  return options;
}

bool Wanted(const Options& options, const Check& check,
            const std::string& name) {
  if (options.small && !check.small) return false;
  if (options.names.empty()) return true;
  return std::any_of(options.names.begin(), options.names.end(),
                     [&](const std::string& part) {
                       return name.find(part) != std::string::npos;
                     });
}

int Run(const Options& options) {
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
    if (!Wanted(options, check, name)) continue;
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

int main(int argc, char** argv) {
  return tacit::gpu::Run(tacit::gpu::Parse(argc, argv));
}
