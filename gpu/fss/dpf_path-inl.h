// One path from root to leaf of each key: comparisons and equality.
#ifndef TACIT_GPU_FSS_DPF_PATH_INL_H_
#define TACIT_GPU_FSS_DPF_PATH_INL_H_

#include <cstdint>

#include "gpu/fss/dpf.h"
#include "gpu/fss/half_tree-inl.h"

namespace tacit::gpu {

// A lane's keys while it goes down their trees: roots, and where the correction
// words are.
template <class Aes>
struct KeyLanes {
  Block s[Aes::kBlocks];
  const uint8_t* words[Aes::kBlocks];
  uint64_t stride[Aes::kBlocks];

  TACIT_HOST_DEVICE Block Word(int level, int b) const {
    return LoadBlock(words[b] + static_cast<uint64_t>(level) * stride[b]);
  }
};

// Stream 0 of `shared` is the party's.
template <class Aes, int kKeys>
TACIT_HOST_DEVICE inline void EnterKeys(const AesShared<Aes, kKeys>& shared,
                                        const Aes& aes, const DpfBatch& keys,
                                        const WarpTile<Aes>& tile,
                                        KeyLanes<Aes>& lanes) {
  uint64_t position[Aes::kBlocks];
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) {
    const KeyPlace place =
        PlaceOf(keys.field, DpfLevels(keys.m), tile.clamped(b, keys.field.n));
    lanes.words[b] = keys.material + place.bytes;
    lanes.stride[b] = place.stride;
    position[b] = place.stream;
  }
  StreamBlocks(shared, aes, 0, position, lanes.s);
  TACIT_UNROLL
  for (int b = 0; b < Aes::kBlocks; ++b) SetParty(lanes.s[b], keys.party);
}

template <class AesT>
struct DpfPathKernel : AesKernel<DpfPathKernel<AesT>, AesT, 2> {
  using Aes = AesT;
  using Shared = AesShared<Aes, 2>;  // the party's stream, the hash

  DpfPathArgs args;

  explicit DpfPathKernel(const DpfPathArgs& all) : args(all) {}

  TACIT_HOST_DEVICE const PrgKey& Key(int k) const {
    return k == 0 ? *args.keys.key : HashKey();
  }
  TACIT_HOST_DEVICE void Work(const Shared& shared, const Aes& aes,
                              const Thread& thread) const {
    ForTiles<Aes>(thread, args.keys.field.n,
                  [&](const WarpTile<Aes>& tile) { Paths(shared, aes, tile); });
  }

  TACIT_HOST_DEVICE void Paths(const Shared& shared, const Aes& aes,
                               const WarpTile<Aes>& tile) const {
    const int m = args.keys.m, levels = DpfLevels(m);
    const uint64_t n = args.keys.field.n;
    KeyLanes<Aes> lanes;
    EnterKeys(shared, aes, args.keys, tile, lanes);
    uint64_t point[Aes::kBlocks];
    uint32_t sum[Aes::kBlocks] = {};  // bit 0: control bits of left siblings
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      point[b] = PointAt(args.points, tile.clamped(b, n));
    }
    Block h[Aes::kBlocks];
    TACIT_NO_UNROLL
    for (int level = 0; level < levels; ++level) {
      Hash(aes, shared.keys[1], lanes.s, h);
      TACIT_UNROLL
      for (int b = 0; b < Aes::kBlocks; ++b) {
        Block& s = lanes.s[b];
        const uint32_t right = BitMask(point[b], m - 1 - level);
        // Left child H(s) xor t CW, right child left xor s. A left sibling's
        // subtree ends before the point (Grotto, Sec. 4).
        const Block left =
            XorMasked(h[b], lanes.Word(level, b), ControlMask(s));
        sum[b] ^= left.w[0] & right;
        s = XorMasked(left, s, right);
      }
    }
    Hash(aes, shared.keys[1], lanes.s, h);
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      if (tile.element(b) >= n) continue;
      const Block leaf =
          XorMasked(h[b], lanes.Word(levels, b), ControlMask(lanes.s[b]));
      args.out[tile.element(b)] =
          args.output == PathOutput::kPrefix
              ? Parity(leaf, PrefixBlock(point[b])) ^ (sum[b] & 1)
              : Parity(leaf, UnitBlock(point[b]));
    }
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_DPF_PATH_INL_H_
