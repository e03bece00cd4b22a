// Private generation with all roles as threads of one process.
#ifndef TACIT_COMMON_MODELS_GENERATE_H_
#define TACIT_COMMON_MODELS_GENERATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/accelerator.h"
#include "common/gates/schema.h"
#include "common/gates/session.h"
#include "common/models/decoder.h"
#include "common/models/generation.h"

namespace tacit {

struct GenerateOptions {
  size_t max_tokens = 64;
  SamplingOptions sampling;
  SamplingSide sampling_side = SamplingSide::kClient;
  EmbeddingSide embedding_side = EmbeddingSide::kSecure;
  std::vector<int64_t> stop_tokens;
  Rounding rounding = Rounding::kStochastic;
  int threads = 1;                 // of each role
  AcceleratorFactory accelerator;  // none: all roles compute on this host
};

struct GenerateResult {
  std::vector<GeneratedSequence> sequences;
  Cost counted;
  double seconds_material = 0;  // the dealer's wall clock
  double seconds_prefill = 0;   // to the first tokens
  double seconds_decode = 0;    // from there to the last
};

// Runs dealer, party 0 and party 1 as threads; `on_token` is the gateway's: it
// alone sees tokens, and is called for each as it comes, from a party's thread.
// The dealer deals ahead for max_tokens steps; what a stop leaves over is
// wiped. Errors: GenerationGateway::Create's before anything is dealt; else the
// first
//   role's that failed.
absl::StatusOr<GenerateResult> GenerateInProcess(
    const DecoderPlan& plan, const DecoderShares& shares,
    const PlanDigest& digest, const std::vector<std::vector<int64_t>>& prompts,
    const GenerateOptions& options, GenerationGateway::TokenFn on_token,
    GenerationGateway::EmbedFn embed = {});

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_GENERATE_H_
