// Small random models; test code only.
#ifndef TACIT_COMMON_MODELS_TESTING_H_
#define TACIT_COMMON_MODELS_TESTING_H_

#include <cstdint>
#include <random>
#include <vector>

#include "common/models/typical_weights.h"
#include "common/models/weights.h"

namespace tacit {

inline ModelConfig SmallConfig(Architecture architecture) {
  ModelConfig c;
  c.architecture = architecture;
  c.vocab_size = 37;
  c.hidden_size = 24;
  c.intermediate_size = 40;
  c.num_layers = 2;
  c.num_heads = 4;
  c.num_kv_heads = c.uses_rope() ? 2 : 4;
  c.head_dim = 6;
  c.max_positions = 64;
  c.norm_eps = c.is_bert() ? 1e-12 : 1e-5;
  if (architecture == Architecture::kGpt2) c.activation = Activation::kGeluTanh;
  if (c.is_bert()) {
    c.activation = Activation::kGelu;
    c.type_vocab_size = 2;
  }
  if (architecture == Architecture::kBertClassifier) {
    c.labels = {"LABEL_0", "LABEL_1", "LABEL_2"};
  }
  c.attention_output_bias = c.mlp_bias = !c.uses_rope();
  c.qkv_bias = c.mlp_bias || architecture == Architecture::kQwen2;
  return c;
}

// A model with random weights, larger than trained ones'.
inline ModelWeights RandomModel(const ModelConfig& c, uint64_t seed = 5) {
  std::mt19937_64 rng(seed);
  const auto normal = [&](size_t n, double deviation, double mean) {
    std::normal_distribution<double> draw(mean, deviation);
    std::vector<float> values(n);
    for (float& v : values) v = static_cast<float>(draw(rng));
    return values;
  };
  return DrawWeights(c,
                     {.embedding = 1,
                      .position = 0.5,
                      .weight = 0.3,
                      .down = 0.2,
                      .bias = 0.5},
                     normal);
}
inline ModelWeights RandomModel(Architecture architecture, uint64_t seed = 5) {
  return RandomModel(SmallConfig(architecture), seed);
}

inline std::vector<int64_t> SomeTokens(size_t n, int64_t vocabulary) {
  std::mt19937_64 rng(9);
  return RandomTokens(n, vocabulary, rng);
}

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_TESTING_H_
