// The residual stream's step: add a narrow update to a wide wire, and square.
#ifndef TACIT_COMMON_GATES_ADD_SQUARES_H_
#define TACIT_COMMON_GATES_ADD_SQUARES_H_

#include "common/gates/evaluator.h"
#include "common/gates/mul_extend.h"

namespace tacit {

struct SumAndSquares {
  Share sum;      // x + u, [..., d]
  Share squares;  // sum over the last axis of (x + u)^2, [...]
};

// s = x + u over Z_{2^x.width} and its rows' sums of squares over
// Z_{2^square_bits}, for x [..., d] of N bits and u of the same shape and
// fraction count in n < N bits. Neither is opened: extending u first would cost
// an opening, and so would squaring a sum that is no wire.
//
// With c = 2^(n-2) or 0 for the range, a = (u_hat + c mod 2^n) - c, w = 1 -
// msb(a + c) and mu = msb(r_u) for r_u in [0, 2^n) (see MulExtend), u = a - r_u
// + 2^n w mu. With the public s_hat = x_hat + a, and r_s = r_x + r_u,
//   s   = s_hat - r_s + 2^n w mu,
//   s^2 = s_hat^2 - 2 s_hat r_s + r_s^2
//       + 2^(n+1) w (mu s_hat - mu r_s) + 2^(2n) w mu.
// Local. Dealt for each element: r_u over Z_{2^N}, mu over Z_{2^(N-n)}, mu r_s
// over Z_{2^(square_bits-n-1)} (nothing if that is none); for each row the sum
// of r_s^2; and x's mask if the parties hold no shares of it.
// Errors: INVALID_ARGUMENT on shapes, fraction counts, n < 2, n >= N or
//   square_bits > N; plain: OUT_OF_RANGE if u breaks its range.
SumAndSquares AddSquares(Evaluator& ev, const Wire& x, const Wire& u,
                         Range range, int square_bits);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_ADD_SQUARES_H_
