// Tables of a wire's low bits, zero outside a public window.
#ifndef TACIT_COMMON_GATES_WINDOWED_LUT_H_
#define TACIT_COMMON_GATES_WINDOWED_LUT_H_

#include <cstdint>
#include <span>

#include "common/gates/evaluator.h"

namespace tacit {

// table[x - low] for low <= x < low + table.size(), 0 elsewhere, for
// |x| < 2^(m-1); over Z_{2^width}, fraction count `frac`.
//
// A DPF at r mod 2^m; party b sums (-1)^b bit_b(j) T[x_hat - j] over the leaves
// of the window only. The sums add to sigma T(x), sigma = +-1 known to the
// dealer: they are opened under a mask rho, in the smallest ring that holds the
// entries, then sigma (u_hat - rho) is local with dealt [sigma], [sigma rho]
// (and, for the ring, [sigma msb(rho)]). One round.
// Errors: INVALID_ARGUMENT if the window is empty, larger than the domain or
//   outside it, or a width is wrong; plain: OUT_OF_RANGE if x leaves the
//   domain.
Share WindowedLut(Evaluator& ev, const Wire& x, int m, int64_t low,
                  std::span<const int64_t> table, int width, int frac);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_WINDOWED_LUT_H_
