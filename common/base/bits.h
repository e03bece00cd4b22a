// Logarithms to base 2 as integers, without rounding: the same on every
// machine, unlike std::log2.
#ifndef TACIT_COMMON_BASE_BITS_H_
#define TACIT_COMMON_BASE_BITS_H_

#include <bit>
#include <cmath>
#include <cstddef>

namespace tacit {

// Least k with value <= 2^k. Requires a finite value > 0.
inline int CeilLog2(double value) {
  int exponent;
  const double fraction = std::frexp(value, &exponent);
  return fraction == 0.5 ? exponent - 1 : exponent;
}

// Largest k with 2^k <= value. Requires a finite value > 0.
inline int FloorLog2(double value) {
  int exponent;
  std::frexp(value, &exponent);
  return exponent - 1;
}

// Least k with n <= 2^k. Requires n >= 1.
inline int CeilLog2(size_t n) { return std::bit_width(n - 1); }

}  // namespace tacit

#endif  // TACIT_COMMON_BASE_BITS_H_
