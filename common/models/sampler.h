// Choosing the next token from logits, at the user's side.
#ifndef TACIT_COMMON_MODELS_SAMPLER_H_
#define TACIT_COMMON_MODELS_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace tacit {

// As transformers applies them, in this order: repetition penalty,
// temperature, top-k, top-p.
struct SamplingOptions {
  double temperature = 0;         // 0: greedy
  size_t top_k = 0;               // 0: all
  double top_p = 1;               // in (0, 1]
  double repetition_penalty = 1;  // > 0
  uint64_t seed = 0;              // the same seed gives the same tokens
};

class TokenSampler {
 public:
  // INVALID_ARGUMENT, naming the option, for values out of range.
  static absl::StatusOr<TokenSampler> Create(const SamplingOptions& options);

  // The next token after `history` (prompt and tokens so far). Requires at
  // least one logit.
  int64_t Next(std::span<const double> logits,
               std::span<const int64_t> history);

 private:
  explicit TokenSampler(const SamplingOptions& options)
      : options_(options), rng_(options.seed) {}

  SamplingOptions options_;
  std::mt19937_64 rng_;  // the user's choice of text, no key material
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_SAMPLER_H_
