// A decoder over the evaluators: Llama, Mistral, Qwen2.
//
// Written once; dealer, parties, plain and cost evaluators run it. Everything
// that depends on the model only is in the plan, which all roles hold.
#ifndef TACIT_COMMON_MODELS_DECODER_H_
#define TACIT_COMMON_MODELS_DECODER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/matmul.h"
#include "common/models/config.h"
#include "common/models/float_decoder.h"
#include "common/nn/activations.h"
#include "common/nn/embedding.h"
#include "common/nn/norm.h"
#include "common/nn/rope.h"
#include "common/nn/softmax.h"

namespace tacit {

// Rings of one layer, in bits; all values have 12 fraction bits once truncated,
// 24 as products of two of those. "Ring" is where a product is opened.
struct DecoderLayerPlan {
  NormParams attention_norm;
  int q_ring, k_ring, v_ring;
  int score_ring;  // also the width of q and k in it and in the cache
  SoftmaxParams softmax;
  int value_ring;      // of weights times values; the width of v in the cache
  int attention_ring;  // of that times the inverse
  int attention_out_ring;
  NormParams mlp_norm;
  int gate_ring, up_ring;
  ActivationParams activation;
  int product_ring;  // of activation times up
  int mlp_out_ring;
};

struct DecoderPlan {
  ModelConfig config;
  size_t context;  // positions that a session may hold
  EmbeddingParams embedding;
  RopeParams rope;
  std::vector<DecoderLayerPlan> layers;
  NormParams final_norm;
  int logit_ring;
};

// Bounds are `margin` times what calibration met, rounded up to powers of two.
// Errors: INVALID_ARGUMENT if the ranges are not the model's, the context
//   exceeds the model's, or a ring exceeds 64 bits (naming layer and ring);
//   UNIMPLEMENTED if the context exceeds a sliding window.
absl::StatusOr<DecoderPlan> PlanDecoder(const ModelConfig& config,
                                        const DecoderRanges& ranges,
                                        size_t context, double margin = 4);

// The weights of one role. Gains of norms are folded into the matrices behind
// them, the scores' scale and log2 e into those of the queries.
struct DecoderMatrices {
  struct Layer {
    StaticMatrix q, k, v, o, gate, up, down;
    StaticMatrix q_bias, k_bias, v_bias;  // n = 0 without
  };
  StaticMatrix embedding, head;
  std::vector<Layer> layers;
};

// The same for all roles of one process; index as Pick does.
struct DecoderShares {
  DecoderMatrices dealer, party[2], plain;
};
// Encodes and shares a model under the streams derived from `seed`.
// Errors: INVALID_ARGUMENT if a weight does not fit its encoding; INTERNAL from
//   key derivation.
absl::StatusOr<DecoderShares> ShareDecoder(const DecoderWeights& weights,
                                           WeightMode mode, const Seed& seed);
const DecoderMatrices& Pick(const Evaluator& ev, const DecoderShares& shares);

// Keys and values of the positions so far, with their masks' shares: a step
// adds its own and opens nothing of the others.
struct DecoderCache {
  struct Layer {
    Wire keys;  // [positions, kv_heads * head_dim]
    Wire values;
  };
  std::vector<Layer> layers;
  size_t positions = 0;
};

inline constexpr int kLogitFrac = 24;

// Logits of the last of `tokens` [n], which follow the cache's positions: share
// [vocabulary] over Z_{2^logit_ring}, frac kLogitFrac.
// Errors (sticky): INVALID_ARGUMENT if the cache or the context does not hold
//   them; in the plain evaluator OUT_OF_RANGE where a value breaks its bound.
Share DecoderForward(Evaluator& ev, const DecoderPlan& plan,
                     const DecoderMatrices& weights, const Wire& tokens,
                     DecoderCache& cache);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_DECODER_H_
