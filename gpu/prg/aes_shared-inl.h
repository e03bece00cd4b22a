// A block's AES: tables and keys in shared memory, filled in a phase of their
// own; and the fixed key of the FSS hash.
#ifndef TACIT_GPU_PRG_AES_SHARED_INL_H_
#define TACIT_GPU_PRG_AES_SHARED_INL_H_

#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/base/launch.h"
#include "gpu/kernel/phased.h"
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
  // The keys, before another kernel gets this memory.
  TACIT_HOST_DEVICE void Wipe(const Thread& thread) {
    constexpr uint32_t kWords = kKeys * Aes::kKeyWords;
    for (uint32_t i = thread.thread; i < kWords; i += thread.launch.threads) {
      keys[i / Aes::kKeyWords][i % Aes::kKeyWords] = 0;
    }
    if (thread.thread < kKeys) nonces[thread.thread] = {};
  }
};

// What kernels with AES do: tables and keys are laid out in shared memory, the
// threads work, the keys are wiped. Kernel has
//   const PrgKey& Key(int k) const;                       // k < kKeys
//   void Work(const Shared&, const Aes&, const Thread&) const;
template <class Kernel, class AesT, int kKeys>
struct AesKernel {
  using Aes = AesT;
  using Shared = AesShared<Aes, kKeys>;
  static constexpr uint32_t kThreads = Aes::kThreads;
  static constexpr int kPhases = 3;

  template <int kPhase>
  TACIT_HOST_DEVICE void Run(Shared& shared, const Thread& thread) const {
    const Kernel& kernel = static_cast<const Kernel&>(*this);
    if constexpr (kPhase == 0) {
      shared.FillTables(thread);
      for (int k = 0; k < kKeys; ++k) {
        shared.FillKey(k, kernel.Key(k), thread);
      }
    } else if constexpr (kPhase == 1) {
      kernel.Work(shared, Aes(shared.tables, LaneOf(thread)), thread);
    } else {
      shared.Wipe(thread);
    }
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
