// Piecewise linear functions on a window, with an optional identity or
// constant above it; and such a function times a wire.
#ifndef TACIT_COMMON_GATES_INTERPOLATED_H_
#define TACIT_COMMON_GATES_INTERPOLATED_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "common/gates/evaluator.h"

namespace tacit {

// With u = x >> step_bits (stochastic) and e = x - u 2^step_bits, both in units
// of 2^-x.frac, the function is, for low <= u < low + value.size(),
//   value[u - low] * 2^value_shift + slope[u - low] * e;
// above the window x itself if identity_above, else constant_above; below it
// 0.
struct InterpolatedTable {
  int step_bits;
  int domain_bits;  // m: |u| < 2^(m-1)
  int64_t low;      // first u of the window
  std::vector<int64_t> value;
  std::vector<int64_t> slope;
  int value_shift;
  int out_frac;
  bool identity_above = false;
  int64_t constant_above = 0;  // in units of 2^-out_frac
  // Values and slopes as sums over windows read them; null: made at every use.
  std::shared_ptr<const WindowTables> windows = nullptr;
};

// Sets `windows`; the tables must not change afterwards.
void PrepareWindows(InterpolatedTable& table);

// Share over Z_{2^width}.
//
// One DPF key at (r >> k) mod 2^m, k = step_bits, gives the window sums of both
// tables and, where something lies above the window, the bit 1{u >= high} from
// two prefixes. e = e_hat - r_e with e_hat = x_hat mod 2^k public and r_e = r
// mod 2^k, so the parties add e_hat into the values before they open them. One
// round opens, with sigma = +-1 of the key (see WindowedLut),
//   p = sigma (2^s value[u] + slope[u] e_hat),   w = sigma slope[u],
// over rings that just hold them, n bits of 2^(n-2) > |entry|, and g = bit xor
// rho. The result is sigma (p - w r_e) + bit * tail. As in Extend,
//   p = P - rho_p + 2^(n_p) U_p msb(rho_p),
// P and U_p public, and likewise w; an identity x of n bits, which is at least
// zero above the window, is
//   x = x_hat - r + 2^n u mu,   u = 1 - msb(x_hat),  mu = msb(r);
// and bit = g + (1 - 2g) rho. So the result is a linear form in dealt values,
// all products of what the dealer knows, with public coefficients:
//
//   dealt                          coefficient           ring
//   sigma                          P                     width
//   sigma r_e                      -W                    width
//   sigma (r_e rho_w - rho_p)      1                     width
//     - 2^t rho r                    (identity)
//   sigma msb(rho_p)               2^(n_p) U_p           width - n_p
//   sigma r_e msb(rho_w)           -2^(n_w) U_w          width - n_w
//   identity, t = out_frac - x.frac:
//   rho                            2^t (1 - 2g) x_hat    width - t
//   (2 rho - 1) r                  2^t g                 width - t
//   rho mu                         2^(t+n) u             width - t - n
//   (1 - 2 rho) mu                 2^(t+n) u g           width - t - n
//   (public)                       2^t g x_hat
//   constant C, t zeros at its end:
//   rho                            C (1 - 2g)            width - t
//   (public)                       C g
//
// Rows whose ring has no bits fall away.
// Errors: as WindowedLut; INVALID_ARGUMENT also if there is both an identity
//   and a constant, or an identity below zero that x is too narrow for.
Share Interpolated(Evaluator& ev, const Wire& x, const InterpolatedTable& table,
                   int width);

// Interpolated(x) * y over Z_{2^width}, frac table.out_frac + y.frac, for y of
// x's shape. The same single round: Interpolated's result is never opened.
//
// For y = y_hat - r_y the form above, sum_j c_j v_j + c with public c_j and c,
// becomes
//   sum_j c_j (y_hat [v_j] - [v_j r_y]) + c (b y_hat - [r_y]),
// so every dealt value comes a second time, multiplied by r_y; and r_y itself
// if the parties hold no shares of it. y may still wait to be opened: it then
// goes out in the same message.
// Errors: as Interpolated; INVALID_ARGUMENT also if shapes differ or width is
//   above y's.
Share InterpolatedTimes(Evaluator& ev, const Wire& x, const Wire& y,
                        const InterpolatedTable& table, int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_INTERPOLATED_H_
