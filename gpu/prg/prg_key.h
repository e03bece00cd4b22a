// A stream's expanded key, as kernels read it.
#ifndef TACIT_GPU_PRG_PRG_KEY_H_
#define TACIT_GPU_PRG_PRG_KEY_H_

#include <cstdint>
#include <cstring>

#include "gpu/prg/aes_circuit-inl.h"
#include "gpu/prg/block.h"

namespace tacit::gpu {

// Output block p of the stream is AES(nonce + p), as in common/prg/prg.h.
// SECRET: keep it where memory is wiped (common's Buffer, DeviceMemory).
struct PrgKey {
  uint32_t words[kAesKeyWords];
  Block nonce;
};

// From the 32 bytes of a Seed (common/prg/seed.h): key, then nonce. Without
// tables, since others may share this processor's caches. The caller wipes
// `seed` and, after use, the result.
inline void ExpandPrgKey(const uint8_t* seed, PrgKey& key) {
  uint32_t aes_key[4];
  std::memcpy(aes_key, seed, sizeof(aes_key));
  std::memcpy(&key.nonce, seed + sizeof(aes_key), sizeof(key.nonce));
  ExpandAesKey(aes_key, key.words);
  // Through a volatile pointer, so that the compiler keeps it.
  for (volatile uint32_t& word : aes_key) word = 0;
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_PRG_KEY_H_
