// The ring Z_{2^n}, 1 <= n <= 64, in 64-bit words.
//
// All arithmetic runs modulo 2^64; the width n is metadata, since reduction
// modulo 2^n commutes with + and *. A word therefore *represents* its residue
// modulo 2^n: bits n and above are unspecified until `Reduce` or `ToSigned`.
#ifndef TACIT_COMMON_RING_RING_H_
#define TACIT_COMMON_RING_RING_H_

#include <cstdint>

namespace tacit {

inline constexpr int kMaxWidth = 64;

inline constexpr bool IsWidth(int width) {
  return width >= 1 && width <= kMaxWidth;
}

// 2^width - 1. Requires 0 <= width <= 64.
inline constexpr uint64_t LowMask(int width) {
  return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}

// The representative in [0, 2^width).
inline constexpr uint64_t Reduce(uint64_t word, int width) {
  return word & LowMask(width);
}

// The representative in [-2^(width-1), 2^(width-1)). Requires IsWidth(width).
inline constexpr int64_t ToSigned(uint64_t word, int width) {
  const int shift = 64 - width;
  return static_cast<int64_t>(word << shift) >> shift;
}

}  // namespace tacit

#endif  // TACIT_COMMON_RING_RING_H_
