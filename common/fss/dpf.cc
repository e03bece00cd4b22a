#include "common/fss/dpf.h"

#include <string.h>

#include <algorithm>
#include <bit>

#include "common/base/buffer.h"
#include "common/fss/fss_internal.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/fss/dpf.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h: compiled once per target.
#include "common/fss/half_tree-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {

static_assert(kDpfGroup % kTile == 0);

// A tile's correction words: level l of key i at words + l * stride + 16 * i.
struct TileWords {
  const uint8_t* words;
  size_t stride;

  HWY_INLINE BlockVec Load(size_t level, size_t vec) const {
    return LoadBlocks(words + level * stride +
                      vec * kVecBlocks * sizeof(Block));
  }
};

// One group's inputs, padded to whole tiles: lanes past the last key compute
// something, and it is dropped.
class Group {
 public:
  Group(const DpfKeys& keys, std::span<const uint64_t> positions)
      : keys_(keys),
        positions_(positions),
        levels_(DpfLevels(keys.m)),
        seeds_(Buffer<Block>::Zeroed(kDpfGroup)),
        where_(Buffer<Block>::Zeroed(kDpfGroup)),
        padded_(Buffer<Block>::Zeroed((levels_ + 1) * kTile)) {}

  // Goes to the group whose first key is `first`.
  void Enter(size_t first) {
    first_ = first;
    size_ = std::min(kDpfGroup, keys_.count - first);
    keys_.prg->Fill(keys_.position + first,
                    std::span<Block>(seeds_.data(), size_));
    for (size_t i = 0; i < size_; ++i) {
      // The root's control bit is the party.
      seeds_[i].lo = (seeds_[i].lo & ~uint64_t{1}) | uint64_t(keys_.party);
      where_[i] = {positions_[first + i], positions_[first + i]};
    }
  }

  size_t first() const { return first_; }
  size_t size() const { return size_; }
  const Block* seeds(size_t tile) const { return seeds_.data() + tile; }
  // Each key's position, in both words.
  const Block* where(size_t tile) const { return where_.data() + tile; }

  // `tile` is the offset of the tile's first key.
  TileWords Words(size_t tile) {
    const size_t row = size_ * sizeof(Block);
    const uint8_t* from = keys_.key.data() +
                          first_ * (levels_ + 1) * sizeof(Block) +
                          tile * sizeof(Block);
    if (tile + kTile <= size_) return {from, row};
    for (size_t level = 0; level <= levels_; ++level) {
      memcpy(static_cast<void*>(padded_.data() + level * kTile),
             from + level * row, (size_ - tile) * sizeof(Block));
    }
    return {reinterpret_cast<const uint8_t*>(padded_.data()),
            kTile * sizeof(Block)};
  }

 private:
  const DpfKeys& keys_;
  std::span<const uint64_t> positions_;
  size_t levels_;
  size_t first_ = 0;
  size_t size_ = 0;
  Buffer<Block> seeds_, where_, padded_;
};

// Block with bit `a` mod 128 set.
HWY_INLINE Block UnitBlock(uint64_t a) {
  const uint64_t bit = uint64_t{1} << (a & 63);
  const uint64_t high = -((a >> 6) & 1);
  return {bit & ~high, bit & high};
}
// Block with bits 0 .. `a` mod 128 set.
HWY_INLINE Block PrefixBlock(uint64_t a) {
  const uint64_t part = (uint64_t{2} << (a & 63)) - 1;
  const uint64_t high = -((a >> 6) & 1);
  return {part | high, part & high};
}
// Sum of the bits of `a` that `mask` selects, mod 2.
HWY_INLINE uint8_t Parity(Block a, Block mask) {
  return std::popcount((a.lo & mask.lo) ^ (a.hi & mask.hi)) & 1;
}

// ---------------------------------------------------------------------------
// Key generation

// Correction words of a tile to `words`, [levels + 1][kTile]; to `leaf`, party
// 0's bits of alpha's leaf block. `units` holds e_{alpha mod 128}.
HWY_INLINE void GenTile(const AesKey& key, int m, const Block* seeds0,
                        const Block* seeds1, const Block* alpha,
                        const Block* units, Block* words, Block* leaf,
                        uint64_t& evaluations) {
  BlockVec s[kChains], h0[kChains], h1[kChains];
  const int levels = DpfLevels(m);
  GenLevels(key, m, levels, seeds0, seeds1, alpha, words, s, h0, h1,
            evaluations);
  for (size_t i = 0; i < kChains; ++i) {
    // CW_leaf = H(s_0) xor H(s_1) xor e_{alpha mod 128}.
    const BlockVec word =
        Xor(Xor(h0[i], h1[i]), LoadBlocks(units + i * kVecBlocks));
    StoreBlocks(word, words + levels * kTile + i * kVecBlocks);
    StoreBlocks(XorIf(ControlBit(s[i]), h0[i], word), leaf + i * kVecBlocks);
  }
}

uint64_t GenKernel(int m, std::span<const uint64_t> alpha, const Prg& prg0,
                   const Prg& prg1, uint64_t position, uint8_t* key0,
                   uint8_t* key1, uint8_t* positive) {
  const AesKey key(internal::HashRoundKeys().data());
  const size_t levels = DpfLevels(m);
  Buffer<Block> seeds0 = Buffer<Block>::Zeroed(kDpfGroup);
  Buffer<Block> seeds1 = Buffer<Block>::Zeroed(kDpfGroup);
  Buffer<Block> where = Buffer<Block>::Zeroed(kDpfGroup);
  Buffer<Block> units = Buffer<Block>::Zeroed(kDpfGroup);
  Buffer<Block> words((levels + 1) * kTile);
  Buffer<Block> leaf(kTile);
  uint64_t total = 0;
  for (size_t first = 0; first < alpha.size(); first += kDpfGroup) {
    const size_t size = std::min(kDpfGroup, alpha.size() - first);
    prg0.Fill(position + first, std::span<Block>(seeds0.data(), size));
    prg1.Fill(position + first, std::span<Block>(seeds1.data(), size));
    for (size_t i = 0; i < size; ++i) {
      seeds0[i].lo &= ~uint64_t{1};
      seeds1[i].lo |= 1;
      where[i] = {alpha[first + i], alpha[first + i]};
      units[i] = UnitBlock(alpha[first + i]);
    }
    uint8_t* group = key0 + first * (levels + 1) * sizeof(Block);
    for (size_t tile = 0; tile < size; tile += kTile) {
      uint64_t evaluations = 0;
      GenTile(key, m, seeds0.data() + tile, seeds1.data() + tile,
              where.data() + tile, units.data() + tile, words.data(),
              leaf.data(), evaluations);
      const size_t used = std::min(kTile, size - tile);
      for (size_t level = 0; level <= levels; ++level) {
        memcpy(group + (level * size + tile) * sizeof(Block),
               words.data() + level * kTile, used * sizeof(Block));
      }
      for (size_t i = 0; i < used; ++i) {
        positive[first + tile + i] = Parity(leaf[i], units[tile + i]);
      }
      total += evaluations * used;
    }
    memcpy(key1 + first * (levels + 1) * sizeof(Block), group,
           size * (levels + 1) * sizeof(Block));
  }
  return total;
}

// ---------------------------------------------------------------------------
// One path

// Leaf block of each key's position to `leaf`; to `parity`, the sum of the
// control bits of the left siblings: those whose subtrees end before the
// position (Grotto, Sec. 4).
HWY_INLINE void PathTile(const AesKey& key, int m, const Block* seeds,
                         const Block* where, const TileWords& words,
                         Block* leaf, Block* parity, uint64_t& evaluations) {
  BlockVec s[kChains], h[kChains], sum[kChains];
  LoadTile(seeds, s);
  for (size_t i = 0; i < kChains; ++i) sum[i] = ZeroBlocks();
  const int levels = DpfLevels(m);
  for (int level = 0; level < levels; ++level) {
    Hash(key, s, h, evaluations);
    HWY_UNROLL(16)
    for (size_t i = 0; i < kChains; ++i) {
      const BlockMask right =
          HasBit(LoadBlocks(where + i * kVecBlocks), m - 1 - level);
      // Left child H(s) xor t CW, right child left xor s.
      const BlockVec left = XorIf(ControlBit(s[i]), h[i], words.Load(level, i));
      sum[i] = XorIf(right, sum[i], left);
      s[i] = XorIf(right, left, s[i]);
    }
  }
  Hash(key, s, h, evaluations);
  HWY_UNROLL(16)
  for (size_t i = 0; i < kChains; ++i) {
    h[i] = XorIf(ControlBit(s[i]), h[i], words.Load(levels, i));
  }
  StoreTile(h, leaf);
  StoreTile(sum, parity);
}

template <bool kPrefix>
HWY_INLINE uint64_t EvalPaths(const DpfKeys& keys,
                              std::span<const uint64_t> positions,
                              uint8_t* out) {
  const AesKey key(internal::HashRoundKeys().data());
  Group group(keys, positions);
  Buffer<Block> leaf(kTile), parity(kTile);
  uint64_t total = 0;
  for (size_t first = 0; first < keys.count; first += kDpfGroup) {
    group.Enter(first);
    for (size_t tile = 0; tile < group.size(); tile += kTile) {
      uint64_t evaluations = 0;
      PathTile(key, keys.m, group.seeds(tile), group.where(tile),
               group.Words(tile), leaf.data(), parity.data(), evaluations);
      const size_t used = std::min(kTile, group.size() - tile);
      for (size_t i = 0; i < used; ++i) {
        const uint64_t position = group.where(tile)[i].lo;
        out[first + tile + i] =
            kPrefix
                ? Parity(leaf[i], PrefixBlock(position)) ^ (parity[i].lo & 1)
                : Parity(leaf[i], UnitBlock(position));
      }
      total += evaluations * used;
    }
  }
  return total;
}

uint64_t PrefixKernel(const DpfKeys& keys, std::span<const uint64_t> t,
                      uint8_t* out) {
  return EvalPaths<true>(keys, t, out);
}
uint64_t PointKernel(const DpfKeys& keys, std::span<const uint64_t> j,
                     uint8_t* out) {
  return EvalPaths<false>(keys, j, out);
}

// ---------------------------------------------------------------------------
// Windows

// A tile's window: bit k of a key's window is bit k mod 128 of its block
// k / 128, at blocks[(k / 128) * kTile + key].
HWY_INLINE uint64_t WindowWord(const Block* blocks, size_t key, size_t w) {
  const Block& block = blocks[w / 2 * kTile + key];
  return w % 2 == 0 ? block.lo : block.hi;
}

// One level down, in place: from `count` consecutive nodes a key to
// `next_count`, which start at child 0 or 1 of the first node: at 1 where
// `odd` is set. Only levels held whole wrap.
HWY_INLINE void ExpandNodes(const AesKey& key, const TileWords& words,
                            size_t level, size_t count, size_t next_count,
                            const BlockMask (&odd)[kChains], Block* nodes,
                            uint64_t& evaluations) {
  BlockVec s[kChains], h[kChains], next[kChains];
  for (size_t i = 0; i < kChains; ++i) next[i] = ZeroBlocks();
  // From the last node, so that children never overwrite a node to come.
  for (size_t j = count; j-- > 0;) {
    LoadTile(nodes + j * kTile, s);
    Hash(key, s, h, evaluations);
    HWY_UNROLL(16)
    for (size_t i = 0; i < kChains; ++i) {
      const BlockVec left = XorIf(ControlBit(s[i]), h[i], words.Load(level, i));
      const BlockVec right = Xor(left, s[i]);
      h[i] = Select(odd[i], right, left);
      s[i] = Select(odd[i], next[i], right);
      next[i] = left;
    }
    if (2 * j < next_count) StoreTile(h, nodes + 2 * j * kTile);
    if (2 * j + 1 < next_count) StoreTile(s, nodes + (2 * j + 1) * kTile);
  }
  if (next_count == 2 * count) {  // whole: child 0 follows the last
    Block* last = nodes + (next_count - 1) * kTile;
    LoadTile(last, s);
    for (size_t i = 0; i < kChains; ++i) s[i] = Select(odd[i], next[i], s[i]);
    StoreTile(s, last);
  }
}

// Leaf blocks to window blocks: moves bit start mod 128 to bit 0. `cyclic` if
// the blocks are the whole domain.
HWY_INLINE void ShiftToStart(const Block* where, size_t leaf_blocks,
                             size_t window_blocks, bool cyclic, Block* blocks) {
  for (size_t i = 0; i < kChains; ++i) {
    Block* column = blocks + i * kVecBlocks;
    const BlockVec start = LoadBlocks(where + i * kVecBlocks);
    const BlockMask odd_word = HasBit(start, 6);
    alignas(64) Block counts[2][kVecBlocks];
    for (size_t k = 0; k < kVecBlocks; ++k) {
      const uint64_t right = where[i * kVecBlocks + k].lo & 63;
      counts[0][k] = {right, right};
      counts[1][k] = {63 - right, 63 - right};
    }
    const BlockVec right = LoadBlocks(counts[0]), left = LoadBlocks(counts[1]);

    const BlockVec zero = ZeroBlocks();
    const BlockVec leaf0 = LoadBlocks(column);
    const BlockVec leaf1 = leaf_blocks > 1 ? LoadBlocks(column + kTile) : zero;
    BlockVec leaf = leaf1;  // the one after `aligned`
    BlockVec aligned = Select(odd_word, Straddle(leaf0, leaf1), leaf0);
    for (size_t j = 0; j < window_blocks; ++j) {
      BlockVec after = zero;
      if (j + 2 < leaf_blocks) {
        after = LoadBlocks(column + (j + 2) * kTile);
      } else if (cyclic) {
        after = j + 2 == leaf_blocks ? leaf0 : leaf1;
      }
      const BlockVec next = Select(odd_word, Straddle(leaf, after), leaf);
      // x << (64 - r) as (x << 1) << (63 - r), since r may be 0.
      const BlockVec high = Straddle(aligned, next);
      StoreBlocks(OrWords(ShiftWordsRight(aligned, right),
                          ShiftWordsLeft(AddWords(high, high), left)),
                  column + j * kTile);
      aligned = next;
      leaf = after;
    }
  }
}

// Window blocks of a tile. `blocks` has room for nodes[0] per key.
HWY_INLINE void WindowTile(const AesKey& key, int m, size_t length,
                           const internal::WindowNodes& nodes,
                           const Block* seeds, const Block* where,
                           const TileWords& words, Block* blocks,
                           uint64_t& evaluations) {
  const int levels = DpfLevels(m);
  BlockVec s[kChains], h[kChains];
  LoadTile(seeds, s);
  StoreTile(s, blocks);
  for (int level = 0; level < levels; ++level) {
    const int height = levels - level;
    BlockMask odd[kChains];
    for (size_t i = 0; i < kChains; ++i) {
      odd[i] = HasBit(LoadBlocks(where + i * kVecBlocks), m - 1 - level);
    }
    ExpandNodes(key, words, level, nodes[height], nodes[height - 1], odd,
                blocks, evaluations);
  }
  for (size_t j = 0; j < nodes[0]; ++j) {
    LoadTile(blocks + j * kTile, s);
    Hash(key, s, h, evaluations);
    HWY_UNROLL(16)
    for (size_t i = 0; i < kChains; ++i) {
      h[i] = XorIf(ControlBit(s[i]), h[i], words.Load(levels, i));
    }
    StoreTile(h, blocks + j * kTile);
  }
  const bool whole = nodes[0] == size_t{1} << levels;
  ShiftToStart(where, nodes[0], (length + 127) / 128, whole, blocks);
}

// ---------------------------------------------------------------------------
// Masked table sums

#if TACIT_AES_VECTORS

using WideTag = hn::CappedTag<uint64_t, 8>;
using WideVec = hn::Vec<WideTag>;
constexpr size_t kWide = HWY_LANES(uint64_t);

HWY_INLINE WideVec WideZero() { return hn::Zero(WideTag()); }
HWY_INLINE WideVec WideSet(uint64_t word) { return hn::Set(WideTag(), word); }
HWY_INLINE WideVec WideLoad(const uint64_t* from) {
  return hn::LoadU(WideTag(), from);
}
// sum + table in the lanes where `bits` has the lane's bit of `lane_bits`.
HWY_INLINE WideVec AddWhere(WideVec bits, WideVec lane_bits, WideVec sum,
                            WideVec table) {
  const hn::Mask<WideTag> mask = hn::TestBit(bits, lane_bits);
#if HWY_TARGET == HWY_AVX3_DL
  return WideVec{_mm512_mask_add_epi64(sum.raw, mask.raw, sum.raw, table.raw)};
#else
  return hn::Add(sum, hn::IfThenElseZero(mask, table));
#endif
}
HWY_INLINE uint64_t WideSum(WideVec v) {
#if HWY_TARGET == HWY_AVX3_DL
  // By halves: GCC's header reduces 512 bits in signed arithmetic.
  const hn::Half<WideTag> half;
  return hn::GetLane(hn::SumOfLanes(
      half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v))));
#else
  return hn::GetLane(hn::SumOfLanes(WideTag(), v));
#endif
}

#else  // !TACIT_AES_VECTORS

using WideVec = uint64_t;
constexpr size_t kWide = 1;

HWY_INLINE WideVec WideZero() { return 0; }
HWY_INLINE WideVec WideSet(uint64_t word) { return word; }
HWY_INLINE WideVec WideLoad(const uint64_t* from) { return *from; }
HWY_INLINE WideVec AddWhere(WideVec bits, WideVec lane_bits, WideVec sum,
                            WideVec table) {
  const uint64_t clear = static_cast<uint64_t>((bits & lane_bits) == 0);
  return sum + (table & (clear - 1));
}
HWY_INLINE uint64_t WideSum(WideVec v) { return v; }

#endif  // TACIT_AES_VECTORS

struct LaneBits {
  constexpr LaneBits() {
    for (int k = 0; k < 64; ++k) bits[k] = uint64_t{1} << k;
  }
  alignas(64) uint64_t bits[64] = {};
};

// Tables interleaved: [length / kWide][tables][kWide], as the sums read them. A
// single table is that by itself.
Words InterleaveTables(const WindowTables& tables) {
  const size_t length = tables.length(), padded = (length + 63) / 64 * 64;
  Words out = Words::Zeroed(padded * tables.count());
  for (size_t q = 0; q < tables.count(); ++q) {
    const std::span<const uint64_t> table = tables.table(q);
    for (size_t k = 0; k < length; ++k) {
      out[(k / kWide * tables.count() + q) * kWide + k % kWide] = table[k];
    }
  }
  return out;
}

// sums[q][key] = sum of the table entries whose window bit is set, for
// kSumKeys keys from `key` on.
constexpr size_t kSumKeys = 4;
static_assert(kTile % kSumKeys == 0);

template <size_t kTables>
HWY_INLINE void SumKeys(const Block* blocks, size_t key, size_t length,
                        const uint64_t* tables,
                        uint64_t (&sums)[kMaxWindowTables][kTile]) {
  static constexpr LaneBits kLaneBits;
  WideVec sum[kSumKeys][kTables];
  HWY_UNROLL(16)
  for (size_t i = 0; i < kSumKeys; ++i) {
    HWY_UNROLL(16)
    for (size_t q = 0; q < kTables; ++q) sum[i][q] = WideZero();
  }
  for (size_t k = 0; k < length; k += 64) {
    WideVec bits[kSumKeys];
    HWY_UNROLL(16)
    for (size_t i = 0; i < kSumKeys; ++i) {
      bits[i] = WideSet(WindowWord(blocks, key + i, k / 64));
    }
    const size_t end = std::min<size_t>(64, length - k);
    for (size_t p = 0; p < end; p += kWide) {
      const WideVec lane_bits = WideLoad(kLaneBits.bits + p);
      HWY_UNROLL(16)
      for (size_t q = 0; q < kTables; ++q) {
        const WideVec table = WideLoad(tables);
        tables += kWide;
        HWY_UNROLL(16)
        for (size_t i = 0; i < kSumKeys; ++i) {
          sum[i][q] = AddWhere(bits[i], lane_bits, sum[i][q], table);
        }
      }
    }
  }
  for (size_t i = 0; i < kSumKeys; ++i) {
    for (size_t q = 0; q < kTables; ++q) sums[q][key + i] = WideSum(sum[i][q]);
  }
}

template <size_t kTables>
HWY_INLINE void SumTile(const Block* blocks, size_t used, size_t length,
                        const uint64_t* tables,
                        uint64_t (&sums)[kMaxWindowTables][kTile]) {
  for (size_t key = 0; key < used; key += kSumKeys) {
    SumKeys<kTables>(blocks, key, length, tables, sums);
  }
}

// Where the windows of a batch go: bits, or sums over tables.
class BitsSink {
 public:
  BitsSink(size_t length, uint64_t* bits)
      : words_((length + 63) / 64),
        last_(~uint64_t{0} >> (words_ * 64 - length)),
        bits_(bits) {}

  HWY_INLINE void Take(const Block* blocks, size_t first, size_t used) {
    for (size_t i = 0; i < used; ++i) {
      uint64_t* row = bits_ + (first + i) * words_;
      for (size_t w = 0; w < words_; ++w) row[w] = WindowWord(blocks, i, w);
      row[words_ - 1] &= last_;
    }
  }

 private:
  size_t words_;
  uint64_t last_;
  uint64_t* bits_;
};

class SumSink {
 public:
  SumSink(int party, const WindowTables& tables,
          std::span<const std::span<uint64_t>> out)
      : negate_(-uint64_t(party)),
        length_(tables.length()),
        interleaved_(tables.count() == 1 ? Words() : InterleaveTables(tables)),
        tables_(interleaved_.empty() ? tables.table(0).data()
                                     : interleaved_.data()),
        out_(out) {}

  HWY_INLINE void Take(const Block* blocks, size_t first, size_t used) {
    uint64_t sums[kMaxWindowTables][kTile];
    switch (out_.size()) {
      case 1:
        SumTile<1>(blocks, used, length_, tables_, sums);
        break;
      case 2:
        SumTile<2>(blocks, used, length_, tables_, sums);
        break;
      case 3:
        SumTile<3>(blocks, used, length_, tables_, sums);
        break;
      case 4:
        SumTile<4>(blocks, used, length_, tables_, sums);
        break;
    }
    for (size_t q = 0; q < out_.size(); ++q) {
      for (size_t i = 0; i < used; ++i) {
        out_[q][first + i] = (sums[q][i] ^ negate_) - negate_;
      }
    }
    SecureWipe(sums, sizeof(sums));
  }

 private:
  uint64_t negate_;  // all ones for party 1
  size_t length_;
  Words interleaved_;
  const uint64_t* tables_;
  std::span<const std::span<uint64_t>> out_;
};

template <class Sink>
HWY_INLINE uint64_t EvalWindows(const DpfKeys& keys,
                                std::span<const uint64_t> start, size_t length,
                                Sink& sink) {
  const AesKey key(internal::HashRoundKeys().data());
  const internal::WindowNodes nodes = internal::DpfWindowNodes(keys.m, length);
  Group group(keys, start);
  Buffer<Block> blocks(*std::max_element(nodes.begin(), nodes.end()) * kTile);
  uint64_t total = 0;
  for (size_t first = 0; first < keys.count; first += kDpfGroup) {
    group.Enter(first);
    for (size_t tile = 0; tile < group.size(); tile += kTile) {
      uint64_t evaluations = 0;
      WindowTile(key, keys.m, length, nodes, group.seeds(tile),
                 group.where(tile), group.Words(tile), blocks.data(),
                 evaluations);
      const size_t used = std::min(kTile, group.size() - tile);
      sink.Take(blocks.data(), first + tile, used);
      total += evaluations * used;
    }
  }
  return total;
}

// ---------------------------------------------------------------------------
// Direct keys

constexpr size_t kDirectWords = (size_t{1} << kMaxDirectBits) / 64;

HWY_INLINE uint64_t DomainMask(int m) { return (uint64_t{1} << m) - 1; }

// A bit string of 2^m bits as words; strings shorter than a word are repeated
// until they fill it, so that rotating the word rotates the string.
HWY_INLINE void LoadDirect(int m, const uint8_t* from, uint64_t* words) {
  if (m >= 6) {
    memcpy(words, from, DirectBytes(m));
    return;
  }
  uint64_t word = 0;
  memcpy(&word, from, DirectBytes(m));
  word &= (uint64_t{2} << ((1 << m) - 1)) - 1;
  for (int bits = 1 << m; bits < 64; bits *= 2) word |= word << bits;
  words[0] = word;
}

// The bit strings of one group of direct keys.
class DirectGroup {
 public:
  explicit DirectGroup(const DpfKeys& keys)
      : keys_(keys), bytes_(DirectBytes(keys.m)) {
    if (keys.party == 0) stream_ = Buffer<Block>(bytes_ * kDpfGroup / 16);
  }

  // Goes to the group whose first key is `first`, a multiple of kDpfGroup.
  void Enter(size_t first) {
    size_ = std::min(kDpfGroup, keys_.count - first);
    if (keys_.party == 0) {
      keys_.prg->Fill(
          keys_.position + first * bytes_ / 16,
          std::span<Block>(stream_.data(), (size_ * bytes_ + 15) / 16));
      from_ = reinterpret_cast<const uint8_t*>(stream_.data());
    } else {
      from_ = keys_.key.data() + first * bytes_;
    }
  }

  size_t size() const { return size_; }
  HWY_INLINE void Load(size_t i, uint64_t* words) const {
    LoadDirect(keys_.m, from_ + i * bytes_, words);
  }

 private:
  const DpfKeys& keys_;
  size_t bytes_;
  size_t size_ = 0;
  const uint8_t* from_ = nullptr;
  Buffer<Block> stream_;
};

// Party 1's string is party 0's with bit alpha flipped.
void DirectGenKernel(int m, std::span<const uint64_t> alpha, const Prg& prg0,
                     uint64_t position, uint8_t* key1, uint8_t* positive) {
  const size_t bytes = DirectBytes(m);
  const size_t words = (bytes + 7) / 8;
  const DpfKeys keys{0, m, alpha.size(), {}, &prg0, position};
  DirectGroup group(keys);
  uint64_t bits[kDirectWords];
  for (size_t first = 0; first < alpha.size(); first += kDpfGroup) {
    group.Enter(first);
    for (size_t i = 0; i < group.size(); ++i) {
      const uint64_t a = alpha[first + i] & DomainMask(m);
      group.Load(i, bits);
      uint64_t found = 0;
      for (size_t w = 0; w < words; ++w) {
        // All ones in the word that holds bit alpha.
        const uint64_t here = -static_cast<uint64_t>((a >> 6) == w);
        const uint64_t unit = (uint64_t{1} << (a & 63)) & here;
        found |= bits[w] & unit;
        bits[w] ^= unit;
      }
      // A string shorter than a byte leaves the rest of it zero.
      if (m < 3) bits[0] &= (uint64_t{1} << (1 << m)) - 1;
      memcpy(key1 + (first + i) * bytes, bits, bytes);
      positive[first + i] = std::popcount(found);
    }
  }
  SecureWipe(bits, sizeof(bits));
}

template <bool kPrefix>
HWY_INLINE void EvalDirect(const DpfKeys& keys,
                           std::span<const uint64_t> positions, uint8_t* out) {
  const size_t words = (DirectBytes(keys.m) + 7) / 8;
  DirectGroup group(keys);
  uint64_t bits[kDirectWords];
  for (size_t first = 0; first < keys.count; first += kDpfGroup) {
    group.Enter(first);
    for (size_t i = 0; i < group.size(); ++i) {
      const uint64_t at = positions[first + i] & DomainMask(keys.m);
      group.Load(i, bits);
      const uint64_t below = (uint64_t{2} << (at & 63)) - 1;  // bits 0..at
      uint64_t sum = 0;
      for (size_t w = 0; w < words; ++w) {
        const uint64_t here = -static_cast<uint64_t>((at >> 6) == w);
        const uint64_t before = -static_cast<uint64_t>(w < (at >> 6));
        sum ^= bits[w] & (kPrefix ? (below & here) | before
                                  : here & (uint64_t{1} << (at & 63)));
      }
      out[first + i] = std::popcount(sum) & 1;
    }
  }
  SecureWipe(bits, sizeof(bits));
}

void DirectPrefixKernel(const DpfKeys& keys, std::span<const uint64_t> t,
                        uint8_t* out) {
  EvalDirect<true>(keys, t, out);
}
void DirectPointKernel(const DpfKeys& keys, std::span<const uint64_t> j,
                       uint8_t* out) {
  EvalDirect<false>(keys, j, out);
}

template <class Sink>
HWY_INLINE void EvalDirectWindows(const DpfKeys& keys,
                                  std::span<const uint64_t> start,
                                  size_t length, Sink& sink) {
  const size_t words = (DirectBytes(keys.m) + 7) / 8;  // a power of two
  const size_t window_words = (length + 63) / 64;
  DirectGroup group(keys);
  Buffer<Block> blocks = Buffer<Block>::Zeroed(kDirectWords / 2 * kTile);
  uint64_t bits[kDirectWords];
  for (size_t first = 0; first < keys.count; first += kDpfGroup) {
    group.Enter(first);
    for (size_t tile = 0; tile < group.size(); tile += kTile) {
      const size_t used = std::min(kTile, group.size() - tile);
      for (size_t i = 0; i < used; ++i) {
        group.Load(tile + i, bits);
        const uint64_t from = start[first + tile + i];
        const uint64_t shift = from & 63;
        for (size_t w = 0; w < window_words; ++w) {
          const uint64_t low = bits[((from >> 6) + w) & (words - 1)];
          const uint64_t high = bits[((from >> 6) + w + 1) & (words - 1)];
          const uint64_t word = low >> shift | (high << 1) << (63 - shift);
          Block& block = blocks[w / 2 * kTile + i];
          (w % 2 == 0 ? block.lo : block.hi) = word;
        }
      }
      sink.Take(blocks.data(), first + tile, used);
    }
  }
  SecureWipe(bits, sizeof(bits));
}

uint64_t WindowKernel(const DpfKeys& keys, std::span<const uint64_t> start,
                      size_t length, uint64_t* bits) {
  BitsSink sink(length, bits);
  if (!DpfIsDirect(keys.m)) return EvalWindows(keys, start, length, sink);
  EvalDirectWindows(keys, start, length, sink);
  return 0;
}

uint64_t WindowSumKernel(const DpfKeys& keys, std::span<const uint64_t> start,
                         const WindowTables& tables,
                         std::span<const std::span<uint64_t>> out) {
  const size_t length = tables.length();
  SumSink sink(keys.party, tables, out);
  if (!DpfIsDirect(keys.m)) return EvalWindows(keys, start, length, sink);
  EvalDirectWindows(keys, start, length, sink);
  return 0;
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tacit {
namespace {

HWY_EXPORT(GenKernel);
HWY_EXPORT(PrefixKernel);
HWY_EXPORT(PointKernel);
HWY_EXPORT(WindowKernel);
HWY_EXPORT(WindowSumKernel);
HWY_EXPORT(DirectGenKernel);
HWY_EXPORT(DirectPrefixKernel);
HWY_EXPORT(DirectPointKernel);

void RequireDomain(int m) {
  internal::Require(m >= 1 && m <= kMaxDomainBits, "1 <= m <= 64");
}

void RequireKeys(const DpfKeys& keys, size_t positions) {
  RequireDomain(keys.m);
  internal::Require(keys.party == 0 || keys.party == 1, "party is 0 or 1");
  internal::Require(
      keys.key.size() == DpfKeyBytes(keys.m, keys.party, keys.count),
      "key has DpfKeyBytes(m, party, count) bytes");
  internal::Require(positions == keys.count, "one position per key");
}

void RequireLength(int m, size_t length) {
  internal::Require(length >= 1 && (m == 64 || length <= uint64_t{1} << m),
                    "1 <= length <= 2^m");
}

}  // namespace

namespace internal {

WindowNodes DpfWindowNodes(int m, size_t length) {
  const int levels = DpfLevels(m);
  const size_t points = size_t{1} << kLeafBits;
  WindowNodes nodes = {};
  nodes[0] = (length - 1 + points - 1) / points + 1;
  for (int height = 0; height <= levels; ++height) {
    if (height > 0) nodes[height] = nodes[height - 1] / 2 + 1;
    nodes[height] = std::min(nodes[height], size_t{1} << (levels - height));
  }
  return nodes;
}

uint64_t CountedDpfGen(int m, std::span<const uint64_t> alpha, const Prg& prg0,
                       const Prg& prg1, uint64_t position,
                       std::span<uint8_t> key0, std::span<uint8_t> key1,
                       std::span<uint8_t> positive) {
  RequireDomain(m);
  Require(key0.size() == DpfKeyBytes(m, 0, alpha.size()) &&
              key1.size() == DpfKeyBytes(m, 1, alpha.size()),
          "keys have DpfKeyBytes(m, party, count) bytes");
  Require(positive.size() == alpha.size(), "one sign per key");
  if (!DpfIsDirect(m)) {
    return HWY_DYNAMIC_DISPATCH(GenKernel)(m, alpha, prg0, prg1, position,
                                           key0.data(), key1.data(),
                                           positive.data());
  }
  HWY_DYNAMIC_DISPATCH(DirectGenKernel)
  (m, alpha, prg0, position, key1.data(), positive.data());
  return 0;
}

uint64_t CountedDpfEvalPrefix(const DpfKeys& keys, std::span<const uint64_t> t,
                              std::span<uint8_t> out) {
  RequireKeys(keys, t.size());
  Require(out.size() == keys.count, "one output per key");
  if (!DpfIsDirect(keys.m)) {
    return HWY_DYNAMIC_DISPATCH(PrefixKernel)(keys, t, out.data());
  }
  HWY_DYNAMIC_DISPATCH(DirectPrefixKernel)(keys, t, out.data());
  return 0;
}

uint64_t CountedDpfEvalPoint(const DpfKeys& keys, std::span<const uint64_t> j,
                             std::span<uint8_t> out) {
  RequireKeys(keys, j.size());
  Require(out.size() == keys.count, "one output per key");
  if (!DpfIsDirect(keys.m)) {
    return HWY_DYNAMIC_DISPATCH(PointKernel)(keys, j, out.data());
  }
  HWY_DYNAMIC_DISPATCH(DirectPointKernel)(keys, j, out.data());
  return 0;
}

uint64_t CountedDpfEvalWindow(const DpfKeys& keys,
                              std::span<const uint64_t> start, size_t length,
                              std::span<uint64_t> bits) {
  RequireKeys(keys, start.size());
  RequireLength(keys.m, length);
  Require(bits.size() == keys.count * ((length + 63) / 64),
          "ceil(length / 64) words per key");
  return HWY_DYNAMIC_DISPATCH(WindowKernel)(keys, start, length, bits.data());
}

uint64_t CountedDpfWindowSum(const DpfKeys& keys,
                             std::span<const uint64_t> start,
                             const WindowTables& tables,
                             std::span<const std::span<uint64_t>> out) {
  RequireKeys(keys, start.size());
  Require(out.size() == tables.count(), "one output per table");
  if (tables.count() == 0) return 0;
  RequireLength(keys.m, tables.length());
  for (const std::span<uint64_t> sums : out) {
    Require(sums.size() == keys.count, "one output per key and table");
  }
  return HWY_DYNAMIC_DISPATCH(WindowSumKernel)(keys, start, tables, out);
}

}  // namespace internal

void DpfGen(int m, std::span<const uint64_t> alpha, const Prg& prg0,
            const Prg& prg1, uint64_t position, std::span<uint8_t> key0,
            std::span<uint8_t> key1, std::span<uint8_t> positive) {
  internal::CountedDpfGen(m, alpha, prg0, prg1, position, key0, key1, positive);
}

void DpfEvalPrefix(const DpfKeys& keys, std::span<const uint64_t> t,
                   std::span<uint8_t> out) {
  internal::CountedDpfEvalPrefix(keys, t, out);
}

void DpfEvalPoint(const DpfKeys& keys, std::span<const uint64_t> j,
                  std::span<uint8_t> out) {
  internal::CountedDpfEvalPoint(keys, j, out);
}

void DpfEvalWindow(const DpfKeys& keys, std::span<const uint64_t> start,
                   size_t length, std::span<uint64_t> bits) {
  internal::CountedDpfEvalWindow(keys, start, length, bits);
}

WindowTables::WindowTables(std::span<const std::span<const uint64_t>> tables) {
  internal::Require(tables.size() <= kMaxWindowTables,
                    "at most kMaxWindowTables tables");
  if (!tables.empty()) length_ = tables[0].size();
  for (const std::span<const uint64_t> table : tables) {
    internal::Require(table.size() == length_, "tables of one length");
    std::copy(table.begin(), table.end(), Append().begin());
  }
}

WindowTables WindowTables::Reversed(
    std::initializer_list<std::span<const int64_t>> tables) {
  internal::Require(tables.size() <= kMaxWindowTables,
                    "at most kMaxWindowTables tables");
  WindowTables out;
  if (tables.size() > 0) out.length_ = tables.begin()->size();
  for (const std::span<const int64_t> table : tables) {
    internal::Require(table.size() == out.length_, "tables of one length");
    std::copy(table.rbegin(), table.rend(), out.Append().begin());
  }
  return out;
}

Words& WindowTables::Append() {
  return padded_.emplace_back(Words::Zeroed((length_ + 63) / 64 * 64));
}

void DpfWindowSum(const DpfKeys& keys, std::span<const uint64_t> start,
                  const WindowTables& tables,
                  std::span<const std::span<uint64_t>> out) {
  internal::CountedDpfWindowSum(keys, start, tables, out);
}

uint64_t DpfWindowAes(int m, size_t length, size_t count) {
  if (DpfIsDirect(m)) return 0;
  const internal::WindowNodes nodes = internal::DpfWindowNodes(m, length);
  // One call for each node expanded and one for each leaf block.
  uint64_t calls = nodes[0];
  for (int height = 1; height <= DpfLevels(m); ++height) calls += nodes[height];
  return calls * count;
}

}  // namespace tacit
#endif  // HWY_ONCE
