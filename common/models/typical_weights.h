// Random weights and tokens, for measuring models without their checkpoints.
#ifndef TACIT_COMMON_MODELS_TYPICAL_WEIGHTS_H_
#define TACIT_COMMON_MODELS_TYPICAL_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/models/weights.h"

namespace tacit {

// All that the architecture has, with about the deviations of trained models'
// weights. The same for the same seed.
ModelWeights TypicalWeights(const ModelConfig& config, uint64_t seed);

// `n` tokens of the model's vocabulary. The same for the same seed.
std::vector<int64_t> RandomTokens(const ModelConfig& config, size_t n,
                                  uint64_t seed);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_TYPICAL_WEIGHTS_H_
