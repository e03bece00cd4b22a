// A small random decoder; test code only.
#ifndef TACIT_COMMON_MODELS_TESTING_H_
#define TACIT_COMMON_MODELS_TESTING_H_

#include <cstdint>
#include <random>
#include <vector>

#include "common/models/float_decoder.h"

namespace tacit {

// A small model with random weights.
inline DecoderWeights RandomModel(bool bias, uint64_t seed = 5) {
  DecoderWeights w;
  ModelConfig& c = w.config;
  c.architecture = bias ? Architecture::kQwen2 : Architecture::kLlama;
  c.vocab_size = 37;
  c.hidden_size = 24;
  c.intermediate_size = 40;
  c.num_layers = 2;
  c.num_heads = 4;
  c.num_kv_heads = 2;
  c.head_dim = 6;
  c.max_positions = 64;
  c.norm_eps = 1e-5;
  c.qkv_bias = bias;
  std::mt19937_64 rng(seed);
  auto draw = [&](size_t n, double deviation, double mean = 0) {
    std::normal_distribution<double> normal(mean, deviation);
    std::vector<float> values(n);
    for (float& v : values) v = static_cast<float>(normal(rng));
    return values;
  };
  const size_t h = c.hidden_size, m = c.intermediate_size;
  const size_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  w.embedding = draw(c.vocab_size * h, 1);
  for (int i = 0; i < c.num_layers; ++i) {
    DecoderLayerWeights& l = w.layers.emplace_back();
    l.attention_norm = draw(h, 0.1, 1);
    l.mlp_norm = draw(h, 0.1, 1);
    l.q = draw(q * h, 0.3);
    l.k = draw(kv * h, 0.3);
    l.v = draw(kv * h, 0.3);
    if (bias) {
      l.q_bias = draw(q, 0.5);
      l.k_bias = draw(kv, 0.5);
      l.v_bias = draw(kv, 0.5);
    }
    l.o = draw(h * q, 0.3);
    l.gate = draw(m * h, 0.3);
    l.up = draw(m * h, 0.3);
    l.down = draw(h * m, 0.2);
  }
  w.final_norm = draw(h, 0.1, 1);
  w.head = draw(c.vocab_size * h, 0.3);
  return w;
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
