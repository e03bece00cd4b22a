// More bits for a wire.
#ifndef TACIT_COMMON_GATES_EXTEND_H_
#define TACIT_COMMON_GATES_EXTEND_H_

#include "common/gates/evaluator.h"

namespace tacit {

// Wire of width n to share over Z_{2^width}, width >= n, for |x| < 2^(n-2).
// With x_hat' = x_hat + 2^(n-2) mod 2^n,
//   x = x_hat' - 2^(n-2) - r + 2^n (1 - msb x_hat') msb(r),
// exact and local. Dealt: r over Z_{2^width}, msb(r) over Z_{2^(width-n)}.
// Errors: INVALID_ARGUMENT on widths (n >= 2); in the plain evaluator
//   OUT_OF_RANGE if a value breaks the bound.
Share Extend(Evaluator& ev, const Wire& x, int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_EXTEND_H_
