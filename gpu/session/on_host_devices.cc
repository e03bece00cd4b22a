// Linked with tests of gates, layers and models: their roles compute on
// devices.
#include "common/gates/testing.h"
#include "gpu/session/host_device_testing.h"

namespace tacit::gpu {
namespace {

const bool kSet = [] {
  // Every record a block of its own, so that blocks begin anywhere.
  static HostDevices devices({-1, 0, 1}, size_t{4} << 30, /*block_bytes=*/1);
  DefaultAccelerator() = devices.factory();
  return true;
}();

}  // namespace
}  // namespace tacit::gpu
