// Elementwise products and squares of wires.
#ifndef TACIT_COMMON_GATES_MULTIPLY_H_
#define TACIT_COMMON_GATES_MULTIPLY_H_

#include "common/gates/evaluator.h"

namespace tacit {

// x * y over Z_{2^width}; frac adds up. y has x's shape, or lacks x's last axis
// and is repeated along it.
//   z_b = b x_hat y_hat - x_hat [r_y]_b - [r_x]_b y_hat + [r_x r_y]_b
// Dealt: one element per output, and shares of masks that have none. No
// opening. Errors: INVALID_ARGUMENT on shapes, or width above an input's.
Share Mul(Evaluator& ev, const Wire& x, const Wire& y, int width);

// x^2; one dealt element each.
//   z_b = b x_hat^2 - 2 x_hat [r]_b + [r^2]_b
Share Square(Evaluator& ev, const Wire& x, int width);

// Sum of x^2 over the last axis: one dealt element for each row.
Share SumSquares(Evaluator& ev, const Wire& x, int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_MULTIPLY_H_
