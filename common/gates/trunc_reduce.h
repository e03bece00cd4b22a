// Dropping fraction bits.
#ifndef TACIT_COMMON_GATES_TRUNC_REDUCE_H_
#define TACIT_COMMON_GATES_TRUNC_REDUCE_H_

#include "common/gates/evaluator.h"

namespace tacit {

// Wire of width n to wire of width n - f and frac - f: y_hat = x_hat >> f with
// mask r >> f. Local, no material, no round. Over Z_{2^(n-f)}
//   y = floor(x / 2^f) + carry,  carry = 1{x mod 2^f + r mod 2^f >= 2^f},
// that is unbiased stochastic rounding whose coin is a function of the mask.
// With Rounding::kFaithful the carry is removed: carry = 1{x_hat mod 2^f <
// r mod 2^f}, an f-bit comparison, then two rounds.
// Errors: INVALID_ARGUMENT if f is outside [0, n).
Wire TruncReduce(Evaluator& ev, const Wire& x, int f);

// The same, always stochastic; for table indices, where a neighbouring entry
// serves as well.
Wire TruncReduceStochastic(Evaluator& ev, const Wire& x, int f);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_TRUNC_REDUCE_H_
