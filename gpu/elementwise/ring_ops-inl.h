// Ops on words modulo 2^64: those of common/ring/elementwise.h, and the linear
// maps of common/gates/linear.cc.
#ifndef TACIT_GPU_ELEMENTWISE_RING_OPS_INL_H_
#define TACIT_GPU_ELEMENTWISE_RING_OPS_INL_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"

namespace tacit::gpu {

TACIT_HOST_DEVICE constexpr bool IsWidth(int width) {
  return width >= 1 && width <= 64;
}
TACIT_HOST_DEVICE constexpr uint64_t Reduce(uint64_t word, int width) {
  return width >= 64 ? word : word & ((uint64_t{1} << width) - 1);
}
// The highest of the `width` bits.
TACIT_HOST_DEVICE constexpr uint64_t Msb(uint64_t word, int width) {
  return Reduce(word, width) >> (width - 1);
}

struct AddOp {  // a + b
  const uint64_t *a, *b;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] + b[i]; }
};
struct SubOp {  // a - b
  const uint64_t *a, *b;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] - b[i]; }
};
struct MulOp {  // a * b
  const uint64_t *a, *b;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] * b[i]; }
};
struct MulAddOp {  // out += a * b
  const uint64_t *a, *b;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] += a[i] * b[i]; }
};
struct MulSubOp {  // out -= a * b
  const uint64_t *a, *b;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] -= a[i] * b[i]; }
};
struct NegateOp {  // -a
  const uint64_t* a;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = 0 - a[i]; }
};
struct AddScalarOp {  // a + scalar
  const uint64_t* a;
  uint64_t scalar;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] + scalar; }
};
struct MulScalarOp {  // a * scalar
  const uint64_t* a;
  uint64_t scalar;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] * scalar; }
};
// (a mod 2^width) >> bits: TruncReduce of wires and masks.
struct ShiftRightOp {
  const uint64_t* a;
  int width, bits;
  uint64_t* out;
  bool Valid() const { return IsWidth(width) && bits >= 0 && bits < 64; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = Reduce(a[i], width) >> bits;
  }
};
struct ShiftLeftOp {  // a * 2^bits
  const uint64_t* a;
  int bits;
  uint64_t* out;
  bool Valid() const { return bits >= 0 && bits < 64; }
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] << bits; }
};
struct ReduceOp {  // a mod 2^width
  const uint64_t* a;
  int width;
  uint64_t* out;
  bool Valid() const { return IsWidth(width); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = Reduce(a[i], width);
  }
};

// Multiplication by public factors, one for each index of the last axis:
// out[.., j] = a[.., j] * factors[j].
struct MulRowOp {
  const uint64_t *a, *factors;
  size_t d;
  uint64_t* out;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = a[i] * factors[i % d];
  }
};
// a[.., j] + row[j], j < d.
struct AddRowOp {
  const uint64_t *a, *row;
  size_t d;
  uint64_t* out;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = a[i] + row[i % d];
  }
};
// out[r, j] = a[r] for j < d; `out` is not `a`.
struct RepeatLastOp {
  const uint64_t* a;
  size_t d;
  uint64_t* out;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i / d]; }
};
// out[r, j] = a[rows[r], j], j < row; `out` is not `a`. rows: public, in
// range.
struct GatherRowsOp {
  const uint64_t* a;
  const uint64_t* rows;
  size_t row;
  uint64_t* out;
  bool Valid() const { return row > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = a[rows[i / row] * row + i % row];
  }
};
// out[r, j] = a[r, begin + j], j < count, of rows of d; `out` is not `a`.
struct SliceLastOp {
  const uint64_t* a;
  size_t d, begin, count;
  uint64_t* out;
  bool Valid() const { return count > 0 && begin <= d && count <= d - begin; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = a[i / count * d + begin + i % count];
  }
};
// Rows of `to` words: out[r, j] = a[first + r, begin + j] of rows of `from`
// words for j < count, and 0 behind them; `out` is not `a`.
struct PlaceColumnsOp {
  const uint64_t* a;
  size_t from, first, begin, count, to;
  uint64_t* out;
  bool Valid() const {
    return to > 0 && count <= to && begin <= from && count <= from - begin;
  }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const size_t row = i / to, column = i % to;
    out[i] = column < count ? a[(first + row) * from + begin + column] : 0;
  }
};
// out[target[i]] = a[i]; `out` is not `a`. target: public, in range, no two
// alike.
struct ScatterOp {
  const uint64_t *a, *target;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[target[i]] = a[i]; }
};
// Rows of `row` words: out[s] = sum of the rows from start[s] on and before
// start[s + 1]; one element of the op is a word of `out`. start: public.
struct SumSegmentsOp {
  const uint64_t *a, *start;
  size_t row;
  uint64_t* out;
  bool Valid() const { return row > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const size_t segment = i / row, column = i % row;
    uint64_t sum = 0;
    for (size_t r = start[segment]; r < start[segment + 1]; ++r) {
      sum += a[r * row + column];
    }
    out[i] = sum;
  }
};
// Rows of `columns` words times a public matrix [outputs, columns]:
// out[r, j] = sum over i of a[r, i] matrix[j, i]; `out` is not `a`.
struct MapRowsOp {
  const uint64_t *a, *matrix;
  size_t columns, outputs;
  uint64_t* out;
  bool Valid() const { return outputs > 0; }
  TACIT_HOST_DEVICE void operator()(size_t item) const {
    const size_t row = item / outputs, j = item % outputs;
    uint64_t sum = 0;
    for (size_t i = 0; i < columns; ++i) {
      sum += a[row * columns + i] * matrix[j * columns + i];
    }
    out[item] = sum;
  }
};
// Axes in another order: the output's axis k has shape[k] indices that lie
// walk[k] elements apart in `a`; axes before those that are used have shape 1.
// `out` is not `a`.
struct TransposeOp {
  static constexpr int kMaxRank = 4;
  const uint64_t* a;
  size_t shape[kMaxRank], walk[kMaxRank];
  uint64_t* out;
  bool Valid() const {
    for (size_t s : shape) {
      if (s == 0) return false;
    }
    return true;
  }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    size_t from = 0, rest = i;
    for (int k = kMaxRank - 1; k >= 0; --k) {
      from += rest % shape[k] * walk[k];
      rest /= shape[k];
    }
    out[i] = a[from];
  }
};

// RoPE: pair i of the `pairs` rotated ones of each row of d, at
// rotations[position][i] = (cos, sin): (a, b) -> (a cos - b sin, b cos + a
// sin), a at stride * i, b `distance` after it; what follows the pairs is
// shifted by `frac`. One element of the op is one pair, or one of what follows:
// pairs + (d - 2 pairs) to a row. Row r is at rotations (r / heads) %
// positions.
struct RotateOp {
  const uint64_t* a;
  const int64_t* rotations;  // [positions, pairs, 2], public
  size_t d, pairs, heads, positions;
  bool interleaved;
  int frac;
  uint64_t* out;
  bool Valid() const {
    return d > 0 && 2 * pairs <= d && heads > 0 && positions > 0 && frac >= 0 &&
           frac < 64;
  }
  // Elements of the op for `rows` rows.
  TACIT_HOST_DEVICE size_t items() const { return d - pairs; }
  TACIT_HOST_DEVICE void operator()(size_t item) const {
    const size_t row = item / items(), i = item % items();
    const uint64_t* from = a + row * d;
    uint64_t* to = out + row * d;
    if (i >= pairs) {
      to[i + pairs] = from[i + pairs] << frac;
      return;
    }
    const size_t at = interleaved ? 2 * i : i;
    const size_t distance = interleaved ? 1 : pairs;
    const int64_t* r = rotations + (row / heads % positions * pairs + i) * 2;
    const uint64_t cos = static_cast<uint64_t>(r[0]);
    const uint64_t sin = static_cast<uint64_t>(r[1]);
    const uint64_t x = from[at], y = from[at + distance];
    to[at] = x * cos - y * sin;
    to[at + distance] = y * cos + x * sin;
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_RING_OPS_INL_H_
