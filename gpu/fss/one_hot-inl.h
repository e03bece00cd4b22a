// Kernels of one_hot.h.
#ifndef TACIT_GPU_FSS_ONE_HOT_INL_H_
#define TACIT_GPU_FSS_ONE_HOT_INL_H_

#include <cstdint>

#include "gpu/fss/dpf_gen-inl.h"
#include "gpu/fss/half_tree-inl.h"
#include "gpu/fss/one_hot.h"

namespace tacit::gpu {

TACIT_HOST_DEVICE constexpr int OneHotLaneLog(int width) {
  return width <= 32 ? 2 : 1;
}
TACIT_HOST_DEVICE constexpr int OneHotLevels(int m, int width) {
  return m > OneHotLaneLog(width) ? m - OneHotLaneLog(width) : 0;
}

// Key by key, unlike dpf.h: a key's levels follow each other.
TACIT_HOST_DEVICE inline KeyPlace OneHotPlace(const FieldLayout& field,
                                              int levels, uint64_t e) {
  const FieldRecord record = RecordOf(field, e);
  const uint64_t i = e - record.first;
  return {record.bytes + i * sizeof(Block) * (levels + 1), sizeof(Block),
          record.stream + i};
}

// a + b and a - b in lanes of 32 bits (`halves`) or 64.
TACIT_HOST_DEVICE inline Block AddLanes(const Block& a, const Block& b,
                                        bool halves) {
  if (halves) {
    return {
        {a.w[0] + b.w[0], a.w[1] + b.w[1], a.w[2] + b.w[2], a.w[3] + b.w[3]}};
  }
  return MakeBlock(Low(a) + Low(b), High(a) + High(b));
}
TACIT_HOST_DEVICE inline Block NegateLanes(const Block& a, bool halves) {
  if (halves) {
    return {{0u - a.w[0], 0u - a.w[1], 0u - a.w[2], 0u - a.w[3]}};
  }
  return MakeBlock(0 - Low(a), 0 - High(a));
}
// e_lane, without a branch on it.
TACIT_HOST_DEVICE inline Block UnitLane(uint64_t lane, bool halves) {
  if (halves) {
    return {{static_cast<uint32_t>(lane == 0), static_cast<uint32_t>(lane == 1),
             static_cast<uint32_t>(lane == 2),
             static_cast<uint32_t>(lane == 3)}};
  }
  return MakeBlock(lane == 0, lane == 1);
}

template <class AesT>
struct OneHotGenKernel : GenKernel<OneHotGenKernel<AesT>, AesT, OneHotGenArgs> {
  using Base = GenKernel<OneHotGenKernel<AesT>, AesT, OneHotGenArgs>;
  using Aes = AesT;
  using Base::args;
  using typename Base::Blocks;

  explicit OneHotGenKernel(const OneHotGenArgs& all) : Base(all) {}

  TACIT_HOST_DEVICE int Levels() const {
    return OneHotLevels(args.m, args.width);
  }
  TACIT_HOST_DEVICE static KeyPlace PlaceAt(const FieldLayout& field,
                                            int levels, uint64_t e) {
    return OneHotPlace(field, levels, e);
  }

  TACIT_HOST_DEVICE void Leaves(const WarpTile<Aes>& tile, int levels,
                                const uint64_t (&alpha)[Aes::kBlocks],
                                const Blocks& s, const Blocks& h0,
                                const Blocks& h1) const {
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      this->Store(tile, b, levels, levels,
                  LeafWord(h0[b], h1[b], ~ControlMask(s[b]), alpha[b]));
    }
  }

  // CW = (-1)^{t_1} (e_alpha - H(s_0) + H(s_1)), lane by lane; t1 is a mask.
  TACIT_HOST_DEVICE Block LeafWord(const Block& h0, const Block& h1,
                                   uint32_t t1, uint64_t alpha) const {
    const bool halves = args.width <= 32;
    const int lane_log = OneHotLaneLog(args.width);
    const uint64_t lane =
        alpha & LowBits(args.m < lane_log ? args.m : lane_log);
    const Block word = AddLanes(
        AddLanes(UnitLane(lane, halves), NegateLanes(h0, halves), halves), h1,
        halves);
    return XorMasked(word, Xor(word, NegateLanes(word, halves)), t1);
  }
};

template <class AesT>
struct OneHotEvalKernel : AesKernel<OneHotEvalKernel<AesT>, AesT, 2> {
  using Aes = AesT;
  using Shared = AesShared<Aes, 2>;  // the party's stream, the hash
  static constexpr int kMaxHeight = 5;
  using Nodes = Block[1 << kMaxHeight][Aes::kBlocks];

  OneHotEvalArgs args;
  int levels;
  int height;  // of a thread's subtree

  explicit OneHotEvalKernel(const OneHotEvalArgs& all)
      : args(all), levels(OneHotLevels(all.m, all.width)) {
    height = levels < kMaxHeight ? levels : kMaxHeight;
  }

  // Subtrees of all keys.
  TACIT_HOST_DEVICE uint64_t items() const {
    return args.field.n << (levels - height);
  }

  TACIT_HOST_DEVICE const PrgKey& Key(int k) const {
    return k == 0 ? *args.key : HashKey();
  }
  TACIT_HOST_DEVICE void Work(const Shared& shared, const Aes& aes,
                              const Thread& thread) const {
    ForTiles<Aes>(thread, items(), [&](const WarpTile<Aes>& tile) {
      Subtrees(shared, aes, tile);
    });
  }

  TACIT_HOST_DEVICE void Subtrees(const Shared& shared, const Aes& aes,
                                  const WarpTile<Aes>& tile) const {
    const int above = levels - height;
    const uint8_t* words[Aes::kBlocks];
    uint64_t position[Aes::kBlocks];
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      const KeyPlace place =
          OneHotPlace(args.field, levels, tile.clamped(b, items()) >> above);
      words[b] = args.material + place.bytes;
      position[b] = place.stream;
    }
    Block s[Aes::kBlocks], h[Aes::kBlocks];
    StreamBlocks(shared, aes, 0, position, s);
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) SetParty(s[b], args.party);
    TACIT_NO_UNROLL
    for (int level = 0; level < above; ++level) {
      Hash(aes, shared.keys[1], s, h);
      TACIT_UNROLL
      for (int b = 0; b < Aes::kBlocks; ++b) {
        const uint32_t right =
            BitMask(tile.clamped(b, items()), above - 1 - level);
        const Block left = XorMasked(h[b], LoadBlock(words[b] + 16 * level),
                                     ControlMask(s[b]));
        s[b] = XorMasked(left, s[b], right);
      }
    }
    Nodes nodes;
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) nodes[0][b] = s[b];
    Expand(shared, aes, words, nodes);
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      if (tile.element(b) < items()) Copy(tile.element(b), b, nodes);
    }
  }

  // To the leaves' lanes, in place, from the last node of each level, so that
  // children never overwrite a node to come.
  TACIT_HOST_DEVICE void Expand(const Shared& shared, const Aes& aes,
                                const uint8_t* const (&words)[Aes::kBlocks],
                                Nodes& nodes) const {
    TACIT_NO_UNROLL
    for (int depth = 0; depth <= height; ++depth) {
      const int level = levels - height + depth;
      TACIT_NO_UNROLL
      for (int j = (1 << depth) - 1; j >= 0; --j) {
        Block s[Aes::kBlocks], h[Aes::kBlocks];
        TACIT_UNROLL
        for (int b = 0; b < Aes::kBlocks; ++b) s[b] = nodes[j][b];
        Hash(aes, shared.keys[1], s, h);
        TACIT_UNROLL
        for (int b = 0; b < Aes::kBlocks; ++b) {
          const Block word = LoadBlock(words[b] + 16 * level);
          if (depth == height) {
            nodes[j][b] = LeafLanes(s[b], h[b], word);
          } else {
            const Block left = XorMasked(h[b], word, ControlMask(s[b]));
            nodes[2 * j + 1][b] = Xor(left, s[b]);
            nodes[2 * j][b] = left;
          }
        }
      }
    }
  }

  // (-1)^party (H(s) + t CW).
  TACIT_HOST_DEVICE Block LeafLanes(const Block& s, const Block& h,
                                    const Block& word) const {
    const bool halves = args.width <= 32;
    const Block kept = XorMasked(Block{}, word, ControlMask(s));
    const Block sum = AddLanes(h, kept, halves);
    return args.party == 1 ? NegateLanes(sum, halves) : sum;
  }

  // out[v] = the lane at (top - v) mod 2^m.
  TACIT_HOST_DEVICE void Copy(uint64_t item, int b, const Nodes& nodes) const {
    const int above = levels - height, lane_log = OneHotLaneLog(args.width);
    const uint64_t e = item >> above;
    const uint64_t top = PointAt(args.top, e);
    const uint64_t subtree = item & LowBits(above);
    for (int j = 0; j < 1 << height; ++j) {
      const uint64_t leaf = (subtree << height) + j;
      for (int lane = 0; lane < 1 << lane_log; ++lane) {
        const uint64_t point = (leaf << lane_log) + lane;
        const uint64_t v = (top - point) & LowBits(args.m);
        if (point >> args.m != 0 || v >= args.size) continue;
        args.out[e * args.size + v] = LaneOfBlock(nodes[j][b], lane);
      }
    }
  }
  TACIT_HOST_DEVICE uint64_t LaneOfBlock(const Block& x, int lane) const {
    if (args.width > 32) return lane == 0 ? Low(x) : High(x);
    return lane < 2 ? (lane == 0 ? x.w[0] : x.w[1])
                    : (lane == 2 ? x.w[2] : x.w[3]);
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_ONE_HOT_INL_H_
