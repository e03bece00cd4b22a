// Private generation with all roles as threads of one process.
#ifndef TACIT_COMMON_MODELS_GENERATE_H_
#define TACIT_COMMON_MODELS_GENERATE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/schema.h"
#include "common/models/decoder.h"
#include "common/models/sampler.h"

namespace tacit {

struct GenerateOptions {
  size_t max_tokens = 64;
  SamplingOptions sampling;
  std::vector<int64_t> stop_tokens;
  Rounding rounding = Rounding::kStochastic;
  int threads = 1;  // of each role
};

struct GenerateResult {
  std::vector<int64_t> tokens;  // the stop token included
  // Five largest logits of the first step: (id, logit), descending.
  std::vector<std::pair<int64_t, double>> first_step_top;
  Cost counted;
  double seconds_material = 0;  // the dealer's wall clock
  double seconds_prefill = 0;   // to the first token
  double seconds_decode = 0;    // from there to the last
};

// Runs dealer, party 0 and party 1 as threads; this thread's callback is the
// gateway's: it alone sees tokens. `on_token` is called for each as it comes,
// from a party's thread; false stops. The dealer deals ahead for max_tokens
// steps; what a stop leaves over is wiped.
// Errors: INVALID_ARGUMENT for an empty prompt, one with tokens outside the
//   vocabulary or (with max_tokens) longer than the plan's context, before
//   anything is dealt; else the first role's that failed.
absl::StatusOr<GenerateResult> GenerateInProcess(
    const DecoderPlan& plan, const DecoderShares& shares,
    std::span<const int64_t> prompt, const GenerateOptions& options,
    const std::function<bool(int64_t token)>& on_token);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_GENERATE_H_
