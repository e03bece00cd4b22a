// RMSNorm and LayerNorm over the last axis.
//
//   RMSNorm:   y = x / sqrt(mean(x^2) + epsilon) * gamma
//   LayerNorm: y = (x - mean) / sqrt(var + epsilon) * gamma + beta
//
// No division and no rounding before the root: with d entries a row, the table
// takes Q = sum x^2 + d epsilon, or d sum x^2 - (sum x)^2 + d^2 epsilon =
// d^2 (var + epsilon) from the integers themselves, and LayerNorm normalises
// d x - sum x; powers of d are folded into the table's entries. Four rounds:
//   1  Q, and gamma * x where there is a gamma;
//   2-3  1 / sqrt(Q), from a segmented table;
//   4  the product, with beta added to its shares.
#ifndef TACIT_COMMON_NN_NORM_H_
#define TACIT_COMMON_NN_NORM_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/segmented.h"

namespace tacit {

enum class NormKind { kRms, kLayer };

// What a plan knows of a norm.
struct NormSpec {
  NormKind kind;
  size_t dim;             // d
  int frac = 12;          // of x
  int width = 64;         // of x's wire
  double epsilon = 1e-5;  // 0: inputs of mean square below min_mean_square
  double min_mean_square = 1e-6;  // are out of range
  double max_mean_square = 1e6;   // of x (less its mean, for LayerNorm)
  int precision = 11;             // relative error about 2^-precision
  // Significant bits of the root at max_mean_square; 0: precision. Less where
  // that is a bound with a margin, which rows seldom come near.
  int root_bits = 0;
  int out_frac = 12;
  int out_width = 0;       // 0: just wide enough
  bool gamma = false;      // affine: static rows of d entries
  double gamma_bound = 2;  // |gamma| below that
  int gamma_frac = 12;
  bool beta = false;
  double beta_bound = 2;
  int beta_frac = 12;
};

// What follows from it; all public.
struct NormParams {
  NormSpec spec;
  SegmentedTable rsqrt;
  int64_t epsilon;   // added to Q
  int square_bits;   // ring of Q
  int64_t center;    // subtracted from Q
  int scaled_bits;   // ring of gamma * x, 0 without gamma
  int scaled_frac;   // of what is multiplied by the root
  int root_frac;     // of 1 / sqrt(Q)
  int product_bits;  // ring of the product, opened
  int out_width;
};

// Errors: INVALID_ARGUMENT for sizes out of range, or where a ring exceeds
//   spec.width or 64 bits: d^2 max_mean_square 2^(2 frac) <= 2^64 for LayerNorm
//   (d 1024 at the defaults), d max_mean_square 2^(2 frac) for RMSNorm.
absl::StatusOr<NormParams> PlanNorm(const NormSpec& spec);

// x [..., d], best with a shared mask (else one more dealt element each), to a
// wire of the same shape, out_frac and out_width bits. gamma and beta are as
// the spec says, [1, d], null without; in either weight mode.
// Errors: INVALID_ARGUMENT if x or the weights are not as planned; plain:
//   OUT_OF_RANGE if a row's mean square leaves the table.
Wire Norm(Evaluator& ev, const Wire& x, const NormParams& params,
          const StaticMatrix* gamma = nullptr,
          const StaticMatrix* beta = nullptr);

// The norm in parts, for callers that get the squares elsewhere (AddSquares) or
// multiply by the root later: RMSNorm without gamma and beta.

// Row sums of squares [...] over Z_{2^square_bits} to Q, opened.
Wire OpenSquares(Evaluator& ev, const Share& squares, const NormParams& params);
// 1 / sqrt(mean square + epsilon) for each row: [...], root_frac, opened over
// Z_{2^width}. Two rounds, the second when the result is read.
Wire InverseRoot(Evaluator& ev, const Wire& q, const NormParams& params,
                 int width);
// x times the root: as Norm, after Q.
Wire NormWithSquares(Evaluator& ev, const Wire& x, const Wire& q,
                     const NormParams& params);

}  // namespace tacit

#endif  // TACIT_COMMON_NN_NORM_H_
