// Table lookup by a secret index, for large tables of secret rows.
#ifndef TACIT_COMMON_GATES_ONE_HOT_H_
#define TACIT_COMMON_GATES_ONE_HOT_H_

#include "common/gates/evaluator.h"

namespace tacit {

// The one-hot vector of t, 0 <= t < size: share [..., size] of integers (frac
// 0) over Z_{2^width}. An additive DPF at r mod 2^m, 2^m >= size; local, no
// opening. Opened and multiplied by an embedding matrix (MatMulStatic) it looks
// a row up. Errors: INVALID_ARGUMENT on sizes; plain: OUT_OF_RANGE if t >=
// size.
Share OneHot(Evaluator& ev, const Wire& t, int m, size_t size, int width);

// Counts of small keys: for k in [0, buckets), buckets a power of two, the
// additive one-hot vector of k summed over the last axis: [..., buckets] over
// Z_{2^width}, 2^width above the axis' length. The dealt one-hot vector of r is
// rotated by k_hat; local. Material: buckets * width bits an element.
Share Histogram(Evaluator& ev, const Wire& k, size_t buckets, int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_ONE_HOT_H_
