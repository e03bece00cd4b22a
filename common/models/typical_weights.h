// Random weights and tokens, for measuring models without their checkpoints.
#ifndef TACIT_COMMON_MODELS_TYPICAL_WEIGHTS_H_
#define TACIT_COMMON_MODELS_TYPICAL_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/models/weights.h"

namespace tacit {

// Standard deviations of normal draws; norms' gains are 1 and shifts 0, give or
// take 0.1.
struct Deviations {
  double embedding, position;  // `position`: of token types, too
  double weight, down;         // `down`: of an MLP's last matrix
  double bias;
};
// n values of a normal distribution.
using NormalFn = absl::FunctionRef<std::vector<float>(
    size_t n, double deviation, double mean)>;

// All weights that the architecture has, drawn in the order of a pass.
ModelWeights DrawWeights(const ModelConfig& config,
                         const Deviations& deviations, NormalFn normal);
// With about the deviations of trained models' weights. The same for the same
// seed.
ModelWeights TypicalWeights(const ModelConfig& config, uint64_t seed);

// n tokens of the vocabulary.
std::vector<int64_t> RandomTokens(size_t n, int64_t vocabulary,
                                  std::mt19937_64& rng);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_TYPICAL_WEIGHTS_H_
