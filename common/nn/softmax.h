// Softmax over the last axis, in powers of two.
//
//   p_i = 2^(s_i - m) / sum_j 2^(s_j - m),  s in units of log2,
//
// for any m near the row's largest score: softmax does not depend on m, and the
// ring has room for 16 octaves, so a coarse maximum does. Steps and rounds:
//   1-3  coarse maximum: a histogram of k_i = s_i / 8, suffix counts, which of
//        them are zero, how many are not;
//   4-5  2^(s - m): Exp2, then the weights opened and truncated;
//   6    row sums, extended to a wider ring;
//   7-8  their reciprocals, from a segmented table;
//   9    the products, opened and truncated.
// k comes from a stochastic shift, whose carry adds up to one bucket: with
// buckets of 8 units s_max - m lies in (-8, 8), as it would in [0, 16) with
// exact buckets of 16.
//
// Masks are public: entries that are not allowed take no part at all, cost
// nothing, and are exactly zero in the result.
#ifndef TACIT_COMMON_NN_SOFTMAX_H_
#define TACIT_COMMON_NN_SOFTMAX_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/exp2.h"
#include "common/gates/segmented.h"

namespace tacit {

// Everything that the plan fixes about a softmax. All public; PlanSoftmax
// derives it.
struct SoftmaxParams {
  size_t length;        // allowed entries of a row, at most
  int frac;             // of the scores
  int64_t score_bound;  // |score| <= score_bound, in units of log2
  int precision;        // result exact to about 2^-precision
  size_t buckets;       // of 8 units; a power of two
  int count_bits;       // ring that counts a row
  int score_bits;       // least width of the scores' wire
  Exp2Params exp2;
  int weight_frac;   // of the unnormalised weights, each in [0, 2^8)
  int weight_bits;   // their width after truncation
  int sum_bits;      // ring of the row sums
  int product_frac;  // the weights' when they are normalised
  int inverse_frac;
  int probability_frac, probability_bits;
  SegmentedTable reciprocal;

  // Ring of weight times inverse, opened once for each score.
  int product_bits() const {
    return product_frac + inverse_frac - probability_frac + probability_bits;
  }
};

// Parameters for rows of up to `length` entries and scores up to `score_bound`
// units of log2, such that the result is exact to about 2^-precision.
// probability_bits of the result may be raised up to 64 - product_bits() + its
// own, where the next gate needs a wider wire.
// Errors: INVALID_ARGUMENT for length 0 or above 2^20, score_bound outside
//   [1, 2^15], precision outside [4, 13], or where the rings exceed 64 bits.
absl::StatusOr<SoftmaxParams> PlanSoftmax(size_t length, int64_t score_bound,
                                          int precision = 11);

// Scores in natural units as scores in units of log2 with fraction count
// `frac`: x * scale * log2(e). For callers that cannot fold the factor into a
// weight. Local, except with faithful rounding.
Wire ToLog2Units(Evaluator& ev, const Wire& x, double scale, int frac);

// Which entries take part, row by row: [rows, keys] of 0 and 1.
// Query i of `queries` sees keys 0, ..., offset + i.
std::vector<uint8_t> CausalMask(size_t queries, size_t keys, size_t offset);
// Row i sees its first lengths[i] keys.
std::vector<uint8_t> PrefixMask(std::span<const size_t> lengths, size_t keys);

// scores [..., keys] to probabilities of the same shape: fraction count
// probability_frac, width probability_bits. `allowed` (empty: all) covers the
// last axes and repeats over the first; every row needs an allowed entry.
// Errors: INVALID_ARGUMENT on shapes, fraction counts, widths, an empty row or
//   one longer than params.length; plain: OUT_OF_RANGE if a score exceeds its
//   bound.
Wire Softmax(Evaluator& ev, const Wire& scores, const SoftmaxParams& params,
             std::span<const uint8_t> allowed = {});

// For attention, which multiplies by the values first and normalises after:
// out = (weights * V) * inverse costs one product for each output rather than
// each score.
struct AttentionWeights {
  Wire weights;  // [..., keys], fraction count weight_frac, `width` bits
  Wire inverse;  // [...] of the row sums, inverse_frac, inverse_width bits
};
// `width` must hold weights * V; `inverse_width` what the result's product with
// the inverse needs (see MulExtend). `meanwhile` is called with the weights
// before the reciprocal's rounds: what it opens shares the first of them.
AttentionWeights SoftmaxWeights(
    Evaluator& ev, const Wire& scores, const SoftmaxParams& params, int width,
    int inverse_width, absl::FunctionRef<void(const Wire& weights)> meanwhile,
    std::span<const uint8_t> allowed = {});
AttentionWeights SoftmaxWeights(Evaluator& ev, const Wire& scores,
                                const SoftmaxParams& params, int width,
                                int inverse_width,
                                std::span<const uint8_t> allowed = {});

}  // namespace tacit

#endif  // TACIT_COMMON_NN_SOFTMAX_H_
