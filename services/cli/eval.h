// `tacit eval`: how far private results are from float ones.
#ifndef TACIT_SERVICES_CLI_EVAL_H_
#define TACIT_SERVICES_CLI_EVAL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/values.h"

namespace tacit {

struct EvalOptions {
  std::string model;     // folder; empty: the demo model
  std::string plan;      // file; empty: calibrate now
  std::string text;      // file, for decoders
  std::string classify;  // file of lines SENTENCE<TAB>LABEL, for classifiers
  // Tokens (or lines) that are run privately, up to whole passes; 0: all.
  size_t limit = 0;
  size_t context = 256;  // tokens of a pass, each with a BOS of its own
  Rounding rounding = Rounding::kStochastic;
  WeightMode weights = WeightMode::kDealerHeld;
  int threads = 1;
};

// Of one way to run the model over the same tokens (or lines).
struct EvalFigures {
  size_t count = 0;       // predictions made
  double nll = 0;         // mean negative log likelihood of what came, in nats
  double agreement = 0;   // share whose largest logit is float's
  double divergence = 0;  // mean KL(float || this), in nats
  double accuracy = 0;    // classifiers: share of right labels
  double seconds = 0;
  double perplexity() const;
};

struct EvalResult {
  std::string model;
  bool classifies = false;
  EvalFigures reference, plain, secure;  // in float, plain fixed point, private
  // Whether the private logits were those of the plain evaluator under the same
  // masks, bit for bit, wherever both ran.
  bool secure_equals_plain = true;
};

// Errors: those of files; INVALID_ARGUMENT for a text too short, a line without
//   a label, or a file that is not for this kind of model; the roles'.
absl::StatusOr<EvalResult> EvalModel(const EvalOptions& options);

std::string ToTable(const EvalResult& result);
std::string ToJson(const EvalResult& result);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_EVAL_H_
