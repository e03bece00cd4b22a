// Windows of trees, fused with the product over tables.
//
// A window [start, start + length) touches a run of neighbouring nodes at every
// height: at most two above some height, and more below, down to
// ceil((length - 1) / 128) + 1 leaves. So a thread goes down in two steps:
//  - with a pair of nodes in registers, of which the second is only computed
//    where the window reaches into it. That depends on `start`, which is
//    public, and is rare near the root;
//  - level by level with all nodes of the window in an array, in place, as
//    ExpandNodes of common/fss does. The array lies in local memory, where
//    lanes at the same index are neighbours.
// Windows of more than kPassPoints are taken in passes of that many points.
#ifndef TACIT_GPU_FSS_DPF_WINDOW_INL_H_
#define TACIT_GPU_FSS_DPF_WINDOW_INL_H_

#include <cstdint>

#include "gpu/fss/dpf.h"
#include "gpu/fss/dpf_path-inl.h"
#include "gpu/fss/half_tree-inl.h"
#include "gpu/fss/table_sum-inl.h"

namespace tacit::gpu {

// Shape of one pass over `length` points.
struct WindowPass {
  static constexpr int kMaxHeight = 5;

  uint64_t length = 0;
  int pair_height = 0;  // the lowest with at most two nodes
  // Nodes at heights 0 .. pair_height above the leaves.
  uint32_t nodes[kMaxHeight + 1] = {};
  // The leaves are the whole domain: neighbours wrap around.
  bool whole = false;
};

// As DpfWindowNodes of common/fss. Requires m > kMaxDirectBits, and a length
// whose pair_height is at most kMaxHeight.
inline WindowPass MakePass(int m, uint64_t length) {
  WindowPass pass;
  pass.length = length;
  const int levels = DpfLevels(m);
  const auto limit = [levels](int height) {
    return levels - height >= 32 ? ~uint64_t{0}
                                 : uint64_t{1} << (levels - height);
  };
  uint64_t nodes = (length + 126) / 128 + 1;
  for (int height = 0;; ++height) {
    if (height > 0) nodes = nodes / 2 + 1;
    nodes = nodes < limit(height) ? nodes : limit(height);
    pass.nodes[height] = static_cast<uint32_t>(nodes);
    pass.pair_height = height;
    if (nodes <= 2 || height == levels) break;
  }
  pass.whole = levels < 32 && pass.nodes[0] == uint64_t{1} << levels;
  return pass;
}

// kNodes: leaves of a pass, at most.
template <class AesT, int kTables, int kNodes>
struct DpfWindowKernel
    : AesKernel<DpfWindowKernel<AesT, kTables, kNodes>, AesT, 2> {
  using Aes = AesT;
  using Shared = AesShared<Aes, 2>;  // the party's stream, the hash
  static constexpr uint64_t kPassPoints = 128 * (kNodes - 1);
  using Nodes = Block[kNodes][Aes::kBlocks];

  DpfWindowArgs args;
  uint32_t passes;
  WindowPass full, last;  // all passes but the last have the same shape

  explicit DpfWindowKernel(const DpfWindowArgs& all) : args(all) {
    passes =
        static_cast<uint32_t>((args.length + kPassPoints - 1) / kPassPoints);
    const uint64_t before = (passes - 1) * kPassPoints;
    full = MakePass(args.keys.m,
                    args.length < kPassPoints ? args.length : kPassPoints);
    last = MakePass(args.keys.m, args.length - before);
  }

  TACIT_HOST_DEVICE const PrgKey& Key(int k) const {
    return k == 0 ? *args.keys.key : HashKey();
  }
  TACIT_HOST_DEVICE void Work(const Shared& shared, const Aes& aes,
                              const Thread& thread) const {
    ForTiles<Aes>(thread, args.keys.field.n,
                  [&](const WarpTile<Aes>& tile) { Keys(shared, aes, tile); });
  }

  TACIT_HOST_DEVICE void Keys(const Shared& shared, const Aes& aes,
                              const WarpTile<Aes>& tile) const {
    TACIT_NO_UNROLL
    for (uint32_t p = 0; p < passes; ++p) {
      const WindowPass& pass = p + 1 == passes ? last : full;
      Pass(shared, aes, tile, pass, p * kPassPoints, p == 0, p + 1 == passes);
    }
  }

  TACIT_HOST_DEVICE void Pass(const Shared& shared, const Aes& aes,
                              const WarpTile<Aes>& tile, const WindowPass& pass,
                              uint64_t first, bool is_first,
                              bool is_last) const {
    const uint64_t n = args.keys.field.n;
    uint64_t start[Aes::kBlocks];
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      start[b] = PointAt(args.start, tile.clamped(b, n)) + first;
    }
    KeyLanes<Aes> lanes;
    EnterKeys(shared, aes, args.keys, tile, lanes);
    Nodes nodes;
    DescendPair(shared, aes, pass, start, lanes, nodes);
    Expand(shared, aes, pass, start, lanes, nodes);
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      if (tile.element(b) >= n) continue;
      TableSums<kTables> sums;
      Sum(pass, first, start[b], b, nodes, sums);
      sums.Store(args, tile.element(b), is_first, is_last);
    }
  }

  // Whether the window leaves the node of height h that it starts in.
  TACIT_HOST_DEVICE static bool Leaves(uint64_t start, uint64_t length,
                                       int height) {
    const uint64_t mask = LowBits(kLeafBits + height);
    return length - 1 > mask || (start & mask) > mask - (length - 1);
  }

  // From the root to pass.pair_height: the node of the window's start, and the
  // one after it, to nodes[0] and nodes[1].
  TACIT_HOST_DEVICE void DescendPair(const Shared& shared, const Aes& aes,
                                     const WindowPass& pass,
                                     const uint64_t (&start)[Aes::kBlocks],
                                     KeyLanes<Aes>& lanes, Nodes& nodes) const {
    const int m = args.keys.m, levels = DpfLevels(m);
    Block next[Aes::kBlocks];
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) next[b] = lanes.s[b];  // cyclic
    TACIT_NO_UNROLL
    for (int level = 0; level < levels - pass.pair_height; ++level) {
      Block word[Aes::kBlocks], h[Aes::kBlocks], after[Aes::kBlocks];
      bool leaves = false;
      TACIT_UNROLL
      for (int b = 0; b < Aes::kBlocks; ++b) {
        word[b] = lanes.Word(level, b);
        leaves = leaves || Leaves(start[b], pass.length, levels - level);
        after[b] = next[b];
      }
      Hash(aes, shared.keys[1], lanes.s, h);
      if (leaves) Hash(aes, shared.keys[1], next, after);
      TACIT_UNROLL
      for (int b = 0; b < Aes::kBlocks; ++b) {
        const uint32_t odd = BitMask(start[b], m - 1 - level);
        const Block left = XorMasked(h[b], word[b], ControlMask(lanes.s[b]));
        const Block right = Xor(left, lanes.s[b]);
        const Block third = XorMasked(after[b], word[b], ControlMask(next[b]));
        lanes.s[b] = XorMasked(left, lanes.s[b], odd);
        next[b] = XorMasked(right, Xor(right, third), odd);
      }
    }
    TACIT_UNROLL
    for (int b = 0; b < Aes::kBlocks; ++b) {
      nodes[0][b] = lanes.s[b];
      nodes[1][b] = next[b];
    }
  }

  // From pass.pair_height to the leaves' bits, in place.
  TACIT_HOST_DEVICE void Expand(const Shared& shared, const Aes& aes,
                                const WindowPass& pass,
                                const uint64_t (&start)[Aes::kBlocks],
                                const KeyLanes<Aes>& lanes,
                                Nodes& nodes) const {
    const int m = args.keys.m, levels = DpfLevels(m);
    TACIT_NO_UNROLL
    for (int height = pass.pair_height; height >= 0; --height) {
      const int level = levels - height;
      Block word[Aes::kBlocks];
      TACIT_UNROLL
      for (int b = 0; b < Aes::kBlocks; ++b) word[b] = lanes.Word(level, b);
      // From the last node, so that children never overwrite a node to come.
      TACIT_NO_UNROLL
      for (int j = static_cast<int>(pass.nodes[height]) - 1; j >= 0; --j) {
        Block s[Aes::kBlocks], h[Aes::kBlocks];
        TACIT_UNROLL
        for (int b = 0; b < Aes::kBlocks; ++b) s[b] = nodes[j][b];
        Hash(aes, shared.keys[1], s, h);
        TACIT_UNROLL
        for (int b = 0; b < Aes::kBlocks; ++b) {
          h[b] = XorMasked(h[b], word[b], ControlMask(s[b]));
          if (height == 0) {
            nodes[j][b] = h[b];
          } else {
            const int odd = static_cast<int>(start[b] >> (m - 1 - level) & 1);
            Children(pass, height, j, b, odd, h[b], Xor(h[b], s[b]), nodes);
          }
        }
      }
    }
  }

  // Children 2 j and 2 j + 1 go where the window's nodes of the next height,
  // which begin at child `odd` of node 0, have them. In a level held whole,
  // child 0 of node 0 follows the last.
  TACIT_HOST_DEVICE static void Children(const WindowPass& pass, int height,
                                         int j, int b, int odd,
                                         const Block& left, const Block& right,
                                         Nodes& nodes) {
    const int count = static_cast<int>(pass.nodes[height - 1]);
    const bool wraps = count == 2 * static_cast<int>(pass.nodes[height]);
    int at = 2 * j - odd;
    if (at + 1 < count) nodes[at + 1][b] = right;
    if (at < 0) at = wraps ? count - 1 : count;
    if (at < count) nodes[at][b] = left;
  }

  // Bits are moved so that all lanes are at the same table entry.
  TACIT_HOST_DEVICE void Sum(const WindowPass& pass, uint64_t first,
                             uint64_t start, int b, const Nodes& nodes,
                             TableSums<kTables>& sums) const {
    const int leaves = static_cast<int>(pass.nodes[0]);
    const bool high = (start >> 6 & 1) != 0;
    Block leaf = nodes[0][b];
    TACIT_NO_UNROLL
    for (int j = 0; uint64_t{128} * j < pass.length; ++j) {
      Block next = {};
      if (j + 1 < leaves) {
        next = nodes[j + 1][b];
      } else if (pass.whole) {
        next = nodes[0][b];
      }
      const uint64_t w0 = high ? High(leaf) : Low(leaf);
      const uint64_t w1 = high ? Low(next) : High(leaf);
      const uint64_t w2 = high ? High(next) : Low(next);
      const uint64_t k = uint64_t{128} * j, rest = pass.length - k;
      sums.Add(args, first + k, rest, Funnel(w0, w1, start));
      if (rest > 64) {
        sums.Add(args, first + k + 64, rest - 64, Funnel(w1, w2, start));
      }
      leaf = next;
    }
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_DPF_WINDOW_INL_H_
