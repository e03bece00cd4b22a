// A decoder in floats: the reference for accuracy, and what calibration reads.
#ifndef TACIT_COMMON_MODELS_FLOAT_DECODER_H_
#define TACIT_COMMON_MODELS_FLOAT_DECODER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/models/config.h"
#include "common/models/safetensors.h"

namespace tacit {

// Weights of a Llama, Mistral or Qwen2 model, as Hugging Face stores them: a
// linear layer's matrix is [outputs, inputs], row-major.
struct DecoderLayerWeights {
  std::vector<float> attention_norm, mlp_norm;  // [hidden]
  std::vector<float> q, k, v;                   // [heads * d, hidden]
  std::vector<float> q_bias, k_bias, v_bias;    // empty without
  std::vector<float> o;                         // [hidden, heads * d]
  std::vector<float> gate, up;                  // [intermediate, hidden]
  std::vector<float> down;                      // [hidden, intermediate]
};
struct DecoderWeights {
  ModelConfig config;
  std::vector<float> embedding;  // [vocabulary, hidden]
  std::vector<DecoderLayerWeights> layers;
  std::vector<float> final_norm;  // [hidden]
  std::vector<float> head;        // [vocabulary, hidden]; empty if tied

  const std::vector<float>& head_or_embedding() const {
    return head.empty() ? embedding : head;
  }
};

// Errors: as Checkpoint::ReadFloat; UNIMPLEMENTED for an architecture that is
//   no such decoder, or a bias outside q, k and v.
absl::StatusOr<DecoderWeights> LoadDecoderWeights(const ModelConfig& config,
                                                  const Checkpoint& checkpoint);

// Largest magnitudes that a forward pass has met, in units of 1; scores in
// units of log2. What a plan's bounds come from.
struct DecoderRanges {
  struct Layer {
    double mean_square[2] = {0, 0};  // of the residual stream, at both norms
    double q = 0, k = 0, v = 0;      // after the rotation
    double score = 0, attention = 0, attention_out = 0;
    double gate = 0, up = 0, product = 0, mlp_out = 0;
  };
  std::vector<Layer> layers;
  double embedding = 0, residual = 0, final_mean_square = 0, logit = 0;
};

// Keys and values of the positions so far, rotated: [positions, kv_heads * d].
struct FloatCache {
  struct Layer {
    std::vector<float> keys, values;
  };
  std::vector<Layer> layers;
  size_t positions = 0;
};

// Logits of each of `tokens`, which follow the cache's positions and join it:
// [tokens, vocabulary]. `ranges`, if given, is raised where a value exceeds it.
// Errors: INVALID_ARGUMENT for no token, one outside the vocabulary, or more
//   than the context holds.
absl::StatusOr<std::vector<float>> FloatForward(
    const DecoderWeights& weights, std::span<const int64_t> tokens,
    FloatCache& cache, DecoderRanges* ranges = nullptr);

// The same from the beginning.
absl::StatusOr<std::vector<float>> FloatForward(
    const DecoderWeights& weights, std::span<const int64_t> tokens,
    DecoderRanges* ranges = nullptr);

// Ranges over sequences that the model writes itself (from BOS, or from token
// 0, sampled at temperature 1) and over random tokens, `length` of each.
// Depends on the model and `seed` only: on no user's text.
absl::StatusOr<DecoderRanges> Calibrate(const DecoderWeights& weights,
                                        size_t length, uint64_t seed);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_FLOAT_DECODER_H_
