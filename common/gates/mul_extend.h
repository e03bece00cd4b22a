// Products in a ring wider than one of the factors'.
#ifndef TACIT_COMMON_GATES_MUL_EXTEND_H_
#define TACIT_COMMON_GATES_MUL_EXTEND_H_

#include <cstdint>
#include <span>

#include "common/gates/evaluator.h"

namespace tacit {

// What the plan knows of a value of n bits.
enum class Range {
  kSigned,       // -2^(n-2) <= x < 2^(n-2)
  kNonNegative,  // 0 <= x < 2^(n-1)
};

// x * y[row] over Z_{2^width}, where x may have n < width bits: what
// TruncReduce leaves of a value is too narrow for the next product, and
// extending it first would cost an opening. y has x's shape without the last
// axis, or, if `rows` is not empty, is a vector and rows[i] is element i's
// place in it (public).
//
// With c = 2^(n-2) or 0 for the range, a = (x_hat + c mod 2^n) - c, u = 1 -
// msb(a + c) and mu = msb(r) (see Extend), x = a - r_x + 2^n u mu, so
//   z_b = b a y_hat - a [r_y]_b - [r_x]_b y_hat + [r_x r_y]_b
//       + 2^n u ([mu]_b y_hat - [mu r_y]_b).
// Local. Dealt: r_x, r_x r_y over Z_{2^width}, mu, mu r_y over Z_{2^(width-n)};
// the first even if the parties hold shares of r_x, which they do modulo 2^n
// only. If width <= n the mu terms fall away.
// Errors: INVALID_ARGUMENT on shapes, or width above y's; plain: OUT_OF_RANGE
//   if x breaks its range.
Share MulExtend(Evaluator& ev, const Wire& x, const Wire& y, Range range,
                int width, std::span<const uint32_t> rows = {});

// x * y elementwise over Z_{2^width}, both of which may have fewer bits: n of
// x, m of y. With x = a - r_x + 2^n u mu and y = a' - r_y + 2^m u' mu' as
// above,
//   z_b = b a a' - a [r_y]_b - a' [r_x]_b + [r_x r_y]_b
//       + 2^n u (a' [mu]_b - [mu r_y]_b) + 2^m u' (a [mu']_b - [mu' r_x]_b)
//       + 2^(n+m) u u' [mu mu']_b.
// Local. Dealt: r_x, r_y, r_x r_y over Z_{2^width}, and mu, mu r_y over
// Z_{2^(width-n)}, mu', mu' r_x over Z_{2^(width-m)}, mu mu' over
// Z_{2^(width-n-m)}, each where any bits are left of it. Beside widening y
// first, an opening less.
// Errors: INVALID_ARGUMENT on shapes or widths; plain: OUT_OF_RANGE if x or y
//   breaks its range.
Share MulExtendBoth(Evaluator& ev, const Wire& x, Range x_range, const Wire& y,
                    Range y_range, int width);

// The same wire as a share over Z_{2^width} for either range; see Extend.
Share ExtendRange(Evaluator& ev, const Wire& x, Range range, int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_MUL_EXTEND_H_
