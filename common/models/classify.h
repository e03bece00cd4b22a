// Private classification with all roles as threads of one process.
#ifndef TACIT_COMMON_MODELS_CLASSIFY_H_
#define TACIT_COMMON_MODELS_CLASSIFY_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/accelerator.h"
#include "common/gates/evaluator.h"
#include "common/gates/schema.h"
#include "common/gates/session.h"
#include "common/models/classification.h"
#include "common/models/encoder.h"

namespace tacit {

struct ClassifyOptions {
  Rounding rounding = Rounding::kStochastic;
  int threads = 1;                 // of each role
  AcceleratorFactory accelerator;  // none: all roles compute on this host
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
