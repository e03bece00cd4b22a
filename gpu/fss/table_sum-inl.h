// The product of a window's bits with public tables.
#ifndef TACIT_GPU_FSS_TABLE_SUM_INL_H_
#define TACIT_GPU_FSS_TABLE_SUM_INL_H_

#include <cstdint>

#include "gpu/fss/dpf.h"
#include "gpu/fss/half_tree-inl.h"

namespace tacit::gpu {

// Sums of the table entries whose bit is set, without a branch on the bits.
// All lanes of a warp are at the same entry, so that it is read once for all.
template <int kTables>
class TableSums {
 public:
  TACIT_HOST_DEVICE TableSums() {
    TACIT_UNROLL
    for (int q = 0; q < kTables; ++q) sum_[q] = 0;
  }

  // Bit i of `bits` belongs to entry first + i, for i < count <= 64.
  TACIT_HOST_DEVICE void Add(const DpfWindowArgs& args, uint64_t first,
                             uint64_t count, uint64_t bits) {
    const int size = static_cast<int>(count < 64 ? count : 64);
    TACIT_UNROLL_BY_8
    for (int i = 0; i < size; ++i) {
      const uint64_t mask = uint64_t{0} - (bits >> i & 1);
      TACIT_UNROLL
      for (int q = 0; q < kTables; ++q) {
        sum_[q] += args.tables[q][first + i] & mask;
      }
    }
  }

  // Adds to (or, on the first pass, sets) the outputs of element e, with the
  // party's sign. `last`: no pass follows.
  TACIT_HOST_DEVICE void Store(const DpfWindowArgs& args, uint64_t e,
                               bool first, bool last) const {
    const uint64_t negate =
        uint64_t{0} - static_cast<uint64_t>(args.keys.party);
    uint64_t sum[kTables];
    TACIT_UNROLL
    for (int q = 0; q < kTables; ++q) {
      sum[q] = (sum_[q] ^ negate) - negate;
      if (!first) sum[q] += args.out[q][e * args.out_stride];
    }
    if (args.interpolate && last) {
      const uint64_t step = args.start.words[e] & LowBits(args.step_bits);
      sum[0] = (sum[0] << args.value_shift) + sum[kTables - 1] * step;
    }
    TACIT_UNROLL
    for (int q = 0; q < kTables; ++q) {
      args.out[q][e * args.out_stride] = sum[q];
    }
  }

 private:
  uint64_t sum_[kTables];
};

// 64 bits from bit `shift` % 64 of `low` on, `high` following it.
TACIT_HOST_DEVICE inline uint64_t Funnel(uint64_t low, uint64_t high,
                                         uint64_t shift) {
  // x << (64 - r) as (x << 1) << (63 - r), since r may be 0.
  return low >> (shift & 63) | high << 1 << (63 - (shift & 63));
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_TABLE_SUM_INL_H_
