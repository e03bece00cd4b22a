// A block's AES: tables and keys in shared memory, filled in a phase of their
// own; and the fixed key of the FSS hash.
#ifndef TACIT_GPU_PRG_AES_SHARED_INL_H_
#define TACIT_GPU_PRG_AES_SHARED_INL_H_

#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/base/launch.h"
#include "gpu/prg/aes_planes-inl.h"
#include "gpu/prg/aes_table-inl.h"
#include "gpu/prg/block.h"
#include "gpu/prg/prg_key.h"

namespace tacit::gpu {

// kKeys streams' keys.
template <class Aes, int kKeys>
struct AesShared {
  typename Aes::Tables tables;
  alignas(16) uint32_t keys[kKeys][Aes::kKeyWords];
  Block nonces[kKeys];

  TACIT_HOST_DEVICE void FillTables(const Thread& thread) {
    Aes::FillTables(tables, thread.thread, thread.launch.threads);
  }
  TACIT_HOST_DEVICE void FillKey(int key, const PrgKey& from,
                                 const Thread& thread) {
    Aes::FillKey(from.words, keys[key], thread.thread, thread.launch.threads);
    if (thread.thread == 0) nonces[key] = from.nonce;
  }
};

// Block `position + i` of stream `key`, for each lane's positions.
template <class Aes, int kKeys>
TACIT_HOST_DEVICE inline void StreamBlocks(
    const AesShared<Aes, kKeys>& shared, const Aes& aes, int key,
    const uint64_t (&position)[Aes::kBlocks], Block (&x)[Aes::kBlocks]) {
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) {
    x[b] = Plus(shared.nonces[key], position[b]);
  }
  aes.Encrypt(shared.keys[key], x);
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_AES_SHARED_INL_H_
