#include "common/models/float_decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

using Floats = std::vector<float>;

void Raise(double& largest, std::span<const float> values) {
  for (float v : values) {
    largest = std::max(largest, std::abs(static_cast<double>(v)));
  }
}

// y [rows, outputs] = x [rows, inputs] times w^T, w [outputs, inputs].
Floats Linear(std::span<const float> x, const Floats& w, size_t inputs,
              const Floats& bias = {}) {
  const size_t rows = x.size() / inputs, outputs = w.size() / inputs;
  Floats y(rows * outputs);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t o = 0; o < outputs; ++o) {
      double sum = bias.empty() ? 0 : bias[o];
      for (size_t i = 0; i < inputs; ++i) {
        sum += static_cast<double>(x[r * inputs + i]) * w[o * inputs + i];
      }
      y[r * outputs + o] = static_cast<float>(sum);
    }
  }
  return y;
}

Floats RmsNorm(std::span<const float> x, const Floats& gamma, double epsilon,
               double& largest_mean_square) {
  const size_t d = gamma.size();
  Floats y(x.size());
  for (size_t r = 0; r < x.size(); r += d) {
    double sum = 0;
    for (size_t i = 0; i < d; ++i)
      sum += static_cast<double>(x[r + i]) * x[r + i];
    const double mean_square = sum / static_cast<double>(d);
    largest_mean_square = std::max(largest_mean_square, mean_square);
    const double scale = 1 / std::sqrt(mean_square + epsilon);
    for (size_t i = 0; i < d; ++i) {
      y[r + i] = static_cast<float>(x[r + i] * scale * gamma[i]);
    }
  }
  return y;
}

// x [tokens, heads, d], in place; half-split pairs.
void Rotate(std::span<float> x, size_t heads, size_t d, size_t position,
            const RopeFrequencies& rope) {
  const size_t half = d / 2, tokens = x.size() / (heads * d);
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position + t) * rope.inv_freq[i];
      const double c = std::cos(angle) * rope.attention_factor;
      const double s = std::sin(angle) * rope.attention_factor;
      for (size_t h = 0; h < heads; ++h) {
        float& a = x[(t * heads + h) * d + i];
        float& b = x[(t * heads + h) * d + i + half];
        const double rotated = a * c - b * s;
        b = static_cast<float>(b * c + a * s);
        a = static_cast<float>(rotated);
      }
    }
  }
}

// Causal attention of the last positions in k and v: [tokens, heads * d].
Floats Attend(const Floats& q, const Floats& k, const Floats& v,
              const ModelConfig& config, double& largest_score) {
  const size_t heads = config.num_heads, kv = config.num_kv_heads;
  const size_t d = config.head_dim, tokens = q.size() / (heads * d);
  const size_t before = k.size() / (kv * d) - tokens;
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  Floats out(q.size());
  std::vector<double> weight(before + tokens);
  for (size_t h = 0; h < heads; ++h) {
    const size_t g = h / (heads / kv);
    for (size_t t = 0; t < tokens; ++t) {
      double max = -INFINITY, sum = 0;
      for (size_t j = 0; j <= before + t; ++j) {
        double score = 0;
        for (size_t i = 0; i < d; ++i) {
          score += static_cast<double>(q[(t * heads + h) * d + i]) *
                   k[(j * kv + g) * d + i];
        }
        weight[j] = score * scale;
        max = std::max(max, weight[j]);
        largest_score =
            std::max(largest_score, std::abs(weight[j]) * std::numbers::log2e);
      }
      for (size_t j = 0; j <= before + t; ++j)
        sum += weight[j] = std::exp(weight[j] - max);
      for (size_t i = 0; i < d; ++i) {
        double value = 0;
        for (size_t j = 0; j <= before + t; ++j) {
          value += weight[j] * v[(j * kv + g) * d + i];
        }
        out[(t * heads + h) * d + i] = static_cast<float>(value / sum);
      }
    }
  }
  return out;
}

void AddTo(Floats& x, const Floats& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

}  // namespace

absl::StatusOr<DecoderWeights> LoadDecoderWeights(
    const ModelConfig& config, const Checkpoint& checkpoint) {
  if (!config.uses_rope() || config.activation != Activation::kSilu) {
    return absl::UnimplementedError(
        absl::StrCat(ToString(config.architecture),
                     " is no decoder with rotary positions and SiLU"));
  }
  if (config.attention_output_bias || config.mlp_bias) {
    return absl::UnimplementedError("biases outside q, k and v");
  }
  const int64_t hidden = config.hidden_size, mlp = config.intermediate_size;
  const int64_t q_size = config.num_heads * config.head_dim;
  const int64_t kv_size = config.num_kv_heads * config.head_dim;
  auto read = [&](const std::string& name,
                  std::initializer_list<int64_t> shape) {
    return checkpoint.ReadFloat(name, std::vector<int64_t>(shape));
  };
  DecoderWeights out;
  out.config = config;
  ASSIGN_OR_RETURN(out.embedding, read("model.embed_tokens.weight",
                                       {config.vocab_size, hidden}));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string layer = absl::StrCat("model.layers.", i, ".");
    const std::string attention = layer + "self_attn.";
    DecoderLayerWeights& w = out.layers.emplace_back();
    ASSIGN_OR_RETURN(w.attention_norm,
                     read(layer + "input_layernorm.weight", {hidden}));
    ASSIGN_OR_RETURN(w.mlp_norm,
                     read(layer + "post_attention_layernorm.weight", {hidden}));
    ASSIGN_OR_RETURN(w.q, read(attention + "q_proj.weight", {q_size, hidden}));
    ASSIGN_OR_RETURN(w.k, read(attention + "k_proj.weight", {kv_size, hidden}));
    ASSIGN_OR_RETURN(w.v, read(attention + "v_proj.weight", {kv_size, hidden}));
    if (config.qkv_bias) {
      ASSIGN_OR_RETURN(w.q_bias, read(attention + "q_proj.bias", {q_size}));
      ASSIGN_OR_RETURN(w.k_bias, read(attention + "k_proj.bias", {kv_size}));
      ASSIGN_OR_RETURN(w.v_bias, read(attention + "v_proj.bias", {kv_size}));
    }
    ASSIGN_OR_RETURN(w.o, read(attention + "o_proj.weight", {hidden, q_size}));
    ASSIGN_OR_RETURN(w.gate,
                     read(layer + "mlp.gate_proj.weight", {mlp, hidden}));
    ASSIGN_OR_RETURN(w.up, read(layer + "mlp.up_proj.weight", {mlp, hidden}));
    ASSIGN_OR_RETURN(w.down,
                     read(layer + "mlp.down_proj.weight", {hidden, mlp}));
  }
  ASSIGN_OR_RETURN(out.final_norm, read("model.norm.weight", {hidden}));
  if (!config.tied_head) {
    ASSIGN_OR_RETURN(out.head,
                     read("lm_head.weight", {config.vocab_size, hidden}));
  }
  return out;
}

absl::StatusOr<std::vector<float>> FloatForward(const DecoderWeights& weights,
                                                std::span<const int64_t> tokens,
                                                FloatCache& cache,
                                                DecoderRanges* ranges) {
  const ModelConfig& config = weights.config;
  const size_t position = cache.positions;
  const size_t context = config.max_positions;
  if (tokens.empty() || position > context ||
      tokens.size() > context - position) {
    return absl::InvalidArgumentError(
        absl::StrCat(tokens.size(), " tokens after ", position,
                     "; the context holds ", context));
  }
  cache.layers.resize(weights.layers.size());
  DecoderRanges unused;
  DecoderRanges& r = ranges == nullptr ? unused : *ranges;
  r.layers.resize(weights.layers.size());
  const size_t hidden = config.hidden_size;
  Floats x;
  for (int64_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", token, " is outside the vocabulary of ",
                       config.vocab_size));
    }
    const auto row = weights.embedding.begin() + token * config.hidden_size;
    x.insert(x.end(), row, row + config.hidden_size);
  }
  Raise(r.embedding, weights.embedding);
  const RopeFrequencies rope = ComputeRopeFrequencies(
      config, static_cast<int64_t>(position + tokens.size()));
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const DecoderLayerWeights& w = weights.layers[i];
    DecoderRanges::Layer& range = r.layers[i];
    Floats y =
        RmsNorm(x, w.attention_norm, config.norm_eps, range.mean_square[0]);
    Floats q = Linear(y, w.q, hidden, w.q_bias);
    Floats k = Linear(y, w.k, hidden, w.k_bias);
    const Floats v = Linear(y, w.v, hidden, w.v_bias);
    // A rotation can turn both of a pair's values into one.
    Raise(range.q, q);
    Raise(range.k, k);
    Rotate(q, config.num_heads, config.head_dim, position, rope);
    Rotate(k, config.num_kv_heads, config.head_dim, position, rope);
    Raise(range.q, q);
    Raise(range.k, k);
    Raise(range.v, v);
    FloatCache::Layer& past = cache.layers[i];
    past.keys.insert(past.keys.end(), k.begin(), k.end());
    past.values.insert(past.values.end(), v.begin(), v.end());
    y = Attend(q, past.keys, past.values, config, range.score);
    Raise(range.attention, y);
    y = Linear(y, w.o, config.num_heads * config.head_dim);
    Raise(range.attention_out, y);
    AddTo(x, y);
    Raise(r.residual, x);
    y = RmsNorm(x, w.mlp_norm, config.norm_eps, range.mean_square[1]);
    Floats gate = Linear(y, w.gate, hidden);
    const Floats up = Linear(y, w.up, hidden);
    Raise(range.gate, gate);
    Raise(range.up, up);
    for (size_t j = 0; j < gate.size(); ++j) {
      gate[j] =
          static_cast<float>(Evaluate(config.activation, gate[j]) * up[j]);
    }
    Raise(range.product, gate);
    y = Linear(gate, w.down, config.intermediate_size);
    Raise(range.mlp_out, y);
    AddTo(x, y);
    Raise(r.residual, x);
  }
  cache.positions += tokens.size();
  x = RmsNorm(x, weights.final_norm, config.norm_eps, r.final_mean_square);
  Floats logits = Linear(x, weights.head_or_embedding(), hidden);
  Raise(r.logit, logits);
  return logits;
}

absl::StatusOr<std::vector<float>> FloatForward(const DecoderWeights& weights,
                                                std::span<const int64_t> tokens,
                                                DecoderRanges* ranges) {
  FloatCache cache;
  return FloatForward(weights, tokens, cache, ranges);
}

absl::StatusOr<DecoderRanges> Calibrate(const DecoderWeights& weights,
                                        size_t length, uint64_t seed) {
  const ModelConfig& config = weights.config;
  length = std::min(length, static_cast<size_t>(config.max_positions));
  std::mt19937_64 rng(seed);
  DecoderRanges ranges;
  std::vector<int64_t> random(length);
  for (int64_t& token : random) {
    token =
        static_cast<int64_t>(rng() % static_cast<uint64_t>(config.vocab_size));
  }
  RETURN_IF_ERROR(FloatForward(weights, random, &ranges).status());
  FloatCache cache;
  int64_t token = config.bos_id.value_or(0);
  for (size_t i = 0; i < length; ++i) {
    const std::array<int64_t, 1> one = {token};
    ASSIGN_OR_RETURN(const std::vector<float> logits,
                     FloatForward(weights, one, cache, &ranges));
    const float max = *std::max_element(logits.begin(), logits.end());
    std::vector<double> probability(logits.size());
    for (size_t v = 0; v < logits.size(); ++v) {
      probability[v] = std::exp(static_cast<double>(logits[v] - max));
    }
    token = std::discrete_distribution<int64_t>(probability.begin(),
                                                probability.end())(rng);
  }
  return ranges;
}

}  // namespace tacit
