// Private classification of texts: what dealer and parties run, and a run with
// all roles as threads of one process.
#ifndef TACIT_COMMON_MODELS_CLASSIFY_H_
#define TACIT_COMMON_MODELS_CLASSIFY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/schema.h"
#include "common/gates/session.h"
#include "common/models/encoder.h"

namespace tacit {

// What is public about a batch of texts; the same at dealer, parties and
// gateway.
struct ClassificationShape {
  std::vector<size_t> lengths;  // tokens of each text
  // Whether segments are sent; without, all tokens are of segment 0.
  bool segments = false;
};

// A batch as the user knows it: SECRET but for its shape.
struct TextBatch {
  std::vector<std::vector<int64_t>> tokens;
  std::vector<std::vector<int64_t>> segments;  // empty: all of segment 0
};

ClassificationShape ShapeOf(const TextBatch& texts);
// INVALID_ARGUMENT if there is no text, one is empty or longer than planned, a
// token or segment is not the model's, segments are not as many as tokens, or
// the model has no classifier.
absl::Status CheckTexts(const EncoderPlan& plan, const TextBatch& texts);

// The program. Inputs: all texts' tokens, then their segments if there are any.
// Output: logits [texts, labels].
void Classify(Evaluator& ev, const EncoderPlan& plan,
              const EncoderMatrices& weights, const ClassificationShape& shape);

struct ClassifyOptions {
  Rounding rounding = Rounding::kStochastic;
  int threads = 1;  // of each role
};

struct ClassifyResult {
  std::vector<std::vector<double>> logits;  // of each text: [labels]
  Cost counted;
  double seconds_material = 0;  // the dealer's wall clock
  double seconds = 0;           // from the first message to the logits
};

// Runs dealer, party 0 and party 1 as threads; the caller is the gateway.
// Errors: CheckTexts's before anything is dealt; else the first role's that
//   failed.
absl::StatusOr<ClassifyResult> ClassifyInProcess(
    const EncoderPlan& plan, const EncoderShares& shares,
    const PlanDigest& digest, const TextBatch& texts,
    const ClassifyOptions& options = {});

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_CLASSIFY_H_
