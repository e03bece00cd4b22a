#include "common/prg/prg.h"

#include <string.h>

#include <algorithm>
#include <bit>

#include "common/base/buffer.h"
#include "common/prg/aes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/prg/prg.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h: compiled once per target.
#include "common/prg/aes-inl.h"
#include "hwy/highway.h"

static_assert(std::endian::native == std::endian::little,
              "blocks and keys are little-endian in memory");

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {

// FIPS-197, Sec. 5.2, for Nk = 4.
void ExpandKeyKernel(const uint8_t* key, uint8_t* round_keys) {
  uint32_t w[4];
  memcpy(w, key, sizeof(w));
  memcpy(round_keys, w, sizeof(w));
  uint32_t rcon = 1;
  for (int r = 1; r <= internal::kAesRounds; ++r) {
    w[0] ^= std::rotr(SubWord(w[3]), 8) ^ rcon;
    for (int i = 1; i < 4; ++i) w[i] ^= w[i - 1];
    memcpy(round_keys + r * sizeof(w), w, sizeof(w));
    rcon = (rcon << 1) ^ ((rcon >> 7) * 0x11B);
  }
  SecureWipe(w, sizeof(w));
}

enum class Combine { kStore, kAdd, kSubtract };

template <Combine kCombine>
HWY_INLINE void Emit(const BlockVec& v, uint64_t* to) {
  if constexpr (kCombine == Combine::kStore) {
    StoreBlocks(v, to);
  } else if constexpr (kCombine == Combine::kAdd) {
    StoreBlocks(AddWords(LoadBlocks(to), v), to);
  } else {
    StoreBlocks(SubWords(LoadBlocks(to), v), to);
  }
}

template <Combine kCombine>
HWY_INLINE void Generate(const uint8_t* round_keys, const Block& counter,
                         uint64_t* out, size_t words) {
  constexpr size_t kChains = 8;
  constexpr size_t kVecWords = 2 * kVecBlocks;
  constexpr size_t kStep = kChains * kVecWords;
  const AesKey key(round_keys);

  alignas(64) Block first[kVecBlocks];
  for (size_t i = 0; i < kVecBlocks; ++i) {
    first[i].lo = counter.lo + i;
    first[i].hi = counter.hi + (first[i].lo < i);  // carry
  }
  BlockVec next = LoadBlocks(first);
  BlockVec x[kChains];
  size_t done = 0;
  for (; done + kStep <= words; done += kStep) {
    for (size_t i = 0; i < kChains; ++i) {
      x[i] = next;
      next = NextCounter(next);
    }
    Encrypt(key, x);
    for (size_t i = 0; i < kChains; ++i) {
      Emit<kCombine>(x[i], out + done + i * kVecWords);
    }
  }
  if (done < words) {
    alignas(64) uint64_t rest[kStep] = {};
    const size_t bytes = (words - done) * sizeof(uint64_t);
    if (kCombine != Combine::kStore) memcpy(rest, out + done, bytes);
    for (size_t i = 0; i < kChains; ++i) {
      x[i] = next;
      next = NextCounter(next);
    }
    Encrypt(key, x);
    for (size_t i = 0; i < kChains; ++i) {
      Emit<kCombine>(x[i], rest + i * kVecWords);
    }
    memcpy(out + done, rest, bytes);
    SecureWipe(rest, sizeof(rest));
  }
  SecureWipe(first, sizeof(first));
}

void FillKernel(const uint8_t* round_keys, const Block& counter, uint64_t* out,
                size_t words) {
  Generate<Combine::kStore>(round_keys, counter, out, words);
}
void AddKernel(const uint8_t* round_keys, const Block& counter, uint64_t* out,
               size_t words) {
  Generate<Combine::kAdd>(round_keys, counter, out, words);
}
void SubtractKernel(const uint8_t* round_keys, const Block& counter,
                    uint64_t* out, size_t words) {
  Generate<Combine::kSubtract>(round_keys, counter, out, words);
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tacit {
namespace {

HWY_EXPORT(ExpandKeyKernel);
HWY_EXPORT(FillKernel);
HWY_EXPORT(AddKernel);
HWY_EXPORT(SubtractKernel);

Block Plus(Block a, uint64_t b) {
  const uint64_t lo = a.lo + b;
  return {lo, a.hi + (lo < b)};
}

// Bit k of `bits` to byte k, as 0 or 1.
uint64_t SpreadBits(uint8_t bits) {
  // Byte k keeps 2^k or 0; adding 127 carries into its top bit unless it is 0.
  const uint64_t kept =
      (uint64_t{bits} * 0x0101010101010101) & 0x8040201008040201;
  return ((kept + 0x7F7F7F7F7F7F7F7F) >> 7) & 0x0101010101010101;
}

}  // namespace

namespace internal {
void ExpandAesKey(const uint8_t* key, AesRoundKeys& round_keys) {
  HWY_DYNAMIC_DISPATCH(ExpandKeyKernel)(key, round_keys.data());
}
}  // namespace internal

Prg::Prg(const Seed& seed) {
  internal::ExpandAesKey(seed.bytes().data(), round_keys_);
  memcpy(&nonce_, seed.bytes().data() + internal::kAesBlockBytes,
         sizeof(nonce_));
}

Prg::~Prg() {
  SecureWipe(round_keys_.data(), sizeof(round_keys_));
  SecureWipe(&nonce_, sizeof(nonce_));
}

void Prg::Fill(uint64_t position, std::span<uint64_t> out) const {
  HWY_DYNAMIC_DISPATCH(FillKernel)
  (round_keys_.data(), Plus(nonce_, position), out.data(), out.size());
}

void Prg::Fill(uint64_t position, std::span<Block> out) const {
  Fill(position, std::span<uint64_t>(reinterpret_cast<uint64_t*>(out.data()),
                                     2 * out.size()));
}

void Prg::AddTo(uint64_t position, std::span<uint64_t> out) const {
  HWY_DYNAMIC_DISPATCH(AddKernel)
  (round_keys_.data(), Plus(nonce_, position), out.data(), out.size());
}

void Prg::SubtractFrom(uint64_t position, std::span<uint64_t> out) const {
  HWY_DYNAMIC_DISPATCH(SubtractKernel)
  (round_keys_.data(), Plus(nonce_, position), out.data(), out.size());
}

void Prg::FillBits(uint64_t position, std::span<uint8_t> out) const {
  constexpr size_t kBlocks = 64;
  alignas(64) uint64_t words[2 * kBlocks];
  for (size_t done = 0; done < out.size();) {
    const size_t bits = std::min(out.size() - done, 128 * kBlocks);
    Fill(position, std::span<uint64_t>(words, (bits + 63) / 64));
    uint8_t* to = out.data() + done;
    for (size_t k = 0; k + 8 <= bits; k += 8) {
      const uint64_t spread = SpreadBits(words[k / 64] >> (k % 64));
      memcpy(to + k, &spread, sizeof(spread));
    }
    for (size_t k = bits / 8 * 8; k < bits; ++k) {
      to[k] = (words[k / 64] >> (k % 64)) & 1;
    }
    done += bits;
    position += kBlocks;
  }
  SecureWipe(words, sizeof(words));
}

}  // namespace tacit
#endif  // HWY_ONCE
