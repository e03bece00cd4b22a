#include "common/ring/bitpack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include "common/ring/ring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/ring/bitpack.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "common/ring/simd-inl.h"
#include "hwy/highway.h"

#ifndef TACIT_COMMON_RING_BITPACK_CC_ONCE_
#define TACIT_COMMON_RING_BITPACK_CC_ONCE_
namespace tacit {
namespace {

static_assert(std::endian::native == std::endian::little);

// Eight elements of any width fill `width` whole bytes: the unit of the
// AVX-512 path. Its byte permutations, for one width:
struct GroupPlan {
  // Pack. Element e, shifted left by shift[e] = e * width % 8, has its bytes
  // where the message wants them, a ninth one in `carry`. Byte b of the message
  // has bits of at most two elements (width >= 8): where the earlier and the
  // later one hold theirs, by position among the 64 bytes of all elements.
  alignas(64) uint8_t earlier[64];
  alignas(64) uint8_t later[64];
  alignas(64) uint8_t carry[64];
  uint64_t use_earlier, use_later, use_carry;  // bit b: byte b has such bits
  // Unpack. The eight bytes of the message from where each element begins,
  // and the ninth.
  alignas(64) uint8_t begin[64];
  alignas(64) uint8_t ninth[64];
  alignas(64) uint64_t shift[8];
};

constexpr GroupPlan MakePlan(size_t width) {
  GroupPlan plan{};
  for (size_t b = 0; b < width; ++b) {
    const size_t earlier = 8 * b / width;
    const size_t later = (8 * b + 7) / width;
    const size_t offset = b - earlier * width / 8;
    if (offset < 8) {
      plan.earlier[b] = static_cast<uint8_t>(8 * earlier + offset);
      plan.use_earlier |= uint64_t{1} << b;
    } else {
      plan.carry[b] = static_cast<uint8_t>(8 * earlier);
      plan.use_carry |= uint64_t{1} << b;
    }
    if (later == earlier) continue;
    plan.later[b] = static_cast<uint8_t>(8 * later);  // its first byte
    plan.use_later |= uint64_t{1} << b;
  }
  for (size_t e = 0; e < 8; ++e) {
    plan.shift[e] = e * width % 8;
    for (size_t i = 0; i < 8; ++i) {
      plan.begin[8 * e + i] = static_cast<uint8_t>(e * width / 8 + i);
    }
    // Past the group only where shift[e] = 0 and no ninth byte is used.
    plan.ninth[8 * e] = static_cast<uint8_t>((e * width / 8 + 8) % 64);
  }
  return plan;
}

constexpr std::array<GroupPlan, 65> MakePlans() {
  std::array<GroupPlan, 65> plans{};
  for (size_t width = 1; width <= 64; ++width) plans[width] = MakePlan(width);
  return plans;
}

// [width]. `Pack` needs width >= 8.
[[maybe_unused]] constexpr std::array<GroupPlan, 65> kPlans = MakePlans();

}  // namespace
}  // namespace tacit
#endif  // TACIT_COMMON_RING_BITPACK_CC_ONCE_

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE uint64_t LoadWord(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

HWY_INLINE void StoreWord(uint64_t word, uint8_t* to) {
  std::memcpy(to, &word, sizeof(word));
}

// Byte by byte, for the ends of messages: count <= 8.
HWY_INLINE uint64_t LoadBytes(const uint8_t* from, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; ++i) word |= uint64_t{from[i]} << 8 * i;
  return word;
}

HWY_INLINE void StoreBytes(uint64_t word, size_t count, uint8_t* to) {
  for (size_t i = 0; i < count; ++i)
    to[i] = static_cast<uint8_t>(word >> 8 * i);
}

// width % 8 == 0. Each store of 8 bytes may spill zeros into the next element,
// which comes later.
void PackWholeBytes(const uint64_t* in, size_t n, int width, uint8_t* out) {
  const uint64_t mask = LowMask(width);
  const size_t bytes = width / 8;
  const size_t spilling = 8 / bytes;  // the last ones, at most
  size_t i = 0;
  for (; i + spilling < n; ++i) StoreWord(in[i] & mask, out + i * bytes);
  for (; i < n; ++i) StoreBytes(in[i] & mask, bytes, out + i * bytes);
}

void PackWordByWord(const uint64_t* in, size_t n, int width, uint8_t* out) {
  if (width % 8 == 0) return PackWholeBytes(in, n, width, out);
  const uint64_t mask = LowMask(width);
  uint64_t word = 0;  // the next bits of the message,
  int filled = 0;     // so many of them, < 64
  for (size_t i = 0; i < n; ++i) {
    const uint64_t element = in[i] & mask;
    word |= element << filled;
    filled += width;
    if (filled >= 64) {
      StoreWord(word, out);
      out += 8;
      filled -= 64;
      // width - filled = 64 happens only for width = 64, a whole-byte width.
      word = element >> (width - filled);
    }
  }
  StoreBytes(word, (filled + 7) / 8, out);
}

// kNinth: an element may reach into a ninth byte (width > 57).
template <bool kNinth>
void UnpackWordByWord(const uint8_t* in, size_t n, int width, uint64_t* out) {
  const uint64_t mask = LowMask(width);
  const size_t bytes = PackedBytes(n, width);
  size_t i = 0;
  for (size_t bit = 0; i < n && bit / 8 + 8 + kNinth <= bytes;
       ++i, bit += width) {
    uint64_t word = LoadWord(in + bit / 8) >> bit % 8;
    // In two steps: a shift by 64 is undefined.
    if (kNinth) word |= uint64_t{in[bit / 8 + 8]} << 1 << (63 - bit % 8);
    out[i] = word & mask;
  }
  for (; i < n; ++i) {
    const size_t bit = i * width;
    const size_t left = bytes - bit / 8;
    uint64_t word =
        LoadBytes(in + bit / 8, std::min<size_t>(left, 8)) >> bit % 8;
    if (left > 8) word |= uint64_t{in[bit / 8 + 8]} << 1 << (63 - bit % 8);
    out[i] = word & mask;
  }
}

#if HWY_TARGET == HWY_AVX3_DL

constexpr __mmask64 FirstBytes(size_t count) {
  return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
}

// Returns how many elements it packed: all but the last n % 8.
size_t PackGroups(const uint64_t* in, size_t n, int width, uint8_t* out) {
  if (width < 8) return 0;
  const GroupPlan& plan = kPlans[width];
  const __m512i mask = _mm512_set1_epi64(LowMask(width));
  const __m512i earlier = _mm512_load_si512(plan.earlier);
  const __m512i later = _mm512_load_si512(plan.later);
  const __m512i carry = _mm512_load_si512(plan.carry);
  const __m512i left = _mm512_load_si512(plan.shift);
  const __m512i right = _mm512_sub_epi64(_mm512_set1_epi64(64), left);
  const uint8_t* const end = out + PackedBytes(n, width);
  for (size_t i = 0; i + 8 <= n; i += 8, out += width) {
    const __m512i v = _mm512_and_si512(_mm512_loadu_si512(in + i), mask);
    const __m512i shifted = _mm512_sllv_epi64(v, left);
    __m512i bytes = _mm512_or_si512(
        _mm512_maskz_permutexvar_epi8(plan.use_earlier, earlier, shifted),
        _mm512_maskz_permutexvar_epi8(plan.use_later, later, shifted));
    if (width > 57) {
      bytes = _mm512_or_si512(
          bytes, _mm512_maskz_permutexvar_epi8(plan.use_carry, carry,
                                               _mm512_srlv_epi64(v, right)));
    }
    // Where there is room, the store spills zeros into the groups to come.
    if (end - out >= 64) {
      _mm512_storeu_si512(out, bytes);
    } else {
      _mm512_mask_storeu_epi8(out, FirstBytes(width), bytes);
    }
  }
  return n / 8 * 8;
}

size_t UnpackGroups(const uint8_t* in, size_t n, int width, uint64_t* out) {
  const GroupPlan& plan = kPlans[width];
  const __m512i mask = _mm512_set1_epi64(LowMask(width));
  const __m512i begin = _mm512_load_si512(plan.begin);
  const __m512i ninth = _mm512_load_si512(plan.ninth);
  const __m512i right = _mm512_load_si512(plan.shift);
  const __m512i left = _mm512_sub_epi64(_mm512_set1_epi64(64), right);
  const uint8_t* const end = in + PackedBytes(n, width);
  for (size_t i = 0; i + 8 <= n; i += 8, in += width) {
    const __m512i bytes = end - in >= 64
                              ? _mm512_loadu_si512(in)
                              : _mm512_maskz_loadu_epi8(FirstBytes(width), in);
    __m512i v = _mm512_srlv_epi64(_mm512_permutexvar_epi8(begin, bytes), right);
    if (width > 57) {
      v = _mm512_or_si512(
          v, _mm512_sllv_epi64(_mm512_permutexvar_epi8(ninth, bytes), left));
    }
    _mm512_storeu_si512(out + i, _mm512_and_si512(v, mask));
  }
  return n / 8 * 8;
}

size_t PackBitGroups(const uint8_t* in, size_t n, uint8_t* out) {
  const __m512i one = _mm512_set1_epi8(1);
  for (size_t i = 0; i + 64 <= n; i += 64) {
    StoreWord(_mm512_test_epi8_mask(_mm512_loadu_si512(in + i), one),
              out + i / 8);
  }
  return n / 64 * 64;
}

size_t UnpackBitGroups(const uint8_t* in, size_t n, uint8_t* out) {
  const __m512i one = _mm512_set1_epi8(1);
  for (size_t i = 0; i + 64 <= n; i += 64) {
    _mm512_storeu_si512(out + i,
                        _mm512_maskz_mov_epi8(LoadWord(in + i / 8), one));
  }
  return n / 64 * 64;
}

#else

size_t PackGroups(const uint64_t*, size_t, int, uint8_t*) { return 0; }
size_t UnpackGroups(const uint8_t*, size_t, int, uint64_t*) { return 0; }

// Eight bits at a time in one word.
size_t PackBitGroups(const uint8_t* in, size_t n, uint8_t* out) {
  for (size_t i = 0; i + 8 <= n; i += 8) {
    // The factor moves bit 8 k to 56 + k, and no two to the same place.
    const uint64_t bits = LoadWord(in + i) & 0x0101010101010101;
    out[i / 8] = static_cast<uint8_t>(bits * 0x0102040810204080 >> 56);
  }
  return n / 8 * 8;
}

size_t UnpackBitGroups(const uint8_t* in, size_t n, uint8_t* out) {
  for (size_t i = 0; i + 8 <= n; i += 8) {
    // Byte k keeps bit k of the eight; adding 127 moves it to bit 7.
    const uint64_t bits =
        uint64_t{in[i / 8]} * 0x0101010101010101 & 0x8040201008040201;
    StoreWord((bits + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101, out + i);
  }
  return n / 8 * 8;
}

#endif

}  // namespace

void PackOnTarget(const uint64_t* in, size_t n, int width, uint8_t* out) {
  const size_t done = PackGroups(in, n, width, out);
  PackWordByWord(in + done, n - done, width, out + PackedBytes(done, width));
}

void UnpackOnTarget(const uint8_t* in, size_t n, int width, uint64_t* out) {
  if (width == 64) {
    if (n != 0) std::memcpy(out, in, 8 * n);
    return;
  }
  const size_t done = UnpackGroups(in, n, width, out);
  in += PackedBytes(done, width);
  if (width > 57) {
    UnpackWordByWord<true>(in, n - done, width, out + done);
  } else {
    UnpackWordByWord<false>(in, n - done, width, out + done);
  }
}

void PackBitsOnTarget(const uint8_t* in, size_t n, uint8_t* out) {
  size_t i = PackBitGroups(in, n, out);
  if (i < n) std::memset(out + i / 8, 0, PackedBytes(n - i, 1));
  for (; i < n; ++i) {
    out[i / 8] = static_cast<uint8_t>(out[i / 8] | (in[i] & 1) << i % 8);
  }
}

void UnpackBitsOnTarget(const uint8_t* in, size_t n, uint8_t* out) {
  for (size_t i = UnpackBitGroups(in, n, out); i < n; ++i) {
    out[i] = in[i / 8] >> i % 8 & 1;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tacit {

HWY_EXPORT(PackOnTarget);
HWY_EXPORT(UnpackOnTarget);
HWY_EXPORT(PackBitsOnTarget);
HWY_EXPORT(UnpackBitsOnTarget);

void Pack(std::span<const uint64_t> in, int width, std::span<uint8_t> out) {
  assert(IsWidth(width) && out.size() == PackedBytes(in.size(), width));
  HWY_DYNAMIC_DISPATCH(PackOnTarget)(in.data(), in.size(), width, out.data());
}

void Unpack(std::span<const uint8_t> in, int width, std::span<uint64_t> out) {
  assert(IsWidth(width) && in.size() == PackedBytes(out.size(), width));
  HWY_DYNAMIC_DISPATCH(UnpackOnTarget)
  (in.data(), out.size(), width, out.data());
}

void PackBits(std::span<const uint8_t> in, std::span<uint8_t> out) {
  assert(out.size() == PackedBytes(in.size(), 1));
  HWY_DYNAMIC_DISPATCH(PackBitsOnTarget)(in.data(), in.size(), out.data());
}

void UnpackBits(std::span<const uint8_t> in, std::span<uint8_t> out) {
  assert(in.size() == PackedBytes(out.size(), 1));
  HWY_DYNAMIC_DISPATCH(UnpackBitsOnTarget)
  (in.data(), out.size(), out.data());
}

}  // namespace tacit
#endif  // HWY_ONCE
