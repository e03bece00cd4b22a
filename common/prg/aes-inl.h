// AES-128 on vectors of blocks, once per Highway target. Include only between
// the foreach_target.h and HWY_BEFORE_NAMESPACE of a source file.
//
// BlockVec holds kVecBlocks 128-bit blocks:
//  - VAES and AVX-512 (AVX3_DL): four, one AES instruction for all;
//  - AES-NI (AVX2), Arm: one;
//  - elsewhere, also vectors of unknown length: one, and a bitsliced AES.
// No operation branches or addresses memory by what a vector holds.
#if defined(TACIT_COMMON_PRG_AES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TACIT_COMMON_PRG_AES_INL_H_
#undef TACIT_COMMON_PRG_AES_INL_H_
#else
#define TACIT_COMMON_PRG_AES_INL_H_
#endif

#include <string.h>

#include <cstddef>
#include <cstdint>

#include "common/base/buffer.h"
#include "common/prg/aes.h"
#include "common/prg/prg.h"
#include "hwy/highway.h"

#undef TACIT_AES_VECTORS
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || HWY_HAVE_SCALABLE
#define TACIT_AES_VECTORS 0
#else
#define TACIT_AES_VECTORS 1
#endif

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if TACIT_AES_VECTORS

#if HWY_TARGET == HWY_AVX3_DL
constexpr size_t kVecBlocks = 4;
#else
constexpr size_t kVecBlocks = 1;
#endif
using BlockTag = hn::FixedTag<uint64_t, 2 * kVecBlocks>;
using BlockVec = hn::Vec<BlockTag>;

HWY_INLINE BlockVec LoadBlocks(const void* from) {
  return hn::LoadU(BlockTag(), static_cast<const uint64_t*>(from));
}
HWY_INLINE void StoreBlocks(BlockVec v, void* to) {
  hn::StoreU(v, BlockTag(), static_cast<uint64_t*>(to));
}
HWY_INLINE BlockVec Xor(BlockVec a, BlockVec b) { return hn::Xor(a, b); }
HWY_INLINE BlockVec AddWords(BlockVec a, BlockVec b) { return hn::Add(a, b); }
HWY_INLINE BlockVec SubWords(BlockVec a, BlockVec b) { return hn::Sub(a, b); }

// c + kVecBlocks in each block, as a 128-bit number.
HWY_INLINE BlockVec NextCounter(BlockVec c) {
  const BlockTag d;
  const BlockVec step = hn::OddEven(hn::Zero(d), hn::Set(d, kVecBlocks));
  const BlockVec sum = hn::Add(c, step);
  const BlockVec wrapped = hn::VecFromMask(d, hn::Lt(sum, step));  // 0 or -1
  return hn::Sub(sum, hn::ShiftLeftLanes<1>(d, wrapped));
}

// Refers to expanded keys, and holds no copy of them that would need wiping.
class AesKey {
 public:
  HWY_INLINE explicit AesKey(const uint8_t* round_keys)
      : round_keys_(round_keys) {}
  HWY_INLINE hn::Vec<hn::Repartition<uint8_t, BlockTag>> Round(int r) const {
    return hn::LoadDup128(hn::Repartition<uint8_t, BlockTag>(),
                          round_keys_ + r * internal::kAesBlockBytes);
  }

 private:
  const uint8_t* round_keys_;  // 16-byte aligned
};

// x[i] = AES(x[i]). N independent chains hide the latency of one round.
template <size_t N>
HWY_INLINE void Encrypt(const AesKey& key, BlockVec (&x)[N]) {
  const hn::Repartition<uint8_t, BlockTag> bytes;
  const BlockTag words;
  hn::Vec<decltype(bytes)> s[N];
  const auto first = key.Round(0);
  HWY_UNROLL(16)
  for (size_t i = 0; i < N; ++i) {
    s[i] = hn::Xor(hn::BitCast(bytes, x[i]), first);
  }
  HWY_UNROLL(10)
  for (int r = 1; r < internal::kAesRounds; ++r) {
    const auto round = key.Round(r);
    HWY_UNROLL(16)
    for (size_t i = 0; i < N; ++i) s[i] = hn::AESRound(s[i], round);
  }
  const auto last = key.Round(internal::kAesRounds);
  HWY_UNROLL(16)
  for (size_t i = 0; i < N; ++i) {
    x[i] = hn::BitCast(words, hn::AESLastRound(s[i], last));
  }
}

// FIPS-197's SubWord: with four equal columns ShiftRows changes nothing, so
// the last round under a zero key is the S-box on each byte.
HWY_INLINE uint32_t SubWord(uint32_t word) {
  const hn::FixedTag<uint32_t, 4> words;
  const hn::FixedTag<uint8_t, 16> bytes;
  const auto columns = hn::BitCast(bytes, hn::Set(words, word));
  return hn::GetLane(
      hn::BitCast(words, hn::AESLastRound(columns, hn::Zero(bytes))));
}

#else  // !TACIT_AES_VECTORS

using BlockVec = Block;
constexpr size_t kVecBlocks = 1;

HWY_INLINE BlockVec LoadBlocks(const void* from) {
  BlockVec v;
  memcpy(&v, from, sizeof(v));
  return v;
}
HWY_INLINE void StoreBlocks(const BlockVec& v, void* to) {
  memcpy(to, &v, sizeof(v));
}
HWY_INLINE BlockVec Xor(const BlockVec& a, const BlockVec& b) { return a ^ b; }
HWY_INLINE BlockVec AddWords(const BlockVec& a, const BlockVec& b) {
  return {a.lo + b.lo, a.hi + b.hi};
}
HWY_INLINE BlockVec SubWords(const BlockVec& a, const BlockVec& b) {
  return {a.lo - b.lo, a.hi - b.hi};
}
HWY_INLINE BlockVec NextCounter(const BlockVec& c) {
  return {c.lo + 1, c.hi + (c.lo == ~uint64_t{0})};
}

struct AesKey {
  explicit AesKey(const uint8_t* round_keys) {
    internal::BitsliceKey(round_keys, planes);
  }
  ~AesKey() { SecureWipe(planes.data(), sizeof(planes)); }
  internal::BitslicedKey planes;
};

template <size_t N>
HWY_INLINE void Encrypt(const AesKey& key, BlockVec (&x)[N]) {
  static_assert(N % internal::kBitslicedBlocks == 0);
  for (size_t i = 0; i < N; i += internal::kBitslicedBlocks) {
    internal::EncryptBitsliced(key.planes, x + i);
  }
}

HWY_INLINE uint32_t SubWord(uint32_t word) {
  return internal::SubWordBitsliced(word);
}

#endif  // TACIT_AES_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#endif  // TACIT_COMMON_PRG_AES_INL_H_
