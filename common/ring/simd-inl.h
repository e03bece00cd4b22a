// What the ring kernels need beyond Highway. Included once per target.
#if defined(TACIT_COMMON_RING_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TACIT_COMMON_RING_SIMD_INL_H_
#undef TACIT_COMMON_RING_SIMD_INL_H_
#else
#define TACIT_COMMON_RING_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Word = hn::ScalableTag<uint64_t>;  // one whole register
using WordVec = hn::Vec<Word>;
using OneWord = hn::CappedTag<uint64_t, 1>;  // for tails

#undef TACIT_RING_AVX512
#undef TACIT_RING_AVX2
#if HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX3
#define TACIT_RING_AVX512 1
#define TACIT_RING_AVX2 0
#else
#define TACIT_RING_AVX512 0
#define TACIT_RING_AVX2 (HWY_TARGET == HWY_AVX2)
#endif

// a * b modulo 2^64 in every lane; Highway 1.0 has no such operation.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V MulLow(D d, V a, V b) {
#if TACIT_RING_AVX512
  if constexpr (hn::MaxLanes(D()) == 8) {
    return V{_mm512_mullo_epi64(a.raw, b.raw)};
  } else {
    return V{_mm_mullo_epi64(a.raw, b.raw)};
  }
#elif HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
  (void)d;
  return hn::Mul(a, b);
#else
  // aL bL + 2^32 (aH bL + aL bH), from three 32 x 32 -> 64 bit products.
  const hn::Repartition<uint32_t, D> half;
  const auto a32 = hn::BitCast(half, a);
  const auto b32 = hn::BitCast(half, b);
  const auto a_high = hn::BitCast(half, hn::ShiftRight<32>(a));
  const auto b_high = hn::BitCast(half, hn::ShiftRight<32>(b));
  const V cross = hn::Add(hn::MulEven(a_high, b32), hn::MulEven(a32, b_high));
  (void)d;
  return hn::Add(hn::MulEven(a32, b32), hn::ShiftLeft<32>(cross));
#endif
}

// The sum of all lanes. Not hn::SumOfLanes: the AVX-512 header of GCC 12 that
// it uses adds signed numbers, whose overflow is undefined.
template <class D, class V = hn::Vec<D>>
HWY_INLINE uint64_t SumLanes(D d, V v) {
#if HWY_TARGET != HWY_SCALAR  // which has no UpperHalf
  if constexpr (hn::MaxLanes(D()) > 1) {
    const hn::Half<D> half;
    return SumLanes(half,
                    hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
#endif
  (void)d;
  return hn::GetLane(v);
}

// The first `count` < Lanes(d) elements, then zeros; touches no others.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V LoadFirst(D d, size_t count, const uint64_t* from) {
#if TACIT_RING_AVX512 || TACIT_RING_AVX2
  return hn::MaskedLoad(hn::FirstN(d, count), d, from);
#else
  // Highway reads whole vectors here, past the end of `from`.
  HWY_ALIGN uint64_t lanes[hn::MaxLanes(D())] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = from[i];
  return hn::Load(d, lanes);
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE void StoreFirst(D d, size_t count, V v, uint64_t* to) {
#if TACIT_RING_AVX512 || TACIT_RING_AVX2
  hn::BlendedStore(v, hn::FirstN(d, count), d, to);
#else
  HWY_ALIGN uint64_t lanes[hn::MaxLanes(D())];
  hn::Store(v, d, lanes);
  for (size_t i = 0; i < count; ++i) to[i] = lanes[i];
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#endif  // TACIT_COMMON_RING_SIMD_INL_H_
