#include "gpu/base/launch.cuh"
#include "gpu/check/fault.h"

namespace tacit::gpu {
namespace {

struct WriteTo {
  uint64_t address;
  TACIT_HOST_DEVICE void operator()(const Thread& thread) const {
    if (thread.index() == 0) {
      *reinterpret_cast<volatile uint32_t*>(address) = 1;
    }
  }
};

}  // namespace

Error LaunchIllegalWrite() {
  // Inside the device's address space, far from anything that was given out.
  return LaunchBody("illegal write", Cover(1, 32), WriteTo{uint64_t{1} << 44},
                    nullptr);
}

}  // namespace tacit::gpu
