// Elementwise kernels modulo 2^64. The best path for this processor is chosen
// at run time; every path gives the same bits.
//
// All spans of one call have the same length, any length including 0; `out`
// may be the same span as an input but must not overlap one otherwise.
#ifndef TACIT_COMMON_RING_ELEMENTWISE_H_
#define TACIT_COMMON_RING_ELEMENTWISE_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tacit {

using ConstWordSpan = std::span<const uint64_t>;
using WordSpan = std::span<uint64_t>;

void Add(ConstWordSpan a, ConstWordSpan b, WordSpan out);        // a + b
void Sub(ConstWordSpan a, ConstWordSpan b, WordSpan out);        // a - b
void Mul(ConstWordSpan a, ConstWordSpan b, WordSpan out);        // a * b
void MulAdd(ConstWordSpan a, ConstWordSpan b, WordSpan out);     // out += a * b
void MulSub(ConstWordSpan a, ConstWordSpan b, WordSpan out);     // out -= a * b
void Negate(ConstWordSpan a, WordSpan out);                      // -a
void AddScalar(ConstWordSpan a, uint64_t scalar, WordSpan out);  // a + scalar
void MulScalar(ConstWordSpan a, uint64_t scalar, WordSpan out);  // a * scalar
// (a mod 2^width) >> bits. Requires 1 <= width <= 64, 0 <= bits < 64.
void ShiftRight(ConstWordSpan a, int width, int bits, WordSpan out);
// a * 2^bits. Requires 0 <= bits < 64.
void ShiftLeft(ConstWordSpan a, int bits, WordSpan out);
// a mod 2^width, in [0, 2^width).
void ReduceAll(ConstWordSpan a, int width, WordSpan out);
// Sum of all elements.
uint64_t Sum(ConstWordSpan a);
// Sum of a[i] * b[i].
uint64_t Dot(ConstWordSpan a, ConstWordSpan b);

}  // namespace tacit

#endif  // TACIT_COMMON_RING_ELEMENTWISE_H_
