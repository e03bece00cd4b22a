// The work of one thread in taking ring elements apart and putting diagonals
// together. Both kernels are bound by memory and read and write once.
#ifndef TACIT_GPU_RING_LIMBS_INL_H_
#define TACIT_GPU_RING_LIMBS_INL_H_

#include "common/ring/product.h"
#include "gpu/base/launch.h"
#include "gpu/ring/limbs.h"

namespace tacit::gpu {

struct alignas(16) Bytes16 {
  uint32_t words[4];
};

// Words to limb planes, `batch` matrices. Element (row, p) of a matrix is
// words[row * row_stride + p * depth_stride]. A thread takes 16 elements of a
// row and writes 16 bytes of each plane; padding becomes zero.
struct DecomposeBody {
  static constexpr size_t kElements = 16;

  LimbShape shape;
  size_t batch;
  const uint64_t* words;
  size_t row_stride, depth_stride, batch_stride;
  int8_t* limbs;             // 16-byte aligned
  size_t limb_batch_stride;  // a multiple of 16

  Launch launch() const { return Cover(batch * items()); }

  // Of one matrix.
  TACIT_HOST_DEVICE size_t items() const {
    return shape.stored_rows() * (shape.stored_depth() / kElements);
  }

  TACIT_HOST_DEVICE void operator()(const Thread& thread) const {
    for (size_t i = thread.index(); i < batch * items(); i += thread.stride()) {
      const size_t matrix = i / items(), item = i % items();
      const size_t groups = shape.stored_depth() / kElements;
      // Neighbouring threads read neighbouring words, whatever the layout.
      const size_t row =
          depth_stride == 1 ? item / groups : item % shape.stored_rows();
      const size_t group =
          depth_stride == 1 ? item % groups : item / shape.stored_rows();
      DecomposeGroup(matrix, row, group * kElements);
    }
  }

 private:
  TACIT_HOST_DEVICE void DecomposeGroup(size_t matrix, size_t row,
                                        size_t first) const {
    uint64_t digits[kElements];
    TACIT_UNROLL
    for (size_t e = 0; e < kElements; ++e) {
      const bool inside = row < shape.rows && first + e < shape.depth;
      digits[e] =
          inside
              ? BalancedDigits(words[matrix * batch_stride + row * row_stride +
                                     (first + e) * depth_stride])
              : 0;
    }
    const size_t chunk = first / shape.chunk_depth();
    int8_t* to = limbs + matrix * limb_batch_stride +
                 shape.chunk_offset(chunk) + row * shape.row_stride(chunk) +
                 first % shape.chunk_depth();
    TACIT_UNROLL
    for (int i = 0; i < kMaxLimbs; ++i) {
      if (i < shape.limbs()) {
        *reinterpret_cast<Bytes16*>(to + shape.plane_offset(chunk, i)) =
            Plane(digits, i);
      }
    }
  }

  // Byte i of each of 16 words.
  TACIT_HOST_DEVICE static Bytes16 Plane(const uint64_t (&digits)[kElements],
                                         int i) {
    Bytes16 plane;
    TACIT_UNROLL
    for (int word = 0; word < 4; ++word) {
      plane.words[word] = 0;
      TACIT_UNROLL
      for (int byte = 0; byte < 4; ++byte) {
        const uint64_t digit = digits[4 * word + byte] >> (8 * i) & 0xff;
        plane.words[word] |= static_cast<uint32_t>(digit) << (8 * byte);
      }
    }
    return plane;
  }
};

// C (op)= sum_d S_d 2^(8 d) over diagonals d < limbs. `sums` is
// [batch, limbs, m, ld] with ld a multiple of 16; C is [batch, m, n]. A thread
// takes 4 columns.
struct RecombineBody {
  static constexpr size_t kColumns = 4;

  int limbs;
  size_t batch, m, n, ld;
  const int32_t* sums;  // 16-byte aligned
  uint64_t* c;
  size_t ldc, batch_stride;  // of c
  Accumulate accumulate;

  Launch launch() const { return Cover(batch * items()); }

  // Of one matrix.
  TACIT_HOST_DEVICE size_t items() const { return m * (ld / kColumns); }

  TACIT_HOST_DEVICE void operator()(const Thread& thread) const {
    for (size_t i = thread.index(); i < batch * items(); i += thread.stride()) {
      const size_t matrix = i / items(), item = i % items();
      RecombineColumns(matrix, item / (ld / kColumns),
                       item % (ld / kColumns) * kColumns);
    }
  }

 private:
  struct alignas(16) Sums {
    int32_t of[kColumns];
  };

  TACIT_HOST_DEVICE void RecombineColumns(size_t matrix, size_t row,
                                          size_t column) const {
    uint64_t total[kColumns] = {};
    const int32_t* from = sums + matrix * limbs * m * ld + row * ld + column;
    TACIT_UNROLL
    for (int d = 0; d < kMaxLimbs; ++d) {
      if (d >= limbs) break;
      const Sums s = *reinterpret_cast<const Sums*>(from + d * m * ld);
      TACIT_UNROLL
      for (size_t e = 0; e < kColumns; ++e) {
        total[e] += static_cast<uint64_t>(int64_t{s.of[e]}) << (8 * d);
      }
    }
    uint64_t* to = c + matrix * batch_stride + row * ldc + column;
    TACIT_UNROLL
    for (size_t e = 0; e < kColumns; ++e) {
      if (column + e < n) Update(to[e], total[e], accumulate);
    }
  }

 public:
  TACIT_HOST_DEVICE static void Update(uint64_t& c, uint64_t value,
                                       Accumulate accumulate) {
    if (accumulate == Accumulate::kOverwrite) {
      c = value;
    } else {
      c += accumulate == Accumulate::kAdd ? value : -value;
    }
  }
};

// C = 0: a product of depth 0, and before sums that several blocks add to.
struct ZeroBody {
  size_t batch, m, n;
  uint64_t* c;
  size_t ldc, batch_stride;

  Launch launch() const { return Cover(batch * m * n); }

  TACIT_HOST_DEVICE void operator()(const Thread& thread) const {
    for (size_t i = thread.index(); i < batch * m * n; i += thread.stride()) {
      const size_t matrix = i / (m * n), item = i % (m * n);
      c[matrix * batch_stride + item / n * ldc + item % n] = 0;
    }
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_LIMBS_INL_H_
