#include "common/models/float_model.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/models/typical_weights.h"

namespace tacit {
namespace {

using Floats = std::vector<float>;
using Matrix =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const Matrix> AsMatrix(const Floats& x, size_t columns) {
  return {x.data(), static_cast<Eigen::Index>(x.size() / columns),
          static_cast<Eigen::Index>(columns)};
}
Eigen::Map<Matrix> AsMatrix(Floats& x, size_t columns) {
  return {x.data(), static_cast<Eigen::Index>(x.size() / columns),
          static_cast<Eigen::Index>(columns)};
}

// x [rows, inputs] times weight^T, weight [outputs, inputs].
Floats Multiply(const Floats& x, const Floats& weight, size_t inputs) {
  const size_t outputs = weight.size() / inputs;
  Floats y(x.size() / inputs * outputs);
  AsMatrix(y, outputs).noalias() =
      AsMatrix(x, inputs) * AsMatrix(weight, inputs).transpose();
  return y;
}

// Adds y to x; to each of its rows, if y is one.
void AddTo(Floats& x, std::span<const float> y) {
  for (size_t r = 0; r < x.size(); r += y.size()) {
    for (size_t i = 0; i < y.size(); ++i) x[r + i] += y[i];
  }
}

Floats Linear(const Floats& x, const LinearWeights& layer, size_t inputs) {
  Floats y = Multiply(x, layer.weight, inputs);
  if (!layer.bias.empty()) AddTo(y, layer.bias);
  return y;
}

double Mean(std::span<const float> row) {
  double sum = 0;
  for (float v : row) sum += v;
  return sum / static_cast<double>(row.size());
}

// Mean of (v - mean)^2.
double MeanSquare(std::span<const float> row, double mean) {
  double sum = 0;
  for (float v : row) sum += (v - mean) * (v - mean);
  return sum / static_cast<double>(row.size());
}

// A norm's result, and what it had before root and bias: (x - mean) * gain.
struct NormedRows {
  Floats normed, raw;
};

// Cosines and sines of each position's angles: [tokens, head_dim / 2].
struct Rotations {
  Floats cosines, sines;
};

Rotations ComputeRotations(const ModelConfig& config, size_t position,
                           size_t tokens) {
  Rotations out;
  if (!config.uses_rope()) return out;
  const RopeFrequencies rope =
      ComputeRopeFrequencies(config, static_cast<int64_t>(position + tokens));
  for (size_t t = 0; t < tokens; ++t) {
    for (float frequency : rope.inv_freq) {
      // Rounded to float32, as in transformers: matters far from the start.
      const double angle = static_cast<float>(position + t) * frequency;
      out.cosines.push_back(
          static_cast<float>(std::cos(angle) * rope.attention_factor));
      out.sines.push_back(
          static_cast<float>(std::sin(angle) * rope.attention_factor));
    }
  }
  return out;
}

// x [tokens, heads, d], in place. A pair is an element of a head's first half
// and the same of its second, as Hugging Face orders them.
void Rotate(Floats& x, size_t heads, size_t d, const Rotations& rotations) {
  const size_t half = d / 2;
  for (size_t row = 0; row < x.size() / d; ++row) {
    const size_t angles = row / heads * half;
    for (size_t i = 0; i < half; ++i) {
      float& a = x[row * d + i];
      float& b = x[row * d + i + half];
      const float c = rotations.cosines[angles + i];
      const float s = rotations.sines[angles + i];
      const float rotated = a * c - b * s;
      b = b * c + a * s;
      a = rotated;
    }
  }
}

// One forward pass over `tokens` positions after `position` others.
class Pass {
 public:
  // `ranges` may be null.
  Pass(const ModelWeights& weights, size_t position, size_t tokens,
       ModelRanges* ranges)
      : weights_(weights),
        config_(weights.config),
        hidden_(config_.hidden_size),
        measures_(ranges != nullptr),
        ranges_(measures_ ? *ranges : unused_),
        rotations_(ComputeRotations(config_, position, tokens)) {
    ranges_.layers.resize(weights.layers.size());
  }

  // Rows of the embedding plus positions and segments, if the model has them.
  Floats Embed(std::span<const int64_t> tokens, size_t position,
               std::span<const int64_t> types);
  // A decoder's layer, on the residual stream x; the positions join `past`.
  void DecoderLayer(size_t layer, Floats& x, FloatCache::Layer& past);
  Floats DecoderLogits(const Floats& x);
  // What BERT does with the embedded text, in place.
  void Encode(Floats& x);
  // Pooler and classifier, if the model has them.
  void AddHeads(FloatEncoding& encoding);

 private:
  void Raise(double& largest, std::span<const float> values) const;
  void RaiseRows(double& largest, const Floats& rows) const;
  NormedRows Norm(const Floats& x, const NormWeights& norm,
                  SquareRange& range) const;
  Floats Project(const NormedRows& x, const LinearWeights& layer,
                 double& largest, double& largest_raw,
                 size_t rotated_heads = 0) const;
  Floats Attention(size_t layer, const NormedRows& x, FloatCache::Layer& past);
  Floats Attend(size_t layer, const Floats& q, const FloatCache::Layer& past);
  Floats Mlp(size_t layer, const NormedRows& x);

  const ModelWeights& weights_;
  const ModelConfig& config_;
  const size_t hidden_;
  const bool measures_;
  ModelRanges unused_;
  ModelRanges& ranges_;
  const Rotations rotations_;
};

void Pass::Raise(double& largest, std::span<const float> values) const {
  if (!measures_) return;
  float max = 0;
  for (float v : values) max = std::max(max, std::abs(v));
  largest = std::max(largest, double{max});
}

// Where norms subtract means, secure programs may subtract them earlier: rows
// count with their mean and without.
void Pass::RaiseRows(double& largest, const Floats& rows) const {
  Raise(largest, rows);
  if (!measures_ || config_.uses_rope()) return;
  for (size_t r = 0; r < rows.size(); r += hidden_) {
    const std::span row(rows.data() + r, hidden_);
    const double mean = Mean(row);
    const auto [min, max] = std::minmax_element(row.begin(), row.end());
    largest = std::max({largest, *max - mean, mean - *min});
  }
}

Floats Pass::Embed(std::span<const int64_t> tokens, size_t position,
                   std::span<const int64_t> types) {
  Floats x;
  x.reserve(tokens.size() * hidden_);
  for (size_t t = 0; t < tokens.size(); ++t) {
    const auto add_row = [&](const Floats& table, size_t row) {
      float* const sum = x.data() + t * hidden_;
      for (size_t i = 0; i < hidden_; ++i) sum[i] += table[row * hidden_ + i];
    };
    x.resize((t + 1) * hidden_);
    add_row(weights_.embedding, tokens[t]);
    if (!weights_.token_types.empty()) {
      add_row(weights_.token_types, types.empty() ? 0 : types[t]);
    }
    if (!weights_.positions.empty()) add_row(weights_.positions, position + t);
  }
  // All rows count, whatever the tokens; once is enough.
  if (ranges_.embedding == 0) RaiseRows(ranges_.embedding, weights_.embedding);
  RaiseRows(ranges_.embedded, x);
  RaiseRows(ranges_.residual, x);
  return x;
}

// RMSNorm, or LayerNorm if it has a bias.
NormedRows Pass::Norm(const Floats& x, const NormWeights& norm,
                      SquareRange& range) const {
  const bool centres = !norm.bias.empty();
  NormedRows y;
  y.normed.resize(x.size());
  if (measures_) y.raw.resize(x.size());
  for (size_t r = 0; r < x.size(); r += hidden_) {
    const std::span row(x.data() + r, hidden_);
    const double mean = centres ? Mean(row) : 0;
    const double square = MeanSquare(row, mean);
    const double scale = 1 / std::sqrt(square + config_.norm_eps);
    for (size_t i = 0; i < hidden_; ++i) {
      const double centred = row[i] - mean;
      y.normed[r + i] = static_cast<float>(centred * scale) * norm.gain[i] +
                        (centres ? norm.bias[i] : 0);
      if (measures_) y.raw[r + i] = static_cast<float>(centred) * norm.gain[i];
    }
    const bool first = range.max == 0;
    range.min = first ? square : std::min(range.min, square);
    range.max = std::max(range.max, square);
  }
  return y;
}

// Of the normed rows; those before the norm's root are measured only. Rotates
// the result unless `rotated_heads` is 0.
Floats Pass::Project(const NormedRows& x, const LinearWeights& layer,
                     double& largest, double& largest_raw,
                     size_t rotated_heads) const {
  // A rotation can turn both of a pair's values into one.
  const auto finish = [&](Floats& y, double& maximum) {
    Raise(maximum, y);
    if (rotated_heads == 0) return;
    Rotate(y, rotated_heads, config_.head_dim, rotations_);
    Raise(maximum, y);
  };
  if (!x.raw.empty()) {
    Floats raw = Multiply(x.raw, layer.weight, hidden_);
    finish(raw, largest_raw);
  }
  Floats y = Linear(x.normed, layer, hidden_);
  finish(y, largest);
  return y;
}

// What attention adds to the residual stream.
Floats Pass::Attention(size_t layer, const NormedRows& x,
                       FloatCache::Layer& past) {
  const LayerWeights& w = weights_.layers[layer];
  ModelRanges::Layer& range = ranges_.layers[layer];
  const bool rotates = config_.uses_rope();
  const size_t heads = rotates ? config_.num_heads : 0;
  const size_t kv_heads = rotates ? config_.num_kv_heads : 0;
  const Floats q = Project(x, w.q, range.q, range.raw_q, heads);
  const Floats k = Project(x, w.k, range.k, range.raw_k, kv_heads);
  const Floats v = Project(x, w.v, range.v, range.raw_v);
  past.keys.insert(past.keys.end(), k.begin(), k.end());
  past.values.insert(past.values.end(), v.begin(), v.end());
  const Floats y = Attend(layer, q, past);
  Raise(range.attention, y);
  Floats out = Linear(y, w.o, config_.num_heads * config_.head_dim);
  RaiseRows(range.attention_out, out);
  return out;
}

// Softmax over keys [first, end) of one query's scores, 0 elsewhere. Returns
// the largest magnitude of a score in there.
float Softmax(std::span<float> scores, size_t first, size_t end) {
  const std::span seen = scores.subspan(first, end - first);
  const auto [min, max] = std::minmax_element(seen.begin(), seen.end());
  const float top = *max, magnitude = std::max(std::abs(*min), std::abs(top));
  float sum = 0;
  for (float& s : seen) sum += s = std::exp(s - top);
  for (float& s : seen) s /= sum;
  std::fill(scores.begin(), scores.begin() + first, 0.0f);
  std::fill(scores.begin() + end, scores.end(), 0.0f);
  return magnitude;
}

// The queries are the last of the positions in `past`: [tokens, heads * d].
Floats Pass::Attend(size_t layer, const Floats& q,
                    const FloatCache::Layer& past) {
  const size_t heads = config_.num_heads, kv_heads = config_.num_kv_heads;
  const size_t d = config_.head_dim;
  const auto queries = AsMatrix(q, heads * d);
  const auto keys = AsMatrix(past.keys, kv_heads * d);
  const auto values = AsMatrix(past.values, kv_heads * d);
  const size_t tokens = queries.rows(), total = keys.rows();
  const size_t window =
      config_.sliding_window && layer >= config_.first_sliding_layer
          ? *config_.sliding_window
          : total;
  double scale =
      config_.scale_attention ? 1 / std::sqrt(static_cast<double>(d)) : 1;
  if (config_.scale_attention_by_layer) scale /= static_cast<double>(layer + 1);
  Floats out(q.size());
  auto outputs = AsMatrix(out, heads * d);
  float largest = 0;
  Matrix scores(tokens, total);
  for (size_t h = 0; h < heads; ++h) {
    const size_t group = h / (heads / kv_heads);
    scores.noalias() = queries.middleCols(h * d, d) *
                       keys.middleCols(group * d, d).transpose();
    scores *= static_cast<float>(scale);
    for (size_t t = 0; t < tokens; ++t) {
      const size_t end =
          config_.is_bert() ? total : total - tokens + t + 1;  // causal
      const size_t first = end - std::min(end, window);
      largest =
          std::max(largest, Softmax({scores.row(t).data(), total}, first, end));
    }
    outputs.middleCols(h * d, d).noalias() =
        scores * values.middleCols(group * d, d);
  }
  double& range = ranges_.layers[layer].score;
  range = std::max(range, largest * std::numbers::log2e);
  return out;
}

// What the MLP adds to the residual stream.
Floats Pass::Mlp(size_t layer, const NormedRows& x) {
  const LayerWeights& w = weights_.layers[layer];
  ModelRanges::Layer& range = ranges_.layers[layer];
  Floats y = Project(x, w.gate, range.gate, range.raw_gate);
  for (float& v : y) {
    v = static_cast<float>(Evaluate(config_.activation, v));
  }
  if (!w.up.weight.empty()) {
    const Floats up = Project(x, w.up, range.up, range.raw_up);
    for (size_t i = 0; i < y.size(); ++i) y[i] *= up[i];
  }
  Raise(range.product, y);
  Floats out = Linear(y, w.down, config_.intermediate_size);
  RaiseRows(range.mlp_out, out);
  return out;
}

void Pass::DecoderLayer(size_t layer, Floats& x, FloatCache::Layer& past) {
  const LayerWeights& w = weights_.layers[layer];
  ModelRanges::Layer& range = ranges_.layers[layer];
  AddTo(x, Attention(layer, Norm(x, w.attention_norm, range.attention_norm),
                     past));
  RaiseRows(ranges_.residual, x);
  AddTo(x, Mlp(layer, Norm(x, w.mlp_norm, range.mlp_norm)));
  RaiseRows(ranges_.residual, x);
}

Floats Pass::DecoderLogits(const Floats& x) {
  Floats logits =
      Multiply(Norm(x, weights_.final_norm, ranges_.final_norm).normed,
               weights_.head_or_embedding(), hidden_);
  Raise(ranges_.logit, logits);
  return logits;
}

void Pass::Encode(Floats& x) {
  // Norms stand after the sums, so what they give is the residual stream.
  const auto norm = [&](const NormWeights& weights, SquareRange& range,
                        double& normed) {
    x = Norm(x, weights, range).normed;
    Raise(normed, x);
    RaiseRows(ranges_.residual, x);
  };
  norm(weights_.embedding_norm, ranges_.embedding_norm,
       ranges_.embedding_normed);
  for (size_t i = 0; i < weights_.layers.size(); ++i) {
    const LayerWeights& w = weights_.layers[i];
    ModelRanges::Layer& range = ranges_.layers[i];
    FloatCache::Layer positions;
    AddTo(x, Attention(i, {x, {}}, positions));
    RaiseRows(ranges_.residual, x);
    norm(w.attention_norm, range.attention_norm, range.attention_normed);
    AddTo(x, Mlp(i, {x, {}}));
    RaiseRows(ranges_.residual, x);
    norm(w.mlp_norm, range.mlp_norm, range.mlp_normed);
  }
}

void Pass::AddHeads(FloatEncoding& encoding) {
  if (weights_.pooler.weight.empty()) return;
  const Floats first(encoding.hidden.begin(),
                     encoding.hidden.begin() + config_.hidden_size);
  encoding.pooled = Linear(first, weights_.pooler, hidden_);
  Raise(ranges_.pooler, encoding.pooled);
  for (float& v : encoding.pooled) v = std::tanh(v);
  if (weights_.classifier.weight.empty()) return;
  encoding.logits = Linear(encoding.pooled, weights_.classifier, hidden_);
  Raise(ranges_.logit, encoding.logits);
}

absl::Status CheckTokens(const ModelConfig& config,
                         std::span<const int64_t> tokens, size_t position) {
  const size_t context = config.max_positions;
  if (tokens.empty() || position > context ||
      tokens.size() > context - position) {
    return absl::InvalidArgumentError(
        absl::StrCat(tokens.size(), " tokens after ", position,
                     "; the context holds ", context));
  }
  for (int64_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", token, " is outside the vocabulary of ",
                       config.vocab_size));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTypes(const ModelConfig& config,
                        std::span<const int64_t> types, size_t tokens) {
  if (!types.empty() && types.size() != tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat(types.size(), " segment ids for ", tokens, " tokens"));
  }
  for (int64_t type : types) {
    if (type < 0 || type >= config.type_vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          "segment id ", type, "; the model has ", config.type_vocab_size));
    }
  }
  return absl::OkStatus();
}

// A token drawn at temperature 1.
int64_t Draw(const Floats& logits, std::mt19937_64& rng) {
  const float max = *std::max_element(logits.begin(), logits.end());
  std::vector<double> probability(logits.size());
  for (size_t v = 0; v < logits.size(); ++v) {
    probability[v] = std::exp(static_cast<double>(logits[v] - max));
  }
  return std::discrete_distribution<int64_t>(probability.begin(),
                                             probability.end())(rng);
}

absl::Status CalibrateDecoder(const ModelWeights& weights, size_t length,
                              std::mt19937_64& rng, ModelRanges& ranges) {
  RETURN_IF_ERROR(CalibrateOn(
      weights, RandomTokens(length, weights.config.vocab_size, rng), ranges));
  FloatCache cache;
  int64_t token = weights.config.bos_id.value_or(0);
  for (size_t i = 0; i < length; ++i) {
    const std::array<int64_t, 1> one = {token};
    ASSIGN_OR_RETURN(const Floats logits,
                     FloatForward(weights, one, cache, &ranges));
    token = Draw(logits, rng);
  }
  return absl::OkStatus();
}

// Short texts too: what attention averages over few positions is larger.
absl::Status CalibrateEncoder(const ModelWeights& weights, size_t length,
                              std::mt19937_64& rng, ModelRanges& ranges) {
  const ModelConfig& config = weights.config;
  for (size_t n : {length, std::max<size_t>(length / 4, 1), size_t{1}}) {
    const std::vector<int64_t> tokens = RandomTokens(n, config.vocab_size, rng);
    RETURN_IF_ERROR(CalibrateOn(weights, tokens, ranges));
    const std::vector<int64_t> types =
        RandomTokens(n, config.type_vocab_size, rng);
    RETURN_IF_ERROR(FloatEncode(weights, tokens, types, &ranges).status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<float>> FloatForward(const ModelWeights& weights,
                                                std::span<const int64_t> tokens,
                                                FloatCache& cache,
                                                ModelRanges* ranges) {
  const ModelConfig& config = weights.config;
  if (config.is_bert()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(config.architecture), " is no decoder"));
  }
  RETURN_IF_ERROR(CheckTokens(config, tokens, cache.positions));
  cache.layers.resize(weights.layers.size());
  Pass pass(weights, cache.positions, tokens.size(), ranges);
  Floats x = pass.Embed(tokens, cache.positions, {});
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    pass.DecoderLayer(i, x, cache.layers[i]);
  }
  cache.positions += tokens.size();
  return pass.DecoderLogits(x);
}

absl::StatusOr<std::vector<float>> FloatForward(const ModelWeights& weights,
                                                std::span<const int64_t> tokens,
                                                ModelRanges* ranges) {
  FloatCache cache;
  return FloatForward(weights, tokens, cache, ranges);
}

absl::StatusOr<FloatEncoding> FloatEncode(const ModelWeights& weights,
                                          std::span<const int64_t> tokens,
                                          std::span<const int64_t> types,
                                          ModelRanges* ranges) {
  const ModelConfig& config = weights.config;
  if (!config.is_bert()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(config.architecture), " is no encoder"));
  }
  RETURN_IF_ERROR(CheckTokens(config, tokens, 0));
  RETURN_IF_ERROR(CheckTypes(config, types, tokens.size()));
  Pass pass(weights, 0, tokens.size(), ranges);
  FloatEncoding out;
  out.hidden = pass.Embed(tokens, 0, types);
  pass.Encode(out.hidden);
  pass.AddHeads(out);
  return out;
}

absl::StatusOr<ModelRanges> Calibrate(const ModelWeights& weights,
                                      size_t length, uint64_t seed) {
  const ModelConfig& config = weights.config;
  length = std::min(length, static_cast<size_t>(config.max_positions));
  std::mt19937_64 rng(seed);
  ModelRanges ranges;
  RETURN_IF_ERROR(config.is_bert()
                      ? CalibrateEncoder(weights, length, rng, ranges)
                      : CalibrateDecoder(weights, length, rng, ranges));
  return ranges;
}

absl::Status CalibrateOn(const ModelWeights& weights,
                         std::span<const int64_t> tokens, ModelRanges& ranges) {
  if (weights.config.is_bert()) {
    return FloatEncode(weights, tokens, {}, &ranges).status();
  }
  return FloatForward(weights, tokens, &ranges).status();
}

}  // namespace tacit
