#include "common/models/typical_weights.h"

#include <random>

namespace tacit {
namespace {

// Float draws: there are hundreds of millions.
class Draws {
 public:
  Draws(const ModelConfig& config, uint64_t seed)
      : config_(config), rng_(seed) {}

  std::vector<float> Normal(size_t n, float deviation, float mean = 0) {
    std::normal_distribution<float> normal(mean, deviation);
    std::vector<float> values(n);
    for (float& v : values) v = normal(rng_);
    return values;
  }
  LinearWeights Linear(size_t outputs, size_t inputs, bool bias) {
    LinearWeights w{Normal(outputs * inputs, 0.1f), {}};
    if (bias) w.bias = Normal(outputs, 0.1f);
    return w;
  }
  NormWeights Norm() {
    const size_t hidden = config_.hidden_size;
    NormWeights w{Normal(hidden, 0.1f, 1), {}};
    if (!config_.uses_rope()) w.bias = Normal(hidden, 0.1f);
    return w;
  }
  LayerWeights Layer() {
    const ModelConfig& c = config_;
    const size_t hidden = c.hidden_size, mlp = c.intermediate_size;
    const size_t queries = c.num_heads * c.head_dim;
    const size_t keys = c.num_kv_heads * c.head_dim;
    LayerWeights w;
    w.attention_norm = Norm();
    w.mlp_norm = Norm();
    w.q = Linear(queries, hidden, c.qkv_bias);
    w.k = Linear(keys, hidden, c.qkv_bias);
    w.v = Linear(keys, hidden, c.qkv_bias);
    w.o = Linear(hidden, queries, c.attention_output_bias);
    w.gate = Linear(mlp, hidden, c.mlp_bias);
    if (c.uses_rope()) w.up = Linear(mlp, hidden, c.mlp_bias);
    w.down = Linear(hidden, mlp, c.mlp_bias);
    return w;
  }

 private:
  const ModelConfig& config_;
  std::mt19937_64 rng_;
};

}  // namespace

ModelWeights TypicalWeights(const ModelConfig& config, uint64_t seed) {
  constexpr float kEmbedding = 0.14f, kPosition = 0.05f;
  const size_t hidden = config.hidden_size, vocabulary = config.vocab_size;
  Draws draws(config, seed);
  ModelWeights w;
  w.config = config;
  w.embedding = draws.Normal(vocabulary * hidden, kEmbedding);
  if (!config.uses_rope()) {
    w.positions = draws.Normal(config.max_positions * hidden, kPosition);
  }
  if (config.is_bert()) {
    w.token_types = draws.Normal(config.type_vocab_size * hidden, kPosition);
    w.embedding_norm = draws.Norm();
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    w.layers.push_back(draws.Layer());
  }
  if (!config.is_bert()) {
    w.final_norm = draws.Norm();
    if (!config.tied_head) w.head = draws.Normal(vocabulary * hidden, 0.1f);
    return w;
  }
  w.pooler = draws.Linear(hidden, hidden, true);
  if (!config.labels.empty()) {
    w.classifier = draws.Linear(config.labels.size(), hidden, true);
  }
  return w;
}

std::vector<int64_t> RandomTokens(const ModelConfig& config, size_t n,
                                  uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<int64_t> tokens(n);
  for (int64_t& token : tokens) {
    token =
        static_cast<int64_t>(rng() % static_cast<uint64_t>(config.vocab_size));
  }
  return tokens;
}

}  // namespace tacit
