// PRG expansion: the streams of common/prg/prg.h, one thread to a block of AES.
#ifndef TACIT_GPU_PRG_EXPAND_INL_H_
#define TACIT_GPU_PRG_EXPAND_INL_H_

#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/base/launch.h"
#include "gpu/kernel/phased.h"
#include "gpu/prg/aes_shared-inl.h"
#include "gpu/prg/expand.h"
#include "gpu/prg/field_layout.h"

namespace tacit::gpu {

// What both expansions do: chunks of kPerBlock elements, those that one block
// of a stream gives, go to the lanes of a warp in turn. Kernel has
//   void Put(const FieldChunk&, const Block& first, const Block& second) const;
template <class Kernel, class AesT, int kKeys, int kPerBlock>
struct ExpandBase : AesKernel<Kernel, AesT, kKeys> {
  using Aes = AesT;
  using Shared = AesShared<Aes, kKeys>;

  const PrgKey* keys[kKeys];
  FieldLayout field;

  TACIT_HOST_DEVICE const PrgKey& Key(int k) const { return *keys[k]; }

  TACIT_HOST_DEVICE void Work(const Shared& shared, const Aes& aes,
                              const Thread& thread) const {
    const Kernel& sink = static_cast<const Kernel&>(*this);
    const uint64_t chunks = ChunkCount(field, kPerBlock);
    constexpr uint64_t kTile = uint64_t{kWarp} * Aes::kBlocks;
    for (uint64_t tile = WarpOf(thread) * kTile; tile < chunks;
         tile += WarpsOf(thread) * kTile) {
      uint64_t position[Aes::kBlocks];
      TACIT_UNROLL
      for (int b = 0; b < Aes::kBlocks; ++b) {
        // Lanes past the end make some block, and it is dropped.
        const uint64_t chunk = tile + b * kWarp + LaneOf(thread);
        const FieldChunk at =
            ChunkAt(field, kPerBlock, chunk < chunks ? chunk : 0);
        position[b] = at.record.stream + at.chunk;
      }
      Block x[kKeys][Aes::kBlocks];
      TACIT_UNROLL
      for (int k = 0; k < kKeys; ++k) {
        StreamBlocks(shared, aes, k, position, x[k]);
      }
      TACIT_UNROLL
      for (int b = 0; b < Aes::kBlocks; ++b) {
        const uint64_t chunk = tile + b * kWarp + LaneOf(thread);
        if (chunk >= chunks) continue;
        sink.Put(ChunkAt(field, kPerBlock, chunk), x[0][b], x[kKeys - 1][b]);
      }
    }
  }
};

// Words; with two keys the sum of both streams.
template <class AesT, int kKeys>
struct ExpandWordsKernel
    : ExpandBase<ExpandWordsKernel<AesT, kKeys>, AesT, kKeys, 2> {
  Combine combine;
  const uint64_t* in;  // may be null for kStore, and may be `out`
  uint64_t* out;

  TACIT_HOST_DEVICE void Put(const FieldChunk& at, const Block& x,
                             const Block& y) const {
    const uint64_t e = at.begin(2);
    Word(e, Low(x) + (kKeys == 2 ? Low(y) : 0));
    if (at.size(2) == 2) Word(e + 1, High(x) + (kKeys == 2 ? High(y) : 0));
  }
  TACIT_HOST_DEVICE void Word(uint64_t e, uint64_t word) const {
    if (combine == Combine::kStore) {
      out[e] = word;
    } else {
      out[e] = combine == Combine::kAdd ? in[e] + word : in[e] - word;
    }
  }
};

// Bits, one to a byte; with two keys the XOR of both streams.
template <class AesT, int kKeys>
struct ExpandBitsKernel
    : ExpandBase<ExpandBitsKernel<AesT, kKeys>, AesT, kKeys, 128> {
  const uint8_t* in;  // null, or bits that the stream's are added to
  uint8_t* out;

  TACIT_HOST_DEVICE void Put(const FieldChunk& at, const Block& x,
                             const Block& y) const {
    const Block bits = kKeys == 2 ? Xor(x, y) : x;
    const uint64_t e = at.begin(128), size = at.size(128);
    uint64_t k = 0;
    // Eight bytes at a time where the output allows it.
    if (reinterpret_cast<uintptr_t>(out + e) % 8 == 0 && in == nullptr) {
      for (; k + 8 <= size; k += 8) {
        *reinterpret_cast<uint64_t*>(out + e + k) = SpreadBits(ByteOf(bits, k));
      }
    }
    for (; k < size; ++k) {
      const uint8_t bit = ByteOf(bits, k) >> (k % 8) & 1;
      out[e + k] = in == nullptr ? bit : in[e + k] ^ bit;
    }
  }

  // The byte that holds bit k. Not indexed: a block lies in registers.
  TACIT_HOST_DEVICE static uint8_t ByteOf(const Block& bits, uint64_t k) {
    const uint64_t word = k < 64 ? Low(bits) : High(bits);
    return static_cast<uint8_t>(word >> (k % 64 / 8 * 8));
  }
  // Bit k of the byte to byte k, as 0 or 1.
  TACIT_HOST_DEVICE static uint64_t SpreadBits(uint8_t bits) {
    // Byte k keeps 2^k or 0; adding 127 carries into its top bit unless it is
    // 0.
    const uint64_t kept =
        (uint64_t{bits} * 0x0101010101010101u) & 0x8040201008040201u;
    return ((kept + 0x7F7F7F7F7F7F7F7Fu) >> 7) & 0x0101010101010101u;
  }
};

template <class Aes, int kKeys>
ExpandWordsKernel<Aes, kKeys> MakeWordsKernel(const ExpandWordsArgs& args) {
  ExpandWordsKernel<Aes, kKeys> kernel;
  kernel.keys[0] = args.key;
  if (kKeys == 2) kernel.keys[kKeys - 1] = args.second;
  kernel.field = args.field;
  kernel.combine = args.combine;
  kernel.in = args.in;
  kernel.out = args.out;
  return kernel;
}

template <class Aes, int kKeys>
ExpandBitsKernel<Aes, kKeys> MakeBitsKernel(const ExpandBitsArgs& args) {
  ExpandBitsKernel<Aes, kKeys> kernel;
  kernel.keys[0] = args.key;
  if (kKeys == 2) kernel.keys[kKeys - 1] = args.second;
  kernel.field = args.field;
  kernel.in = args.in;
  kernel.out = args.out;
  return kernel;
}

// Threads that have work: whole warps, since a warp shares its chunks.
template <class Aes>
size_t ExpandThreads(const FieldLayout& field, uint64_t per_chunk) {
  const uint64_t tile = uint64_t{kWarp} * Aes::kBlocks;
  return (ChunkCount(field, per_chunk) + tile - 1) / tile * kWarp;
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_EXPAND_INL_H_
