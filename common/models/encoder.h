// A BERT over the evaluators: BertModel, BertForSequenceClassification.
//
// Written once; dealer, parties, plain and cost evaluators run it. Everything
// that depends on the model only is in the plan, which all roles hold.
#ifndef TACIT_COMMON_MODELS_ENCODER_H_
#define TACIT_COMMON_MODELS_ENCODER_H_

#include <cstddef>
#include <span>
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

namespace tacit {

// A LayerNorm of x + update. Both have rows of mean zero (see EncoderTensors),
// so it is an RMSNorm; what is behind it takes x + update itself and multiplies
// by the root afterwards (see ScaledPlan).
struct EncoderNormPlan {
  RmsBounds rms;
  int normed = 0;  // |result| < 2^normed
  NormParams norm;
  int sum_width = 0;  // ring of x + update, in bits
  ScaledPlan stream;  // the norm's result less its rows' means: the next x
};

// One layer. Rings are in bits; "ring" is where a product is opened.
struct EncoderLayerPlan {
  ScaledPlan q, k, v;  // of the norm before the layer
  AttentionPlan attention;
  int attention_out_ring;
  EncoderNormPlan attention_norm;  // behind attention
  ScaledPlan gate;
  ActivationParams activation;
  int mlp_out_ring;
  EncoderNormPlan mlp_norm;  // behind the MLP
};

struct EncoderPlan {
  ModelConfig config;
  ModelBounds bounds;
  size_t max_tokens;   // of a text
  int embedding_frac;  // fraction bits of embedded tokens
  EmbeddingParams embedding;
  EncoderNormPlan embedding_norm;
  std::vector<EncoderLayerPlan> layers;
  ScaledPlan hidden;  // the last norm's result as it is
  ScaledPlan pooler;
  ActivationParams tanh;
  int logit_ring;
};

// The plan that follows from configuration and bounds; the same on every
// machine, but for tables of activations, which the digest covers.
// Errors: INVALID_ARGUMENT if the bounds are not the model's, max_tokens is 0
//   or exceeds the model's positions, or a ring exceeds 64 bits (naming layer
//   and ring); UNIMPLEMENTED if the model is no BERT.
absl::StatusOr<EncoderPlan> PlanEncoder(const ModelConfig& config,
                                        const ModelBounds& bounds,
                                        size_t max_tokens);

// The matrices of a BERT. Gains and biases of norms are folded into the
// projections behind them, the scores' scale and log2 e into those of the
// queries. Whatever is added up in front of a norm has rows of mean zero, so
// that LayerNorms become RMSNorms (as in decoder.h): the embeddings and the
// outputs of attention and MLP by their weights; the residual stream has its
// mean taken away where it is multiplied by its gain.
template <typename T>
struct EncoderTensors {
  struct Layer {
    T q, k, v, o, gate, down;
    T q_bias, k_bias, v_bias, o_bias, gate_bias, down_bias;
    // [1, hidden]: of the norms behind attention and MLP.
    T attention_gain, attention_shift, mlp_gain, mlp_shift;
  };
  T embedding, positions, types;
  T embedding_gain, embedding_shift;
  std::vector<Layer> layers;
  // The last norm's again, where its result is wanted as it is.
  T hidden_gain, hidden_shift;
  T pooler, pooler_bias, classifier, classifier_bias;

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
  void Like(const EncoderTensors<U>& other) {
    layers.resize(other.layers.size());
  }

 private:
  template <typename Self, typename F>
  static void Visit(Self& self, F& f) {
    f("embedding", self.embedding);
    f("positions", self.positions);
    f("types", self.types);
    f("embedding_gain", self.embedding_gain);
    f("embedding_shift", self.embedding_shift);
    for (size_t i = 0; i < self.layers.size(); ++i) {
      auto& l = self.layers[i];
      const auto name = [i](const char* what) {
        return absl::StrCat("layers.", i, ".", what);
      };
      f(name("q"), l.q), f(name("q_bias"), l.q_bias);
      f(name("k"), l.k), f(name("k_bias"), l.k_bias);
      f(name("v"), l.v), f(name("v_bias"), l.v_bias);
      f(name("o"), l.o), f(name("o_bias"), l.o_bias);
      f(name("attention_gain"), l.attention_gain);
      f(name("attention_shift"), l.attention_shift);
      f(name("gate"), l.gate), f(name("gate_bias"), l.gate_bias);
      f(name("down"), l.down), f(name("down_bias"), l.down_bias);
      f(name("mlp_gain"), l.mlp_gain), f(name("mlp_shift"), l.mlp_shift);
    }
    f("hidden_gain", self.hidden_gain), f("hidden_shift", self.hidden_shift);
    f("pooler", self.pooler), f("pooler_bias", self.pooler_bias);
    f("classifier", self.classifier);
    f("classifier_bias", self.classifier_bias);
  }
};
using EncoderMatrices = EncoderTensors<StaticMatrix>;
using EncoderShares = RoleMatrices<EncoderMatrices>;

// How the plan's matrices are made from the weights, which must outlive the
// result; from null, their shapes alone.
EncoderTensors<MatrixSpec> EncoderSpecs(const EncoderPlan& plan,
                                        const ModelWeights* weights);
// The same in parts, for weights that come piece by piece (see weights.h): the
// matrices in front of the layers, of one layer, and behind the layers. Those
// of other parts have no outputs. `before` is the norm in front of the part:
// that of the embeddings, or the second of the layer before.
EncoderTensors<MatrixSpec> EncoderEmbeddingSpecs(const EncoderPlan& plan,
                                                 const ModelWeights* weights);
EncoderTensors<MatrixSpec> EncoderLayerSpecs(const EncoderPlan& plan,
                                             size_t index,
                                             const NormWeights* before,
                                             const LayerWeights* weights);
EncoderTensors<MatrixSpec> EncoderHeadSpecs(const EncoderPlan& plan,
                                            const NormWeights* before,
                                            const ModelWeights* weights);
// Encodes and shares a model under streams derived from `seed`.
// Errors: as ShareMatrix.
absl::StatusOr<EncoderShares> ShareEncoder(const EncoderPlan& plan,
                                           const ModelWeights& weights,
                                           WeightMode mode, const Seed& seed);

enum class EncoderOutput {
  kHidden,  // the last layer's rows: [tokens, hidden], frac kFrac
  kPooled,  // tanh(pooler) of each text's first token: [texts, hidden], kFrac
  kLogits,  // the classifier's: [texts, labels], frac kEncoderLogitFrac
};
inline constexpr int kEncoderLogitFrac = 2 * kFrac;

// One pass over a batch of texts. `tokens` [n]: ids over
// Z_{2^TokenWidth(vocab_size)}, `types` [n]: segment ids over
// Z_{2^TokenWidth(type_vocab_size)}; both SECRET, looked up obliviously. Null:
// all are of segment 0, which is then public. Text i's lengths[i] tokens follow
// those of text i - 1; there is no padding, and each text attends to itself
// only. Lengths are public. Where only first tokens are wanted, the last layer
// computes no more than their queries, MLP and norms.
// Errors (sticky): INVALID_ARGUMENT if sizes or widths disagree, a text is
//   empty or longer than planned, or the model has no pooler or classifier; in
//   the plain evaluator OUT_OF_RANGE where a value breaks its bound.
Share EncoderForward(Evaluator& ev, const EncoderPlan& plan,
                     const EncoderMatrices& weights, const Wire& tokens,
                     const Wire* types, std::span<const size_t> lengths,
                     EncoderOutput what = EncoderOutput::kLogits);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_ENCODER_H_
