// From logits to a token, without anyone but the user learning either.
//
// Logits are a wire [n] or [batch, n] of n candidates; |logit| < `bound`, in
// units of 1. Everything below depends on public parameters only, so that a
// dealer can run ahead of any prompt. What a party learns beyond them: nothing,
// except from TopK (and Sample where it sorts) how many candidates equal the
// k-th largest and how many exceed it; without ties that is 1 and k - 1.
//
// Errors (sticky): INVALID_ARGUMENT, naming the layer, on shapes, on a wire too
// narrow for the bound, or on parameters as stated; in the plain evaluator
// OUT_OF_RANGE if a logit leaves the domain that follows from its bound.
#ifndef TACIT_COMMON_NN_SAMPLING_H_
#define TACIT_COMMON_NN_SAMPLING_H_

#include <cstddef>

#include "common/gates/evaluator.h"

namespace tacit {

// Index of the largest logit, the first of equals: share [] or [batch] over a
// ring of bit_width(n) + 1 bits, frac 0.
// A tournament: in each of its ceil(log2 n) levels one comparison a pair and a
// Select of (value, index); two rounds a level. The other way, the threshold of
// TopK for k = 1, takes five keys and 128 interval bits a candidate where this
// takes one key, to save a third of the rounds (21 of 30 at n = 32000), and
// needs a rule for ties besides.
Share Argmax(Evaluator& ev, const Wire& logits, double bound);

// The k largest, in descending order, smaller indices first among equals.
struct TopKResult {
  Share values;   // [.., k], over Z_{2^width}, the logits' frac
  Share indices;  // likewise, frac 0
};

// 1. The k-th largest value, exactly, by digits of at most 5 bits from the top:
//    31 interval bits a candidate from one key, summed to counts; those that
//    reach k, counted again, are the next digit. Four rounds a digit.
// 2. Each candidate's bits "equal to it" and "above it", from one key more.
// 3. Shuffle of (value, index, bits), each row of a batch by itself; then both
//    parties learn the bits. In an order that neither knows they tell no more
//    than how many are equal.
// 4. Those above, and of the equal ones the first that fill k, are gathered
//    from the shares. Hugging Face's TopKLogitsWarper keeps all that tie at the
//    k-th place; here some of them, at random, make the count k exactly.
// 5. Order: all k (k - 1) / 2 comparisons at once on (value, index), which the
//    parties learn, too: after the shuffle every order is equally likely. Two
//    rounds instead of a sorting network's log^2 k.
// `width` is raised to what the comparisons need. Requires 1 <= k <= n,
// k <= kMaxTopK.
inline constexpr size_t kMaxTopK = 1024;
TopKResult TopK(Evaluator& ev, const Wire& logits, double bound, size_t k,
                int width = 0);

struct SampleParams {
  double bound = 0;
  // Logits are divided by it: 0 (Argmax) or in [1e-3, 1e3].
  double temperature = 1;
  size_t top_k = 0;  // 0: all; else at most kMaxTopK (or n) are kept
  // The fewest most likely candidates whose probabilities reach top_p are kept,
  // after top_k, as by Hugging Face's TopPLogitsWarper: in (0, 1]; below 1 it
  // needs a top_k or n <= kMaxTopK.
  double top_p = 1;
};

// The user's randomness: a wire of kUniformWidth bits of uniform integers in
// [0, 2^kUniformBits), frac kUniformBits, shape [] or [batch].
inline constexpr int kUniformBits = 24;
inline constexpr int kUniformWidth = 64;

// A token, share [] or [batch], frac 0, by inversion of the distribution
// function: the first candidate i (in order of probability; without top_k and
// top_p, of index) with sum_{j <= i} e_j > u sum e_j, where e_j =
// 2^((x_j - max) log2 e / temperature) by Exp2, held to 2^-24 of the largest
// (fewer bits for more than 2^13 candidates). Relative error of a probability
// below 2^-10; the same logits and u give the same token but for rounding.
Share Sample(Evaluator& ev, const Wire& logits, const Wire& u,
             const SampleParams& params);

}  // namespace tacit

#endif  // TACIT_COMMON_NN_SAMPLING_H_
