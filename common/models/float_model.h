// The models in floats: the reference for accuracy, and what calibration reads.
#ifndef TACIT_COMMON_MODELS_FLOAT_MODEL_H_
#define TACIT_COMMON_MODELS_FLOAT_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/models/weights.h"

namespace tacit {

// Least and largest mean square of a norm's rows (less their mean, for
// LayerNorm), in units of 1.
struct SquareRange {
  double min = 0, max = 0;  // both 0: none seen
};

// Largest magnitudes that forward passes have met, in units of 1; scores in
// units of log2, that is times log2(e). What a plan's bounds come from.
//
// In models with LayerNorm, secure programs may subtract a row's mean before
// the norm. There embedding, embedded, residual, attention_out and mlp_out hold
// for rows as they are and for rows less their mean.
struct ModelRanges {
  struct Layer {
    SquareRange attention_norm, mlp_norm;  // of the norms' inputs
    // Of norm outputs where they are the residual stream (BERT).
    double attention_normed = 0, mlp_normed = 0;
    double q = 0, k = 0, v = 0;  // with bias; q, k before or after the rotation
    double score = 0, attention = 0;  // attention: weights times values
    double attention_out = 0;  // what the residual stream gets, with bias
    double gate = 0, up = 0;   // with bias
    // The activation's result, times up where there is a gate.
    double product = 0;
    double mlp_out = 0;
    // Pre-norm models: projections of the residual stream itself, with the
    // norm's gain but neither its bias nor its root (nor the layer's bias):
    // x diag(gain) W^T, for LayerNorm of x less its mean. q, k before or after
    // the rotation.
    double raw_q = 0, raw_k = 0, raw_v = 0, raw_gate = 0, raw_up = 0;
  };
  std::vector<Layer> layers;
  double embedding = 0;        // rows of the token embedding, all of them
  double embedded = 0;         // with positions and types, before any norm
  SquareRange embedding_norm;  // BERT
  double embedding_normed = 0;
  double residual = 0;  // the residual stream, anywhere
  SquareRange final_norm;
  double logit = 0;   // or a classifier's
  double pooler = 0;  // before its tanh
};

// Keys and values of the positions so far, keys rotated: [positions, kv_heads *
// d].
struct FloatCache {
  struct Layer {
    std::vector<float> keys, values;
  };
  std::vector<Layer> layers;
  size_t positions = 0;
};

// Logits of each of `tokens`, which follow the cache's positions and join it:
// [tokens, vocab]. Causal, within sliding windows where the model has them.
// `ranges`, if given, is raised where a value exceeds it; it is then this
// model's, or new. Arithmetic in float32 as in transformers, in another order.
// For decoders.
// Errors: INVALID_ARGUMENT for no token, one outside the vocabulary, more than
//   the context holds, or a model that is no decoder.
absl::StatusOr<std::vector<float>> FloatForward(const ModelWeights& weights,
                                                std::span<const int64_t> tokens,
                                                FloatCache& cache,
                                                ModelRanges* ranges = nullptr);
// The same from the beginning.
absl::StatusOr<std::vector<float>> FloatForward(const ModelWeights& weights,
                                                std::span<const int64_t> tokens,
                                                ModelRanges* ranges = nullptr);

struct FloatEncoding {
  std::vector<float> hidden;  // [tokens, hidden], after the last layer
  std::vector<float> pooled;  // [hidden]; empty if the model has no pooler
  std::vector<float> logits;  // [labels]; kBertClassifier only
};
// A BERT on one text; types are its segment ids, or empty for zeros.
// Errors: INVALID_ARGUMENT as above, for segments that the model has not or
//   another number of them, and for a model that is no BERT.
absl::StatusOr<FloatEncoding> FloatEncode(const ModelWeights& weights,
                                          std::span<const int64_t> tokens,
                                          std::span<const int64_t> types,
                                          ModelRanges* ranges = nullptr);

// Ranges from `length` random tokens, and, for decoders, from `length` tokens
// that the model draws itself after its BOS; for BERT from random texts of
// several lengths and segments. Never from a user's text. A `length` beyond the
// context is cut. Errors: INVALID_ARGUMENT for 0.
absl::StatusOr<ModelRanges> Calibrate(const ModelWeights& weights,
                                      size_t length, uint64_t seed);
// Raises `ranges` by a text's.
absl::Status CalibrateOn(const ModelWeights& weights,
                         std::span<const int64_t> tokens, ModelRanges& ranges);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_FLOAT_MODEL_H_
