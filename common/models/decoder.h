// A decoder over the evaluators: Llama, Mistral, Qwen2, GPT-2.
//
// Written once; dealer, parties, plain and cost evaluators run it. Everything
// that depends on the model only is in the plan, which all roles hold.
#ifndef TACIT_COMMON_MODELS_DECODER_H_
#define TACIT_COMMON_MODELS_DECODER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/gates/evaluator.h"
#include "common/models/attention.h"
#include "common/models/blocks.h"
#include "common/models/bounds.h"
#include "common/models/config.h"
#include "common/models/share_weights.h"
#include "common/models/weights.h"
#include "common/nn/activations.h"
#include "common/nn/embedding.h"
#include "common/nn/norm.h"
#include "common/nn/rope.h"

namespace tacit {

// What a plan saves where it can choose. A gated MLP may normalise after its
// projections instead of before them, and multiply inside the activation's
// table: two rounds less a layer, for more bytes.
enum class Objective { kBytes, kRounds };

// One layer. Rings are in bits; "ring" is where a product is opened.
struct DecoderLayerPlan {
  NormParams attention_norm;
  ScaledPlan q, k, v;
  AttentionPlan attention;
  int attention_out_ring;
  std::optional<size_t>
      window;  // positions that a query sees, its own included
  NormParams mlp_norm;
  ScaledPlan gate, up;     // kRounds; up: only with a gated MLP
  int gate_ring, up_ring;  // kBytes
  ActivationParams activation;
  int product_ring;  // of activation times up; 0 without
  int mlp_out_ring;
};

struct DecoderPlan {
  ModelConfig config;
  ModelBounds bounds;
  Objective objective;
  size_t context;      // positions that a sequence may hold
  int residual_frac;   // fraction bits of the residual stream
  int residual_width;  // its ring
  EmbeddingParams embedding;
  RopeParams rope;
  std::vector<DecoderLayerPlan> layers;
  NormParams final_norm;
  int logit_ring;
};

// The plan that follows from configuration and bounds; the same on every
// machine, but for tables of activations, which the digest covers
// (plan_file.h). Errors: INVALID_ARGUMENT if the bounds are not the model's,
// the context
//   exceeds the model's, or a ring exceeds 64 bits (naming layer and ring);
//   UNIMPLEMENTED if the model is no decoder.
absl::StatusOr<DecoderPlan> PlanDecoder(
    const ModelConfig& config, const ModelBounds& bounds, size_t context,
    Objective objective = Objective::kBytes);

// The matrices of a decoder. Gains and biases of norms are folded into those
// behind them, the scores' scale and log2 e into those of the queries; where
// the norms are LayerNorms, what the residual stream is made of is centred, so
// that they become RMSNorms (Jiang et al., "Pre-RMSNorm and Pre-CRMSNorm
// Transformers", NeurIPS 2023, section 3).
template <typename T>
struct DecoderTensors {
  struct Layer {
    T q, k, v, o, gate, up, down;
    T q_bias, k_bias, v_bias, o_bias, gate_bias, up_bias, down_bias;
  };
  T embedding, positions, head, head_bias;
  std::vector<Layer> layers;

  // f(name, matrix) for each, in a fixed order.
  template <typename F>
  void ForEach(F f) {
    Visit(*this, f);
  }
  template <typename F>
  void ForEach(F f) const {
    Visit(*this, f);
  }
  template <typename U>
  void Like(const DecoderTensors<U>& other) {
    layers.resize(other.layers.size());
  }

 private:
  template <typename Self, typename F>
  static void Visit(Self& self, F& f) {
    f("embedding", self.embedding);
    f("positions", self.positions);
    for (size_t i = 0; i < self.layers.size(); ++i) {
      auto& l = self.layers[i];
      const auto name = [i](const char* what) {
        return absl::StrCat("layers.", i, ".", what);
      };
      f(name("q"), l.q), f(name("q_bias"), l.q_bias);
      f(name("k"), l.k), f(name("k_bias"), l.k_bias);
      f(name("v"), l.v), f(name("v_bias"), l.v_bias);
      f(name("o"), l.o), f(name("o_bias"), l.o_bias);
      f(name("gate"), l.gate), f(name("gate_bias"), l.gate_bias);
      f(name("up"), l.up), f(name("up_bias"), l.up_bias);
      f(name("down"), l.down), f(name("down_bias"), l.down_bias);
    }
    f("head", self.head);
    f("head_bias", self.head_bias);
  }
};
using DecoderMatrices = DecoderTensors<StaticMatrix>;
using DecoderShares = RoleMatrices<DecoderMatrices>;

// How the plan's matrices are made from the weights, which must outlive the
// result; from null, their shapes alone.
DecoderTensors<MatrixSpec> DecoderSpecs(const DecoderPlan& plan,
                                        const ModelWeights* weights);
// The same in parts, for weights that come piece by piece (see weights.h): the
// matrices in front of the layers, of one layer, and behind the layers. Those
// of other parts have no outputs. A tied model's last part takes the embedding.
DecoderTensors<MatrixSpec> DecoderEmbeddingSpecs(const DecoderPlan& plan,
                                                 const ModelWeights* weights);
DecoderTensors<MatrixSpec> DecoderLayerSpecs(const DecoderPlan& plan,
                                             size_t index,
                                             const LayerWeights* weights);
DecoderTensors<MatrixSpec> DecoderHeadSpecs(const DecoderPlan& plan,
                                            const ModelWeights* weights);
// Encodes and shares a model under streams derived from `seed`.
// Errors: as ShareMatrix.
absl::StatusOr<DecoderShares> ShareDecoder(const DecoderPlan& plan,
                                           const ModelWeights& weights,
                                           WeightMode mode, const Seed& seed);

// Keys and values of the positions so far, with their masks' shares: a step
// adds its own and opens nothing of the others.
struct DecoderCache {
  struct Layer {
    Wire keys, values;   // [positions - dropped, kv_heads * head_dim]
    size_t dropped = 0;  // behind a sliding window
  };
  struct Sequence {
    std::vector<Layer> layers;
    size_t positions = 0;
  };
  std::vector<Sequence> sequences;
};

// Which positions' logits are wanted.
enum class LogitsOf { kLast, kAll };

inline constexpr int kLogitFrac = 24;

// One pass over a batch of sequences. `input` is
//   [n], token ids over Z_{2^TokenWidth(vocab_size)}: looked up secretly; or
//   [n, hidden], rows of the embedding (positions included, where the model has
//   them) with residual_frac fraction bits over Z_{2^EmbeddedWidth(plan)}: the
//   user looked them up.
// Sequence i's next lengths[i] tokens follow those of sequence i - 1; they
// follow the cache's positions and join it. A new cache is empty. Result: share
// [rows, vocab_size] over Z_{2^logit_ring}, frac kLogitFrac; rows: the last
// token's of every sequence with lengths[i] > 0, or all.
// Errors (sticky): INVALID_ARGUMENT if sizes disagree, or the context does not
//   hold them; in the plain evaluator OUT_OF_RANGE where a value breaks its
//   bound.
Share DecoderForward(Evaluator& ev, const DecoderPlan& plan,
                     const DecoderMatrices& weights, const Wire& input,
                     std::span<const size_t> lengths, DecoderCache& cache,
                     LogitsOf rows = LogitsOf::kLast);
// One sequence.
Share DecoderForward(Evaluator& ev, const DecoderPlan& plan,
                     const DecoderMatrices& weights, const Wire& input,
                     DecoderCache& cache, LogitsOf rows = LogitsOf::kLast);

// The width in which the user sends embedded tokens, and such a row: [hidden]
// integers with residual_frac fraction bits for `token` at `position`.
int EmbeddedWidth(const DecoderPlan& plan);
void EmbedToken(const DecoderPlan& plan, const ModelWeights& weights,
                int64_t token, size_t position, std::span<int64_t> row);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_DECODER_H_
