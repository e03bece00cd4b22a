// Piecewise linear functions on a window, with an optional identity or
// constant above it.
#ifndef TACIT_COMMON_GATES_INTERPOLATED_H_
#define TACIT_COMMON_GATES_INTERPOLATED_H_

#include <cstdint>
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
};

// Share over Z_{2^width}. One DPF key at (r >> step_bits) mod 2^m gives the
// window sums of both tables and, where something lies above the window, the
// bit 1{u >= high} from two prefixes. One round: both sums and the bit. Then,
// with e = e_hat - r_e, e_hat = x_hat mod 2^k, r_e = r mod 2^k, locally
//   [sigma](2^s v_hat + w_hat e_hat) - [sigma rho_w] e_hat - [sigma r_e] w_hat
//     + [sigma rho_w r_e - 2^s sigma rho_v]
//     + Select(bit, x) 2^t  or  bit * constant_above.
// The sums are opened over rings that just hold the tables' entries, n bits of
// 2^(n-2) > |entry|, and extended as in Extend: v_hat stands for
// v_hat' - 2^(n-2), v_hat' = v_hat + 2^(n-2) mod 2^n, and
// 2^n (1 - msb v_hat') [sigma msb(rho_v)] is added; for w_hat also
// [sigma msb(rho_w) r_e]. That trades dealt elements for opened bits.
// Errors: as WindowedLut; also if identity_above and width > x.width + t, or
//   if there is both an identity and a constant.
Share Interpolated(Evaluator& ev, const Wire& x, const InterpolatedTable& table,
                   int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_INTERPOLATED_H_
