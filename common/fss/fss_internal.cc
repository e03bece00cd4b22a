#include "common/fss/fss_internal.h"

#include <stdio.h>
#include <stdlib.h>

namespace tacit::internal {

void Require(bool holds, const char* requirement) {
  if (holds) return;
  fprintf(stderr, "common/fss: requirement violated: %s\n", requirement);
  abort();
}

const AesRoundKeys& HashRoundKeys() {
  // The first 16 bytes of SHA-256("tacit/dpf/aes-128/v1"):
  //   printf %s tacit/dpf/aes-128/v1 | sha256sum | cut -c-32
  static constexpr uint8_t kHashKey[16] = {0x4f, 0x23, 0x36, 0x31, 0xf8, 0x7b,
                                           0x36, 0xf3, 0x2d, 0x11, 0x1a, 0x49,
                                           0x30, 0x8b, 0x2d, 0x1d};
  alignas(64) static const AesRoundKeys round_keys = [] {
    AesRoundKeys expanded;
    ExpandAesKey(kHashKey, expanded);
    return expanded;
  }();
  return round_keys;
}

}  // namespace tacit::internal
