#include "common/ring/elementwise.h"

#include <cassert>

#include "common/ring/ring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/ring/elementwise.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "common/ring/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {

// out[i] = op(d, a[i]): whole registers, then word by word.
template <class Op>
HWY_INLINE void Map(const uint64_t* a, uint64_t* out, size_t n, const Op& op) {
  const Word d;
  const OneWord one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(op(d, hn::LoadU(d, a + i)), d, out + i);
  }
  for (; i < n; ++i) {
    hn::StoreU(op(one, hn::LoadU(one, a + i)), one, out + i);
  }
}

// out[i] = op(d, a[i], b[i], out[i]).
template <class Op>
HWY_INLINE void Map(const uint64_t* a, const uint64_t* b, uint64_t* out,
                    size_t n, const Op& op) {
  const Word d;
  const OneWord one;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(
        op(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i), hn::LoadU(d, out + i)),
        d, out + i);
  }
  for (; i < n; ++i) {
    hn::StoreU(op(one, hn::LoadU(one, a + i), hn::LoadU(one, b + i),
                  hn::LoadU(one, out + i)),
               one, out + i);
  }
}

void AddWords(const uint64_t* a, const uint64_t* b, uint64_t* out, size_t n) {
  Map(a, b, out, n,
      [](auto, auto x, auto y, auto) HWY_ATTR { return hn::Add(x, y); });
}

void SubWords(const uint64_t* a, const uint64_t* b, uint64_t* out, size_t n) {
  Map(a, b, out, n,
      [](auto, auto x, auto y, auto) HWY_ATTR { return hn::Sub(x, y); });
}

void MulWords(const uint64_t* a, const uint64_t* b, uint64_t* out, size_t n) {
  Map(a, b, out, n,
      [](auto d, auto x, auto y, auto) HWY_ATTR { return MulLow(d, x, y); });
}

void MulAddWords(const uint64_t* a, const uint64_t* b, uint64_t* out,
                 size_t n) {
  Map(a, b, out, n, [](auto d, auto x, auto y, auto z) HWY_ATTR {
    return hn::Add(z, MulLow(d, x, y));
  });
}

void MulSubWords(const uint64_t* a, const uint64_t* b, uint64_t* out,
                 size_t n) {
  Map(a, b, out, n, [](auto d, auto x, auto y, auto z) HWY_ATTR {
    return hn::Sub(z, MulLow(d, x, y));
  });
}

void NegateWords(const uint64_t* a, uint64_t* out, size_t n) {
  Map(a, out, n,
      [](auto d, auto x) HWY_ATTR { return hn::Sub(hn::Zero(d), x); });
}

void AddScalarWords(const uint64_t* a, uint64_t scalar, uint64_t* out,
                    size_t n) {
  Map(a, out, n, [scalar](auto d, auto x) HWY_ATTR {
    return hn::Add(x, hn::Set(d, scalar));
  });
}

void MulScalarWords(const uint64_t* a, uint64_t scalar, uint64_t* out,
                    size_t n) {
  Map(a, out, n, [scalar](auto d, auto x) HWY_ATTR {
    return MulLow(d, x, hn::Set(d, scalar));
  });
}

// ((a & mask) >> right) << left.
void MaskShiftWords(const uint64_t* a, uint64_t mask, int right, int left,
                    uint64_t* out, size_t n) {
  Map(a, out, n, [mask, right, left](auto d, auto x) HWY_ATTR {
    const auto kept = hn::And(x, hn::Set(d, mask));
    return hn::ShiftLeftSame(hn::ShiftRightSame(kept, right), left);
  });
}

uint64_t SumWords(const uint64_t* a, size_t n) {
  const Word d;
  const size_t lanes = hn::Lanes(d);
  WordVec sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    sum0 = hn::Add(sum0, hn::LoadU(d, a + i));
    sum1 = hn::Add(sum1, hn::LoadU(d, a + i + lanes));
  }
  uint64_t sum = SumLanes(d, hn::Add(sum0, sum1));
  for (; i < n; ++i) sum += a[i];
  return sum;
}

uint64_t DotWords(const uint64_t* a, const uint64_t* b, size_t n) {
  const Word d;
  const size_t lanes = hn::Lanes(d);
  WordVec sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    sum0 = hn::Add(sum0, MulLow(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i)));
    sum1 = hn::Add(sum1, MulLow(d, hn::LoadU(d, a + i + lanes),
                                hn::LoadU(d, b + i + lanes)));
  }
  uint64_t sum = SumLanes(d, hn::Add(sum0, sum1));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tacit {

HWY_EXPORT(AddWords);
HWY_EXPORT(SubWords);
HWY_EXPORT(MulWords);
HWY_EXPORT(MulAddWords);
HWY_EXPORT(MulSubWords);
HWY_EXPORT(NegateWords);
HWY_EXPORT(AddScalarWords);
HWY_EXPORT(MulScalarWords);
HWY_EXPORT(MaskShiftWords);
HWY_EXPORT(SumWords);
HWY_EXPORT(DotWords);

void Add(ConstWordSpan a, ConstWordSpan b, WordSpan out) {
  assert(a.size() == out.size() && b.size() == out.size());
  HWY_DYNAMIC_DISPATCH(AddWords)(a.data(), b.data(), out.data(), out.size());
}

void Sub(ConstWordSpan a, ConstWordSpan b, WordSpan out) {
  assert(a.size() == out.size() && b.size() == out.size());
  HWY_DYNAMIC_DISPATCH(SubWords)(a.data(), b.data(), out.data(), out.size());
}

void Mul(ConstWordSpan a, ConstWordSpan b, WordSpan out) {
  assert(a.size() == out.size() && b.size() == out.size());
  HWY_DYNAMIC_DISPATCH(MulWords)(a.data(), b.data(), out.data(), out.size());
}

void MulAdd(ConstWordSpan a, ConstWordSpan b, WordSpan out) {
  assert(a.size() == out.size() && b.size() == out.size());
  HWY_DYNAMIC_DISPATCH(MulAddWords)
  (a.data(), b.data(), out.data(), out.size());
}

void MulSub(ConstWordSpan a, ConstWordSpan b, WordSpan out) {
  assert(a.size() == out.size() && b.size() == out.size());
  HWY_DYNAMIC_DISPATCH(MulSubWords)
  (a.data(), b.data(), out.data(), out.size());
}

void Negate(ConstWordSpan a, WordSpan out) {
  assert(a.size() == out.size());
  HWY_DYNAMIC_DISPATCH(NegateWords)(a.data(), out.data(), out.size());
}

void AddScalar(ConstWordSpan a, uint64_t scalar, WordSpan out) {
  assert(a.size() == out.size());
  HWY_DYNAMIC_DISPATCH(AddScalarWords)
  (a.data(), scalar, out.data(), out.size());
}

void MulScalar(ConstWordSpan a, uint64_t scalar, WordSpan out) {
  assert(a.size() == out.size());
  HWY_DYNAMIC_DISPATCH(MulScalarWords)
  (a.data(), scalar, out.data(), out.size());
}

void ShiftRight(ConstWordSpan a, int width, int bits, WordSpan out) {
  assert(a.size() == out.size() && IsWidth(width) && 0 <= bits && bits < 64);
  HWY_DYNAMIC_DISPATCH(MaskShiftWords)
  (a.data(), LowMask(width), bits, 0, out.data(), out.size());
}

void ShiftLeft(ConstWordSpan a, int bits, WordSpan out) {
  assert(a.size() == out.size() && 0 <= bits && bits < 64);
  HWY_DYNAMIC_DISPATCH(MaskShiftWords)
  (a.data(), ~uint64_t{0}, 0, bits, out.data(), out.size());
}

void ReduceAll(ConstWordSpan a, int width, WordSpan out) {
  assert(a.size() == out.size() && IsWidth(width));
  HWY_DYNAMIC_DISPATCH(MaskShiftWords)
  (a.data(), LowMask(width), 0, 0, out.data(), out.size());
}

uint64_t Sum(ConstWordSpan a) {
  return HWY_DYNAMIC_DISPATCH(SumWords)(a.data(), a.size());
}

uint64_t Dot(ConstWordSpan a, ConstWordSpan b) {
  assert(a.size() == b.size());
  return HWY_DYNAMIC_DISPATCH(DotWords)(a.data(), b.data(), a.size());
}

}  // namespace tacit
#endif  // HWY_ONCE
