// Comparisons with zero, as XOR-shared bits. No round of their own.
#ifndef TACIT_COMMON_GATES_COMPARE_H_
#define TACIT_COMMON_GATES_COMPARE_H_

#include "common/gates/evaluator.h"

namespace tacit {

// 1{x < 0} for |x| < 2^(m-1), from the low m bits of x:
//   msb(x_hat) xor msb(r) xor 1{x_hat mod 2^(m-1) < r mod 2^(m-1)}.
// The last term is the prefix parity of a DPF at r mod 2^(m-1).
// Errors: INVALID_ARGUMENT if m is outside [1, x.width].
BitShare IsNegative(Evaluator& ev, const Wire& x, int m);

// 1{x = 0 mod 2^m}: one leaf of a DPF at r mod 2^m.
BitShare IsZero(Evaluator& ev, const Wire& x, int m);

// 1{low <= x < high} for each of the intervals between consecutive
// `boundaries` (ascending, at least two), |x| < 2^(m-1) and all boundaries in
// [-2^(m-1), 2^(m-1)]: one key at r, one path a boundary. Shape [..., count-1].
BitShare InIntervals(Evaluator& ev, const Wire& x, int m,
                     std::span<const int64_t> boundaries);

// Local operations on bits.
BitShare Not(Evaluator& ev, const BitShare& x);
BitShare Xor(Evaluator& ev, const BitShare& x, const BitShare& y);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_COMPARE_H_
