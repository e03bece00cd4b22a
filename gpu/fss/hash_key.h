// The fixed, public key of the FSS hash (common/fss/fss_internal.cc), expanded
// when this is compiled.
#ifndef TACIT_GPU_FSS_HASH_KEY_H_
#define TACIT_GPU_FSS_HASH_KEY_H_

#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/prg/aes_table-inl.h"
#include "gpu/prg/prg_key.h"

namespace tacit::gpu {
namespace internal {

constexpr PrgKey MakeHashKey() {
  // The first 16 bytes of SHA-256("tacit/dpf/aes-128/v1"), little-endian words:
  //   printf %s tacit/dpf/aes-128/v1 | sha256sum | cut -c-32
  PrgKey key = {{0x3136234f, 0xf3367bf8, 0x491a112d, 0x1d2d8b30}, {}};
  uint32_t rcon = 1;
  for (int i = 4; i < kAesKeyWords; ++i) {
    uint32_t word = key.words[i - 1];
    if (i % 4 == 0) {
      uint32_t substituted = 0;
      for (int k = 0; k < 4; ++k) {  // RotWord and SubWord
        const uint8_t byte = static_cast<uint8_t>(word >> 8 * ((k + 1) % 4));
        substituted |= uint32_t{SBox(byte)} << 8 * k;
      }
      word = substituted ^ rcon;
      rcon = (rcon << 1) ^ ((rcon >> 7) * 0x11B);
    }
    key.words[i] = key.words[i - 4] ^ word;
  }
  return key;
}

inline constexpr PrgKey kHostHashKey = MakeHashKey();
#ifdef __CUDACC__
static __device__ const PrgKey kDeviceHashKey = MakeHashKey();
#endif

}  // namespace internal

TACIT_HOST_DEVICE inline const PrgKey& HashKey() {
#ifdef __CUDA_ARCH__
  return internal::kDeviceHashKey;
#else
  return internal::kHostHashKey;
#endif
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_HASH_KEY_H_
