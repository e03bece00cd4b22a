#include "gpu/base/device.h"

namespace tacit::gpu {
namespace {

// Dense int8 multiply-adds of the tensor cores of one multiprocessor in one
// cycle, from the vendor's tables of peak rates.
int ProductsPerCycle(int major, int minor) {
  if (major == 8 && minor == 0) return 2048;
  if (major == 8) return 1024;
  if (major == 9) return 4096;
  if (major == 10) return 8192;
  return 0;
}

}  // namespace

double DeviceInfo::MemoryBytesPerSecond() const {
  return 2.0 * memory_clock_khz * 1e3 * memory_bus_bits / 8;  // both edges
}

double DeviceInfo::Int8OperationsPerSecond() const {
  return 2.0 * ProductsPerCycle(major, minor) * multiprocessors * clock_khz *
         1e3;
}

}  // namespace tacit::gpu
