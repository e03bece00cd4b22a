#include "gpu/check/check.h"

namespace tacit::gpu {

std::vector<Check>& Checks() {
  static std::vector<Check> checks;
  return checks;
}

}  // namespace tacit::gpu
