// Matrix products of wires with static weights and with each other.
#ifndef TACIT_COMMON_GATES_MATMUL_H_
#define TACIT_COMMON_GATES_MATMUL_H_

#include <cstdint>
#include <span>

#include "common/gates/evaluator.h"

namespace tacit {

// x [..., k] times W [k, n]: share [..., n] over Z_{2^width}, frac x + W.
//   dealer-held: z_b = X_hat W_b - C_b,              C = r_X W
//   blind:       z_b = X_hat W_b - [r_X]_b W_hat + [r_X r_W]_b
// (r_X W = r_X W_hat - r_X r_W). One dealt element per output; no opening.
// Errors: INVALID_ARGUMENT if inner sizes differ, width > x.width, or the
//   matrix holds nothing for this role.
Share MatMulStatic(Evaluator& ev, const Wire& x, const StaticMatrix& w,
                   int width);

// Elementwise by a static row: x [..., n] * w, w a StaticMatrix of k = 1.
Share MulStatic(Evaluator& ev, const Wire& x, const StaticMatrix& w, int width);
// x [..., n] + w; the weights' fraction count must be x's. Local.
Share AddStatic(Evaluator& ev, const Share& x, const StaticMatrix& w);

// Public rows of a static matrix [k, n] as a share [rows.size(), n] over
// Z_{2^width}: each party's part of W. Local, nothing is dealt; a row may come
// more than once. Errors: INVALID_ARGUMENT on the width, a row >= k, a
//   transposed layout, or if the matrix holds nothing for this role.
Share FromStatic(Evaluator& ev, const StaticMatrix& w,
                 std::span<const size_t> rows, int width);

// Batched x [batch, m, k] times y: [batch, k, n], or [batch, n, k] if
// `layout` is kTransposed. Share [batch, m, n] over Z_{2^width}.
//   z_b = b X_hat Y_hat - X_hat [r_Y]_b - [r_X]_b Y_hat + [r_X r_Y]_b
// Dealt: one element per output, and shares of masks that have none.
Share MatMul(Evaluator& ev, const Wire& x, const Wire& y, Layout layout,
             int width);

// Share of a static matrix for party b; what a model's owner provisions and
// tests build. `values` are [k, n] as `layout` lays them out. Dealer-held:
// W_0 = words of `stream` at 0. Blind: r_W and party shares of it likewise.
struct StaticMatrixShares {
  StaticMatrix dealer;
  StaticMatrix party[2];
  StaticMatrix plain;
};
// `streams`: two for blind mode (r_W = sum), the first one for dealer-held.
StaticMatrixShares ShareStaticMatrix(Words values, size_t k, size_t n, int frac,
                                     Layout layout, WeightMode mode,
                                     const Prg& stream0, const Prg& stream1);
StaticMatrixShares ShareStaticMatrix(std::span<const int64_t> values, size_t k,
                                     size_t n, int frac, Layout layout,
                                     WeightMode mode, const Prg& stream0,
                                     const Prg& stream1);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_MATMUL_H_
