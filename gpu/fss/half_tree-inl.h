// Steps of the half tree that all kernels of gpu/fss share, and where keys lie.
// Construction and citations: common/fss/dpf.h.
#ifndef TACIT_GPU_FSS_HALF_TREE_INL_H_
#define TACIT_GPU_FSS_HALF_TREE_INL_H_

#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/fss/dpf.h"
#include "gpu/fss/hash_key.h"
#include "gpu/kernel/phased.h"
#include "gpu/prg/aes_shared-inl.h"

namespace tacit::gpu {

TACIT_HOST_DEVICE constexpr int DpfLevels(int m) { return m - kLeafBits; }
TACIT_HOST_DEVICE constexpr bool DpfIsDirect(int m) {
  return m <= kMaxDirectBits;
}
// Bytes of one direct bit string.
TACIT_HOST_DEVICE constexpr uint64_t DirectBytes(int m) {
  return m <= 3 ? 1 : uint64_t{1} << (m - 3);
}
TACIT_HOST_DEVICE constexpr uint64_t LowBits(int bits) {
  return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
}

TACIT_HOST_DEVICE inline uint64_t PointAt(const Points& points, uint64_t i) {
  return ((points.words[i] & LowBits(points.width)) >> points.shift) -
         points.minus;
}

// Where a key's correction words and its place in the stream are.
struct KeyPlace {
  uint64_t bytes;   // of the word of level 0
  uint64_t stride;  // from a level's word to the next one's
  uint64_t stream;
};

// The record of element e.
TACIT_HOST_DEVICE inline FieldRecord RecordOf(const FieldLayout& field,
                                              uint64_t e) {
  return RecordAt(field, field.n <= field.block ? 0 : Quotient(e, field.block));
}

// Groups of 64 keys, level by level within one; the last of a record smaller.
TACIT_HOST_DEVICE inline KeyPlace PlaceOf(const FieldLayout& field, int levels,
                                          uint64_t e) {
  const FieldRecord record = RecordOf(field, e);
  const uint64_t i = e - record.first;
  const uint64_t group = i / kDpfGroup * kDpfGroup;
  const uint64_t rest = record.count - group;
  const uint64_t size = rest < kDpfGroup ? rest : kDpfGroup;
  const uint64_t words = static_cast<uint64_t>(levels) + 1;
  return {record.bytes + (group * words + (i - group)) * sizeof(Block),
          size * sizeof(Block), record.stream + i};
}

// sigma(hi || lo) = (hi xor lo) || hi.
TACIT_HOST_DEVICE inline Block Sigma(const Block& x) {
  return {{x.w[2], x.w[3], x.w[2] ^ x.w[0], x.w[3] ^ x.w[1]}};
}

// H(x) = pi(sigma(x)) xor sigma(x), one for each lane's block.
template <class Aes>
TACIT_HOST_DEVICE inline void Hash(const Aes& aes, const uint32_t* key,
                                   const Block (&x)[Aes::kBlocks],
                                   Block (&h)[Aes::kBlocks]) {
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) h[b] = Sigma(x[b]);
  aes.Encrypt(key, h);
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) h[b] = Xor(h[b], Sigma(x[b]));
}

// All ones if bit `bit` is set.
TACIT_HOST_DEVICE inline uint32_t BitMask(uint64_t value, int bit) {
  return 0u - static_cast<uint32_t>(value >> bit & 1);
}

// A root seed's control bit is the party.
TACIT_HOST_DEVICE inline void SetParty(Block& seed, int party) {
  seed.w[0] = (seed.w[0] & ~1u) | static_cast<uint32_t>(party);
}

// Block with bit `a` mod 128 set; with bits 0 .. `a` mod 128 set.
TACIT_HOST_DEVICE inline Block UnitBlock(uint64_t a) {
  const uint64_t bit = uint64_t{1} << (a & 63);
  const uint64_t high = uint64_t{0} - (a >> 6 & 1);
  return MakeBlock(bit & ~high, bit & high);
}
TACIT_HOST_DEVICE inline Block PrefixBlock(uint64_t a) {
  const uint64_t part = (uint64_t{2} << (a & 63)) - 1;
  const uint64_t high = uint64_t{0} - (a >> 6 & 1);
  return MakeBlock(part | high, part & high);
}
TACIT_HOST_DEVICE inline uint8_t ParityOf(uint32_t x) {
#ifdef __CUDA_ARCH__
  return static_cast<uint8_t>(__popc(x) & 1);
#else
  return static_cast<uint8_t>(__builtin_parity(x));
#endif
}
// Sum of the bits of `a` that `mask` selects, mod 2.
TACIT_HOST_DEVICE inline uint8_t Parity(const Block& a, const Block& mask) {
  return ParityOf((a.w[0] & mask.w[0]) ^ (a.w[1] & mask.w[1]) ^
                  (a.w[2] & mask.w[2]) ^ (a.w[3] & mask.w[3]));
}

// Elements of a launch: a warp takes 32 * kBlocks neighbouring ones, lane l the
// ones l, 32 + l, ..., so that a warp's loads are in a row.
template <class Aes>
struct WarpTile {
  static constexpr uint64_t kSize = uint64_t{kWarp} * Aes::kBlocks;
  uint64_t first;  // this lane's first element

  TACIT_HOST_DEVICE uint64_t element(int b) const { return first + b * kWarp; }
  // The element, or 0 for lanes past the end: they compute it once more, and
  // what they get is dropped.
  TACIT_HOST_DEVICE uint64_t clamped(int b, uint64_t n) const {
    return element(b) < n ? element(b) : 0;
  }
};

// fn(tile) for this warp's tiles of n elements.
template <class Aes, class Fn>
TACIT_HOST_DEVICE inline void ForTiles(const Thread& thread, uint64_t n,
                                       const Fn& fn) {
  using Tile = WarpTile<Aes>;
  TACIT_NO_UNROLL
  for (uint64_t first = WarpOf(thread) * Tile::kSize; first < n;
       first += WarpsOf(thread) * Tile::kSize) {
    fn(Tile{first + LaneOf(thread)});
  }
}

// Threads that have work on n elements.
template <class Aes>
size_t TileThreads(uint64_t n) {
  constexpr uint64_t kSize = WarpTile<Aes>::kSize;
  return (n + kSize - 1) / kSize * kWarp;
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_HALF_TREE_INL_H_
