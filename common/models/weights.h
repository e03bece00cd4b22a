// A checkpoint's weights in floats, in one form for every architecture.
#ifndef TACIT_COMMON_MODELS_WEIGHTS_H_
#define TACIT_COMMON_MODELS_WEIGHTS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/models/config.h"
#include "common/models/safetensors.h"

namespace tacit {

// A linear layer: y = x weight^T + bias.
struct LinearWeights {
  std::vector<float> weight;  // [outputs, inputs], row-major
  std::vector<float> bias;    // [outputs]; empty without
};

// RMSNorm or LayerNorm over rows of hidden_size.
struct NormWeights {
  std::vector<float> gain;  // [hidden]
  std::vector<float> bias;  // [hidden]; empty for RMSNorm
};

// The norms stand before attention and MLP (Llama, GPT-2), or after the sums
// that attention and MLP are added to (BERT).
struct LayerWeights {
  NormWeights attention_norm, mlp_norm;
  LinearWeights q, k, v;  // [heads or kv_heads * head_dim, hidden]
  LinearWeights o;        // [hidden, heads * head_dim]
  LinearWeights gate;     // [intermediate, hidden]: what the activation takes
  LinearWeights up;       // [intermediate, hidden]: multiplied by its result;
                          // empty in an MLP without a gate
  LinearWeights down;     // [hidden, intermediate]
};

struct ModelWeights {
  ModelConfig config;
  std::vector<float> embedding;    // [vocab, hidden]
  std::vector<float> positions;    // [max_positions, hidden]; GPT-2, BERT
  std::vector<float> token_types;  // [type_vocab, hidden]; BERT
  NormWeights embedding_norm;      // BERT
  std::vector<LayerWeights> layers;
  NormWeights final_norm;   // decoders
  std::vector<float> head;  // [vocab, hidden]; empty if tied, and for BERT
  // BERT: tanh(pooler), then the classifier (kBertClassifier only).
  LinearWeights pooler, classifier;

  const std::vector<float>& head_or_embedding() const {
    return head.empty() ? embedding : head;
  }
};

// Reads all that the architecture has: Conv1D matrices (GPT-2) transposed,
// fused projections split, prefixes such as "transformer." or "bert." present
// or not, as transformers writes them.
// Tensors that the architecture has no use for are left alone, as there: a head
// of a tied model, biases that the config denies, attention masks.
// Errors: as Checkpoint::ReadFloat: missing tensors, shapes, NaN, dtypes.
absl::StatusOr<ModelWeights> LoadModelWeights(const ModelConfig& config,
                                              const Checkpoint& checkpoint);

// The same piece by piece, for models larger than memory: what is in front of
// the layers, one layer, and what is behind them; fields of other pieces stay
// empty, so head_or_embedding() means nothing for a tied model's.
// INVALID_ARGUMENT also for a layer that the model does not have.
absl::StatusOr<ModelWeights> LoadEmbeddingWeights(const ModelConfig& config,
                                                  const Checkpoint& checkpoint);
absl::StatusOr<LayerWeights> LoadLayerWeights(const ModelConfig& config,
                                              const Checkpoint& checkpoint,
                                              int64_t index);
absl::StatusOr<ModelWeights> LoadHeadWeights(const ModelConfig& config,
                                             const Checkpoint& checkpoint);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_WEIGHTS_H_
