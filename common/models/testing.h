// Small random models; test code only.
#ifndef TACIT_COMMON_MODELS_TESTING_H_
#define TACIT_COMMON_MODELS_TESTING_H_

#include <cstdint>
#include <random>
#include <vector>

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

// Draws weights from normal distributions.
class RandomWeights {
 public:
  explicit RandomWeights(uint64_t seed) : rng_(seed) {}

  std::vector<float> Draw(int64_t n, double deviation, double mean = 0) {
    std::normal_distribution<double> normal(mean, deviation);
    std::vector<float> values(n);
    for (float& v : values) v = static_cast<float>(normal(rng_));
    return values;
  }
  NormWeights Norm(const ModelConfig& c) {
    NormWeights norm{Draw(c.hidden_size, 0.1, 1), {}};
    if (!c.uses_rope()) norm.bias = Draw(c.hidden_size, 0.1);
    return norm;
  }
  LinearWeights Linear(int64_t outputs, int64_t inputs, bool bias,
                       double deviation = 0.3) {
    LinearWeights linear{Draw(outputs * inputs, deviation), {}};
    if (bias) linear.bias = Draw(outputs, 0.5);
    return linear;
  }
  LayerWeights Layer(const ModelConfig& c) {
    const int64_t h = c.hidden_size, m = c.intermediate_size;
    const int64_t q = c.num_heads * c.head_dim;
    const int64_t kv = c.num_kv_heads * c.head_dim;
    LayerWeights l;
    l.attention_norm = Norm(c);
    l.mlp_norm = Norm(c);
    l.q = Linear(q, h, c.qkv_bias);
    l.k = Linear(kv, h, c.qkv_bias);
    l.v = Linear(kv, h, c.qkv_bias);
    l.o = Linear(h, q, c.attention_output_bias);
    l.gate = Linear(m, h, c.mlp_bias);
    if (c.uses_rope()) l.up = Linear(m, h, c.mlp_bias);
    l.down = Linear(h, m, c.mlp_bias, 0.2);
    return l;
  }

 private:
  std::mt19937_64 rng_;
};

// A model with random weights.
inline ModelWeights RandomModel(const ModelConfig& c, uint64_t seed = 5) {
  RandomWeights random(seed);
  ModelWeights w;
  w.config = c;
  const int64_t h = c.hidden_size;
  w.embedding = random.Draw(c.vocab_size * h, 1);
  if (!c.uses_rope()) w.positions = random.Draw(c.max_positions * h, 0.5);
  if (c.is_bert()) {
    w.token_types = random.Draw(c.type_vocab_size * h, 0.5);
    w.embedding_norm = random.Norm(c);
  }
  for (int64_t i = 0; i < c.num_layers; ++i) {
    w.layers.push_back(random.Layer(c));
  }
  if (!c.is_bert()) {
    w.final_norm = random.Norm(c);
    if (!c.tied_head) w.head = random.Draw(c.vocab_size * h, 0.3);
    return w;
  }
  w.pooler = random.Linear(h, h, true);
  if (!c.labels.empty()) {
    const auto labels = static_cast<int64_t>(c.labels.size());
    w.classifier = random.Linear(labels, h, true);
  }
  return w;
}
inline ModelWeights RandomModel(Architecture architecture, uint64_t seed = 5) {
  return RandomModel(SmallConfig(architecture), seed);
}

inline std::vector<int64_t> SomeTokens(size_t n, int64_t vocabulary) {
  std::mt19937_64 rng(9);
  std::vector<int64_t> tokens(n);
  for (int64_t& t : tokens) {
    t = static_cast<int64_t>(rng() % static_cast<uint64_t>(vocabulary));
  }
  return tokens;
}

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_TESTING_H_
