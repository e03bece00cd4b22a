#include "common/fss/onehot_dpf.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <bit>

#include "common/base/buffer.h"
#include "common/fss/fss_internal.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/fss/onehot_dpf.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h: compiled once per target.
#include "common/fss/half_tree-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {

// CW = (-1)^{t_1} (e_alpha - H(s_0) + H(s_1)), lane by lane.
template <typename Lane>
HWY_INLINE Block LeafWord(const Block& h0, const Block& h1, uint64_t t1,
                          uint64_t alpha) {
  constexpr size_t kLanes = sizeof(Block) / sizeof(Lane);
  const auto a = std::bit_cast<std::array<Lane, kLanes>>(h0);
  const auto b = std::bit_cast<std::array<Lane, kLanes>>(h1);
  const Lane negate = -static_cast<Lane>(t1);  // all ones or zero
  std::array<Lane, kLanes> word;
  for (size_t k = 0; k < kLanes; ++k) {
    const Lane unit = static_cast<Lane>((alpha & (kLanes - 1)) == k);
    word[k] = ((unit - a[k] + b[k]) ^ negate) - negate;
  }
  return std::bit_cast<Block>(word);
}

uint64_t OneHotGenKernel(int m, int width, std::span<const uint64_t> alpha,
                         const Prg& prg0, const Prg& prg1, uint64_t position,
                         uint8_t* out) {
  const AesKey key(internal::HashRoundKeys().data());
  const int levels = OneHotLevels(m, width);
  const uint64_t lane_mask =
      (uint64_t{1} << std::min(m, OneHotLaneLog(width))) - 1;
  Buffer<Block> seeds0 = Buffer<Block>::Zeroed(kTile);
  Buffer<Block> seeds1 = Buffer<Block>::Zeroed(kTile);
  Buffer<Block> where = Buffer<Block>::Zeroed(kTile);
  Buffer<Block> words((levels + 1) * kTile);
  Buffer<Block> leaf(kTile), hash0(kTile), hash1(kTile);
  uint64_t total = 0;
  for (size_t first = 0; first < alpha.size(); first += kTile) {
    const size_t used = std::min(kTile, alpha.size() - first);
    prg0.Fill(position + first, std::span<Block>(seeds0.data(), used));
    prg1.Fill(position + first, std::span<Block>(seeds1.data(), used));
    for (size_t i = 0; i < used; ++i) {
      seeds0[i].lo &= ~uint64_t{1};
      seeds1[i].lo |= 1;
      where[i] = {alpha[first + i], alpha[first + i]};
    }
    uint64_t evaluations = 0;
    BlockVec s[kChains], h0[kChains], h1[kChains];
    GenLevels(key, m, levels, seeds0.data(), seeds1.data(), where.data(),
              words.data(), s, h0, h1, evaluations);
    StoreTile(s, leaf.data());
    StoreTile(h0, hash0.data());
    StoreTile(h1, hash1.data());
    for (size_t i = 0; i < used; ++i) {
      const uint64_t t1 = ~leaf[i].lo & 1;  // lsb(Delta) = 1
      const uint64_t lane = alpha[first + i] & lane_mask;
      words[levels * kTile + i] =
          width <= 32 ? LeafWord<uint32_t>(hash0[i], hash1[i], t1, lane)
                      : LeafWord<uint64_t>(hash0[i], hash1[i], t1, lane);
      uint8_t* to = out + (first + i) * (levels + 1) * sizeof(Block);
      for (int level = 0; level <= levels; ++level) {
        memcpy(to + level * sizeof(Block), &words[level * kTile + i],
               sizeof(Block));
      }
    }
    total += evaluations * used;
  }
  return total;
}

// Children of `count` neighbouring nodes of one key, in place and in order.
HWY_INLINE void ExpandAll(const AesKey& key, const uint8_t* word, size_t count,
                          Block* nodes, uint64_t& evaluations) {
  const BlockVec correction = BroadcastBlock(word);
  BlockVec s[kChains], h[kChains];
  uint64_t tiles = 0;
  // From the last node, so that children never overwrite a node to come.
  for (size_t j = (count - 1) / kTile * kTile;; j -= kTile) {
    LoadTile(nodes + j, s);
    Hash(key, s, h, tiles);
    HWY_UNROLL(16)
    for (size_t i = 0; i < kChains; ++i) {
      const BlockVec left = XorIf(ControlBit(s[i]), h[i], correction);
      StoreInTurn(left, Xor(left, s[i]), nodes + 2 * (j + i * kVecBlocks));
    }
    evaluations += std::min(kTile, count - j);
    if (j == 0) break;
  }
}

// Leaf conversion of `count` neighbouring leaves, in place:
// (-1)^party (H(s) + t CW), lane by lane.
template <bool kHalves>
HWY_INLINE void ConvertLeaves(const AesKey& key, int party, const uint8_t* word,
                              size_t count, Block* nodes,
                              uint64_t& evaluations) {
  const BlockVec correction = BroadcastBlock(word);
  const BlockVec zero = ZeroBlocks();
  BlockVec s[kChains], h[kChains];
  uint64_t tiles = 0;
  for (size_t j = 0; j < count; j += kTile) {
    LoadTile(nodes + j, s);
    Hash(key, s, h, tiles);
    HWY_UNROLL(16)
    for (size_t i = 0; i < kChains; ++i) {
      const BlockVec add = KeepIf(ControlBit(s[i]), correction);
      h[i] = kHalves ? AddHalves(h[i], add) : AddWords(h[i], add);
      if (party == 1) {
        h[i] = kHalves ? SubHalves(zero, h[i]) : SubWords(zero, h[i]);
      }
    }
    StoreTile(h, nodes + j);
    evaluations += std::min(kTile, count - j);
  }
}

// out[v] = leaf[(top - v) mod domain - first] for those v < size whose leaf
// is one of leaf[0 .. count).
template <typename Lane>
HWY_INLINE void CopyReversed(const Block* blocks, uint64_t first,
                             uint64_t count, uint64_t top, uint64_t domain,
                             uint64_t size, uint64_t* out) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(blocks);
  const auto leaf = [bytes](uint64_t k) {
    Lane lane;
    memcpy(&lane, bytes + k * sizeof(Lane), sizeof(Lane));
    return lane;
  };
  const uint64_t v0 = (top - first) & (domain - 1);  // of leaf[0]
  // v = v0 - k, as long as that is not negative ...
  const uint64_t end = std::min(count, v0 + 1);
  for (uint64_t k = v0 < size ? 0 : v0 - size + 1; k < end; ++k) {
    out[v0 - k] = leaf(k);
  }
  // ... and v0 + domain - k after that.
  const uint64_t wrapped = v0 + domain;
  for (uint64_t k = std::max(v0 + 1, wrapped - size + 1); k < count; ++k) {
    out[wrapped - k] = leaf(k);
  }
}

uint64_t OneHotEvalKernel(const OneHotKeys& keys, std::span<const uint64_t> top,
                          uint64_t size, uint64_t* out) {
  // The leaves are made in runs of 2^kRunLog, so that they stay in the cache.
  constexpr int kRunLog = 10;
  const AesKey key(internal::HashRoundKeys().data());
  const int levels = OneHotLevels(keys.m, keys.width);
  const int run_log = std::min(levels, kRunLog);
  const size_t runs = size_t{1} << (levels - run_log);
  const uint64_t domain = uint64_t{1} << keys.m;
  const uint64_t points = domain / runs;  // of one run
  const auto room = [](size_t nodes) { return std::max(nodes, 2 * kTile); };
  Buffer<Block> heads = Buffer<Block>::Zeroed(room(runs));
  Buffer<Block> nodes = Buffer<Block>::Zeroed(room(size_t{1} << run_log));
  uint64_t total = 0;
  for (size_t i = 0; i < keys.count; ++i) {
    const uint8_t* words = keys.key.data() + i * (levels + 1) * sizeof(Block);
    keys.prg->Fill(keys.position + i, std::span<Block>(heads.data(), 1));
    heads[0].lo = (heads[0].lo & ~uint64_t{1}) | uint64_t(keys.party);
    for (int level = 0; level < levels - run_log; ++level) {
      ExpandAll(key, words + level * sizeof(Block), size_t{1} << level,
                heads.data(), total);
    }
    for (size_t run = 0; run < runs; ++run) {
      nodes[0] = heads[run];
      for (int depth = 0; depth < run_log; ++depth) {
        const int level = levels - run_log + depth;
        ExpandAll(key, words + level * sizeof(Block), size_t{1} << depth,
                  nodes.data(), total);
      }
      const uint8_t* leaf_word = words + levels * sizeof(Block);
      const size_t leaves = size_t{1} << run_log;
      if (keys.width <= 32) {
        ConvertLeaves<true>(key, keys.party, leaf_word, leaves, nodes.data(),
                            total);
        CopyReversed<uint32_t>(nodes.data(), run * points, points, top[i],
                               domain, size, out + i * size);
      } else {
        ConvertLeaves<false>(key, keys.party, leaf_word, leaves, nodes.data(),
                             total);
        CopyReversed<uint64_t>(nodes.data(), run * points, points, top[i],
                               domain, size, out + i * size);
      }
    }
  }
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tacit {
namespace {

HWY_EXPORT(OneHotGenKernel);
HWY_EXPORT(OneHotEvalKernel);

void RequireShape(int m, int width) {
  internal::Require(m >= 1 && m <= kMaxOneHotBits, "1 <= m <= kMaxOneHotBits");
  internal::Require(width >= 1 && width <= 64, "1 <= width <= 64");
}

}  // namespace

namespace internal {

uint64_t CountedOneHotGen(int m, int width, std::span<const uint64_t> alpha,
                          const Prg& prg0, const Prg& prg1, uint64_t position,
                          std::span<uint8_t> key) {
  RequireShape(m, width);
  Require(key.size() == OneHotKeyBytes(m, width, alpha.size()),
          "key has OneHotKeyBytes(m, width, count) bytes");
  return HWY_DYNAMIC_DISPATCH(OneHotGenKernel)(m, width, alpha, prg0, prg1,
                                               position, key.data());
}

uint64_t CountedOneHotEval(const OneHotKeys& keys,
                           std::span<const uint64_t> top, size_t size,
                           std::span<uint64_t> out) {
  RequireShape(keys.m, keys.width);
  Require(keys.party == 0 || keys.party == 1, "party is 0 or 1");
  Require(keys.key.size() == OneHotKeyBytes(keys.m, keys.width, keys.count),
          "key has OneHotKeyBytes(m, width, count) bytes");
  Require(top.size() == keys.count, "one position per key");
  Require(size <= uint64_t{1} << keys.m, "size <= 2^m");
  Require(out.size() == keys.count * size, "`size` outputs per key");
  return HWY_DYNAMIC_DISPATCH(OneHotEvalKernel)(keys, top, size, out.data());
}

}  // namespace internal

void OneHotGen(int m, int width, std::span<const uint64_t> alpha,
               const Prg& prg0, const Prg& prg1, uint64_t position,
               std::span<uint8_t> key) {
  internal::CountedOneHotGen(m, width, alpha, prg0, prg1, position, key);
}

void OneHotEval(const OneHotKeys& keys, std::span<const uint64_t> top,
                size_t size, std::span<uint64_t> out) {
  internal::CountedOneHotEval(keys, top, size, out);
}

}  // namespace tacit
#endif  // HWY_ONCE
