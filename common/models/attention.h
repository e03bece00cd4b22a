// Attention over the evaluators, for decoders and encoders.
#ifndef TACIT_COMMON_MODELS_ATTENTION_H_
#define TACIT_COMMON_MODELS_ATTENTION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/nn/softmax.h"

namespace tacit {

// Fraction bits of activations, and of weights.
inline constexpr int kFrac = 12;

struct HeadShape {
  size_t heads, kv_heads, head_dim;  // kv_heads divides heads
};

// Rings of an attention, in bits.
struct AttentionPlan {
  HeadShape shape;
  SoftmaxParams softmax;
  int score_ring;   // of queries times keys; both are at least that wide
  int value_ring;   // of weights times values; the width of the values
  int output_ring;  // of that times the inverse of the weights' sums
};

// For rows of up to `keys` allowed scores |s| <= score_bound in units of log2,
// |values| < 2^value_log, |results| < 2^output_log, and a result that is at
// least `output_width` bits wide. Weights are exact to about 2^-11, or 2^-9
// where many keys and large values fill the ring.
// Errors: INVALID_ARGUMENT, naming the ring, where one exceeds 64 bits.
absl::StatusOr<AttentionPlan> PlanAttention(const HeadShape& shape, size_t keys,
                                            int64_t score_bound, int value_log,
                                            int output_log, int output_width);

// Queries of one sequence that attend to the same stretch of its keys. Rows of
// scores that are not allowed by it cost nothing in softmax; those outside
// [key_begin, key_end) are not even computed.
struct AttentionSegment {
  size_t sequence;                // whose keys and values
  size_t query_begin, query_end;  // rows of the queries' wire
  size_t key_begin, key_end;      // rows of the sequence's keys
  // Query i (from query_begin) sees keys up to first_visible + i, relative to
  // key_begin; all of them if absent.
  std::optional<size_t> first_visible;
  // And of those only the last `window`, if there is one.
  std::optional<size_t> window;
};

// Splits `queries` causal queries (rows from query_begin, the sequence's last
// positions, of `keys` keys in all) into segments, so that little more than the
// lower triangle, or the window's band, of the scores is computed.
void AppendCausalSegments(size_t sequence, size_t query_begin, size_t queries,
                          size_t keys, std::optional<size_t> window,
                          std::vector<AttentionSegment>& segments);

// queries [rows, heads * head_dim] in units that make scores log2 (see
// SoftmaxParams), every row in one segment, in order. `keys` and `values`
// return a sequence's, [positions, kv_heads * head_dim], kFrac; values are not
// asked for before the scores are opened, so what opens them may share that
// round. Result: [rows, heads * head_dim], kFrac, at least as wide as planned.
// Ten rounds after the queries', the last when the result is read.
using SequenceWire = absl::FunctionRef<const Wire&(size_t sequence)>;
Wire Attend(Evaluator& ev, const AttentionPlan& plan, const Wire& queries,
            const std::vector<AttentionSegment>& segments, SequenceWire keys,
            SequenceWire values);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_ATTENTION_H_
