#include "common/models/typical_weights.h"

namespace tacit {
namespace {

class Draws {
 public:
  Draws(const ModelConfig& config, const Deviations& deviations,
        NormalFn normal)
      : config_(config), deviations_(deviations), normal_(normal) {}

  std::vector<float> Draw(size_t n, double deviation, double mean = 0) {
    return normal_(n, deviation, mean);
  }
  LinearWeights Linear(size_t outputs, size_t inputs, bool bias,
                       double deviation) {
    LinearWeights w{Draw(outputs * inputs, deviation), {}};
    if (bias) w.bias = Draw(outputs, deviations_.bias);
    return w;
  }
  LinearWeights Linear(size_t outputs, size_t inputs, bool bias) {
    return Linear(outputs, inputs, bias, deviations_.weight);
  }
  NormWeights Norm() {
    const size_t hidden = config_.hidden_size;
    NormWeights w{Draw(hidden, 0.1, 1), {}};
    if (!config_.uses_rope()) w.bias = Draw(hidden, 0.1);
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
    w.down = Linear(hidden, mlp, c.mlp_bias, deviations_.down);
    return w;
  }

 private:
  const ModelConfig& config_;
  const Deviations& deviations_;
  const NormalFn normal_;
};

}  // namespace

ModelWeights DrawWeights(const ModelConfig& config,
                         const Deviations& deviations, NormalFn normal) {
  const size_t hidden = config.hidden_size, vocabulary = config.vocab_size;
  Draws draws(config, deviations, normal);
  ModelWeights w;
  w.config = config;
  w.embedding = draws.Draw(vocabulary * hidden, deviations.embedding);
  if (!config.uses_rope()) {
    w.positions =
        draws.Draw(config.max_positions * hidden, deviations.position);
  }
  if (config.is_bert()) {
    w.token_types =
        draws.Draw(config.type_vocab_size * hidden, deviations.position);
    w.embedding_norm = draws.Norm();
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    w.layers.push_back(draws.Layer());
  }
  if (!config.is_bert()) {
    w.final_norm = draws.Norm();
    if (!config.tied_head) {
      w.head = draws.Draw(vocabulary * hidden, deviations.weight);
    }
    return w;
  }
  w.pooler = draws.Linear(hidden, hidden, true);
  if (!config.labels.empty()) {
    w.classifier = draws.Linear(config.labels.size(), hidden, true);
  }
  return w;
}

ModelWeights TypicalWeights(const ModelConfig& config, uint64_t seed) {
  std::mt19937_64 rng(seed);
  // Floats: there are hundreds of millions.
  const auto normal = [&](size_t n, double deviation, double mean) {
    std::normal_distribution<float> draw(static_cast<float>(mean),
                                         static_cast<float>(deviation));
    std::vector<float> values(n);
    for (float& v : values) v = draw(rng);
    return values;
  };
  return DrawWeights(config,
                     {.embedding = 0.14,
                      .position = 0.05,
                      .weight = 0.1,
                      .down = 0.1,
                      .bias = 0.1},
                     normal);
}

std::vector<int64_t> RandomTokens(size_t n, int64_t vocabulary,
                                  std::mt19937_64& rng) {
  std::vector<int64_t> tokens(n);
  for (int64_t& token : tokens) {
    token = static_cast<int64_t>(rng() % static_cast<uint64_t>(vocabulary));
  }
  return tokens;
}

}  // namespace tacit
