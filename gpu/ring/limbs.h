// Ring elements as balanced digits to base 256, the form in which tensor cores
// multiply them:
//
//   x = sum_i d_i 2^(8 i)  mod 2^n,   d_i in [-128, 127],  i < ceil(n / 8)
//
// A right operand whose values are small, as a model's weights are before they
// are shared, may have fewer digits than the ring: those above are zero.
// `digits` of them hold the integers from LeastOf(digits) to
// GreatestOf(digits).
//
// A matrix is held as *limb planes*: all digits i of a row, then the next
// digit. The planes of a product's left operand are in rising order of i and
// those of its right operand in falling order, so that every diagonal
//
//   S_d = sum_{i + j = d} A_i B_j,   A B = sum_d S_d 2^(8 d)  mod 2^n
//
// is *one* product of two matrices: columns A_0 .. A_d of the left one, which
// come first in its rows, and B_d .. B_0 of the right one, which come last. Its
// depth is (d + 1) k, its sums stay in int32, and nothing is accumulated across
// calls. With fewer planes on the right it begins at A_i, i = d + 1 - digits,
// if that is above 0.
#ifndef TACIT_GPU_RING_LIMBS_H_
#define TACIT_GPU_RING_LIMBS_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"

namespace tacit::gpu {

inline constexpr int kMaxLimbs = 8;

inline constexpr int LimbsOf(int width) { return (width + 7) / 8; }

// Byte i, as int8, is digit i of x. Bytes above the ring's width are of no
// meaning, as the word's bits there are.
TACIT_DEVICE_INLINE uint64_t BalancedDigits(uint64_t x) {
  // Digit + 128 is a byte of x + 0x80..80, carries included.
  constexpr uint64_t kHalf = 0x8080808080808080;
  return (x + kHalf) ^ kHalf;
}

// The integers that `digits` < 8 digits can be: 2 of them -32896 .. 32639.
inline constexpr int64_t GreatestOf(int digits) {
  int64_t greatest = 0;
  for (int i = 0; i < digits; ++i) greatest = greatest * 256 + 127;
  return greatest;
}
inline constexpr int64_t LeastOf(int digits) {
  return -GreatestOf(digits) / 127 * 128;
}

enum class Operand {
  kLeft,   // [m, k]: planes rising
  kRight,  // [n, k], k along a row: planes falling, rows padded with zeros
};

// The limb planes of one matrix of `rows` rows of `depth` elements. All figures
// are in bytes, which are digits. Requires 1 <= width <= 64.
//
// k is cut into chunks so that no int32 sum of a chunk can overflow: a product
// of two digits is at most 2^14 in size, and (the ring's digits) * (chunk's
// depth) < 2^17 of them are added. A chunk is a matrix [stored_rows, limbs,
// depth_of(chunk)] of its own. Depths are padded with zeros to kDepthUnit, rows
// of a right operand to kRowUnit.
struct LimbShape {
  static constexpr size_t kDepthUnit = 64;
  static constexpr size_t kRowUnit = 16;

  size_t rows = 0;
  size_t depth = 0;
  int width = 64;
  Operand operand = Operand::kRight;
  int digits = 0;  // of an element; 0: as many as the ring has

  TACIT_HOST_DEVICE static constexpr size_t Up(size_t size, size_t unit) {
    return (size + unit - 1) / unit * unit;
  }

  TACIT_HOST_DEVICE constexpr int limbs() const {
    return digits > 0 ? digits : (width + 7) / 8;
  }
  TACIT_HOST_DEVICE constexpr size_t stored_rows() const {
    return operand == Operand::kRight ? Up(rows, kRowUnit) : rows;
  }
  TACIT_HOST_DEVICE constexpr size_t stored_depth() const {
    return Up(depth, kDepthUnit);
  }
  // Of all chunks but the last.
  TACIT_HOST_DEVICE constexpr size_t chunk_depth() const {
    const size_t most = ((size_t{1} << 17) - 1) / ((width + 7) / 8);
    return most / kDepthUnit * kDepthUnit;
  }
  TACIT_HOST_DEVICE constexpr size_t chunks() const {
    return (stored_depth() + chunk_depth() - 1) / chunk_depth();
  }
  TACIT_HOST_DEVICE constexpr size_t depth_of(size_t chunk) const {
    const size_t rest = stored_depth() - chunk * chunk_depth();
    return rest < chunk_depth() ? rest : chunk_depth();
  }
  TACIT_HOST_DEVICE constexpr size_t row_stride(size_t chunk) const {
    return limbs() * depth_of(chunk);
  }
  TACIT_HOST_DEVICE constexpr size_t chunk_offset(size_t chunk) const {
    return chunk * stored_rows() * limbs() * chunk_depth();
  }
  // Where in its row the plane of digit i begins.
  TACIT_HOST_DEVICE constexpr size_t plane_offset(size_t chunk, int i) const {
    const int place = operand == Operand::kRight ? limbs() - 1 - i : i;
    return place * depth_of(chunk);
  }
  // Of the whole matrix: limbs() for an element, besides the padding.
  TACIT_HOST_DEVICE constexpr size_t bytes() const {
    return stored_rows() * limbs() * stored_depth();
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_LIMBS_H_
