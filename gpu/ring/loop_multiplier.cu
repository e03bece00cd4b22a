#include "gpu/base/launch.cuh"
#include "gpu/ring/loop_multiplier.h"

namespace tacit::gpu {
namespace {

class LoopMultiplier : public Int8Multiplier {
 public:
  size_t workspace_bytes() const override { return 0; }
  Error Multiply(const Int8Product& product, void*,
                 StreamHandle stream) override {
    const LoopProductBody body{product};
    return LaunchBody("int8 product in loops", body.launch(), body, stream);
  }
};

}  // namespace

std::unique_ptr<Int8Multiplier> MakeLoopMultiplier() {
  return std::make_unique<LoopMultiplier>();
}

}  // namespace tacit::gpu
