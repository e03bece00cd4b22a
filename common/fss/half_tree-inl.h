// The hash and the tree steps of dpf.h on vectors of blocks, once per Highway
// target. Include only between foreach_target.h and HWY_BEFORE_NAMESPACE.
#if defined(TACIT_COMMON_FSS_HALF_TREE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TACIT_COMMON_FSS_HALF_TREE_INL_H_
#undef TACIT_COMMON_FSS_HALF_TREE_INL_H_
#else
#define TACIT_COMMON_FSS_HALF_TREE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "common/prg/aes-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// BlockMask: one truth value per block.
#if TACIT_AES_VECTORS

using BlockMask = hn::Mask<BlockTag>;

HWY_INLINE BlockVec ZeroBlocks() { return hn::Zero(BlockTag()); }
// The control bit t of a node s || t: its lowest bit.
HWY_INLINE BlockMask ControlBit(BlockVec node) {
  return hn::TestBit(hn::InterleaveLower(node, node),
                     hn::Set(BlockTag(), uint64_t{1}));
}
// Bit `bit` of each block's value; both words of a block hold the value.
HWY_INLINE BlockMask HasBit(BlockVec values, int bit) {
  return hn::TestBit(values, hn::Set(BlockTag(), uint64_t{1} << bit));
}
// a xor b where `mask` is set, else a.
HWY_INLINE BlockVec XorIf(BlockMask mask, BlockVec a, BlockVec b) {
#if HWY_TARGET == HWY_AVX3_DL
  return BlockVec{_mm512_mask_xor_epi64(a.raw, mask.raw, a.raw, b.raw)};
#else
  return hn::Xor(a, hn::IfThenElseZero(mask, b));
#endif
}
HWY_INLINE BlockVec XorUnless(BlockMask mask, BlockVec a, BlockVec b) {
  return hn::Xor(a, hn::IfThenZeroElse(mask, b));
}
HWY_INLINE BlockVec Select(BlockMask mask, BlockVec yes, BlockVec no) {
  return hn::IfThenElse(mask, yes, no);
}
// sigma(hi || lo) = (hi xor lo) || hi.
HWY_INLINE BlockVec Sigma(BlockVec x) {
  const BlockTag d;
  const BlockVec high = hn::OddEven(hn::Set(d, ~uint64_t{0}), hn::Zero(d));
  return hn::Xor(hn::Shuffle01(x), hn::And(x, high));
}
// The high word of `block`, then the low word of `next`.
HWY_INLINE BlockVec Straddle(BlockVec block, BlockVec next) {
  return hn::CombineShiftRightBytes<8>(BlockTag(), next, block);
}
// Each word shifted by its own count, 0..63.
HWY_INLINE BlockVec ShiftWordsRight(BlockVec v, BlockVec counts) {
  return hn::Shr(v, counts);
}
HWY_INLINE BlockVec ShiftWordsLeft(BlockVec v, BlockVec counts) {
  return hn::Shl(v, counts);
}
HWY_INLINE BlockVec OrWords(BlockVec a, BlockVec b) { return hn::Or(a, b); }
HWY_INLINE BlockVec BroadcastBlock(const void* from) {
  return hn::LoadDup128(BlockTag(), static_cast<const uint64_t*>(from));
}
HWY_INLINE BlockVec KeepIf(BlockMask mask, BlockVec v) {
  return hn::IfThenElseZero(mask, v);
}
// Sum and difference in lanes of 32 bits.
HWY_INLINE BlockVec AddHalves(BlockVec a, BlockVec b) {
  const BlockTag d;
  const hn::Repartition<uint32_t, BlockTag> d32;
  return hn::BitCast(d, hn::Add(hn::BitCast(d32, a), hn::BitCast(d32, b)));
}
HWY_INLINE BlockVec SubHalves(BlockVec a, BlockVec b) {
  const BlockTag d;
  const hn::Repartition<uint32_t, BlockTag> d32;
  return hn::BitCast(d, hn::Sub(hn::BitCast(d32, a), hn::BitCast(d32, b)));
}
// Blocks of `left` and `right` in turn, 2 * kVecBlocks of them.
HWY_INLINE void StoreInTurn(BlockVec left, BlockVec right, Block* to) {
#if HWY_TARGET == HWY_AVX3_DL
  const BlockTag d;
  alignas(64) static constexpr uint64_t kOrder[8] = {0, 1, 4, 5, 2, 3, 6, 7};
  const auto order = hn::SetTableIndices(d, kOrder);
  StoreBlocks(hn::TableLookupLanes(hn::ConcatLowerLower(d, right, left), order),
              to);
  StoreBlocks(hn::TableLookupLanes(hn::ConcatUpperUpper(d, right, left), order),
              to + kVecBlocks);
#else
  StoreBlocks(left, to);
  StoreBlocks(right, to + 1);
#endif
}

#else  // !TACIT_AES_VECTORS

using BlockMask = uint64_t;  // all bits equal

HWY_INLINE BlockVec ZeroBlocks() { return {}; }
HWY_INLINE BlockMask ControlBit(const BlockVec& node) { return -(node.lo & 1); }
HWY_INLINE BlockMask HasBit(const BlockVec& values, int bit) {
  return -((values.lo >> bit) & 1);
}
HWY_INLINE BlockVec XorIf(BlockMask mask, const BlockVec& a,
                          const BlockVec& b) {
  return {a.lo ^ (mask & b.lo), a.hi ^ (mask & b.hi)};
}
HWY_INLINE BlockVec XorUnless(BlockMask mask, const BlockVec& a,
                              const BlockVec& b) {
  return XorIf(~mask, a, b);
}
HWY_INLINE BlockVec Select(BlockMask mask, const BlockVec& yes,
                           const BlockVec& no) {
  return XorIf(mask, no, yes ^ no);
}
HWY_INLINE BlockVec Sigma(const BlockVec& x) { return {x.hi, x.hi ^ x.lo}; }
HWY_INLINE BlockVec Straddle(const BlockVec& block, const BlockVec& next) {
  return {block.hi, next.lo};
}
HWY_INLINE BlockVec ShiftWordsRight(const BlockVec& v, const BlockVec& counts) {
  return {v.lo >> counts.lo, v.hi >> counts.hi};
}
HWY_INLINE BlockVec ShiftWordsLeft(const BlockVec& v, const BlockVec& counts) {
  return {v.lo << counts.lo, v.hi << counts.hi};
}
HWY_INLINE BlockVec OrWords(const BlockVec& a, const BlockVec& b) {
  return {a.lo | b.lo, a.hi | b.hi};
}
HWY_INLINE BlockVec BroadcastBlock(const void* from) {
  return LoadBlocks(from);
}
HWY_INLINE BlockVec KeepIf(BlockMask mask, const BlockVec& v) {
  return {v.lo & mask, v.hi & mask};
}
// Sum and difference in lanes of 32 bits: the upper lane's carry out is lost,
// the lower lane's masked away.
HWY_INLINE uint64_t JoinHalves(uint64_t high, uint64_t low) {
  constexpr uint64_t kLow = 0xFFFFFFFF;
  return (high & ~kLow) | (low & kLow);
}
HWY_INLINE uint64_t AddHalves(uint64_t a, uint64_t b) {
  return JoinHalves((a >> 32 << 32) + b, a + b);
}
HWY_INLINE uint64_t SubHalves(uint64_t a, uint64_t b) {
  return JoinHalves(a - (b >> 32 << 32), a - b);
}
HWY_INLINE BlockVec AddHalves(const BlockVec& a, const BlockVec& b) {
  return {AddHalves(a.lo, b.lo), AddHalves(a.hi, b.hi)};
}
HWY_INLINE BlockVec SubHalves(const BlockVec& a, const BlockVec& b) {
  return {SubHalves(a.lo, b.lo), SubHalves(a.hi, b.hi)};
}
HWY_INLINE void StoreInTurn(const BlockVec& left, const BlockVec& right,
                            Block* to) {
  StoreBlocks(left, to);
  StoreBlocks(right, to + 1);
}

#endif  // TACIT_AES_VECTORS

// h = H(x) = pi(sigma(x)) xor sigma(x); counts one evaluation per block.
template <size_t N>
HWY_INLINE void Hash(const AesKey& key, const BlockVec (&x)[N],
                     BlockVec (&h)[N], uint64_t& evaluations) {
  BlockVec sigma[N];
  HWY_UNROLL(16)
  for (size_t i = 0; i < N; ++i) sigma[i] = h[i] = Sigma(x[i]);
  Encrypt(key, h);
  HWY_UNROLL(16)
  for (size_t i = 0; i < N; ++i) h[i] = Xor(h[i], sigma[i]);
  ++evaluations;
}

// Keys (or nodes) are worked on in tiles: kChains vectors, one to each block.
constexpr size_t kChains = 8;
constexpr size_t kTile = kChains * kVecBlocks;

HWY_INLINE void LoadTile(const Block* from, BlockVec (&v)[kChains]) {
  HWY_UNROLL(16)
  for (size_t i = 0; i < kChains; ++i) v[i] = LoadBlocks(from + i * kVecBlocks);
}
HWY_INLINE void StoreTile(const BlockVec (&v)[kChains], Block* to) {
  HWY_UNROLL(16)
  for (size_t i = 0; i < kChains; ++i) StoreBlocks(v[i], to + i * kVecBlocks);
}

// Half-Tree, Fig. 8: key generation down to the leaves on alpha's path, for a
// tile of keys. Both parties' nodes on the path differ by Delta, so party 1's
// is s_0 xor Delta throughout. The path takes alpha's bits m - 1, m - 2, ...;
// `alpha` holds each key's in both words. Writes `levels` correction words a
// key to `words`, [levels][kTile], and leaves party 0's leaf in `s`, the
// parties' hashes of their leaves in `h0`, `h1`.
HWY_INLINE void GenLevels(const AesKey& key, int m, int levels,
                          const Block* seeds0, const Block* seeds1,
                          const Block* alpha, Block* words,
                          BlockVec (&s)[kChains], BlockVec (&h0)[kChains],
                          BlockVec (&h1)[kChains], uint64_t& evaluations) {
  BlockVec delta[kChains];
  LoadTile(seeds0, s);
  LoadTile(seeds1, delta);
  for (size_t i = 0; i < kChains; ++i) delta[i] = Xor(delta[i], s[i]);
  for (int level = 0;; ++level) {
    HWY_UNROLL(16)
    for (size_t i = 0; i < kChains; ++i) h1[i] = Xor(s[i], delta[i]);
    Hash(key, s, h0, evaluations);
    Hash(key, h1, h1, evaluations);
    if (level == levels) break;
    HWY_UNROLL(16)
    for (size_t i = 0; i < kChains; ++i) {
      const BlockMask right =
          HasBit(LoadBlocks(alpha + i * kVecBlocks), m - 1 - level);
      // CW = H(s_0) xor H(s_1) xor (1 - alpha_i) Delta.
      const BlockVec word = XorUnless(right, Xor(h0[i], h1[i]), delta[i]);
      StoreBlocks(word, words + level * kTile + i * kVecBlocks);
      // s_0 <- H(s_0) xor alpha_i s_0 xor t_0 CW.
      const BlockVec child = XorIf(ControlBit(s[i]), h0[i], word);
      s[i] = XorIf(right, child, s[i]);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#endif  // TACIT_COMMON_FSS_HALF_TREE_INL_H_
