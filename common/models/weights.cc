#include "common/models/weights.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

using Floats = std::vector<float>;

// Reads tensors whose names begin with a prefix.
class Reader {
 public:
  Reader(const Checkpoint& checkpoint, std::string prefix)
      : checkpoint_(checkpoint), prefix_(std::move(prefix)) {}

  Reader At(absl::string_view part) const {
    return Reader(checkpoint_, absl::StrCat(prefix_, part));
  }
  bool Has(absl::string_view name) const {
    return checkpoint_.Has(absl::StrCat(prefix_, name));
  }

  absl::Status Tensor(absl::string_view name, const TensorShape& shape,
                      Floats* out) const {
    ASSIGN_OR_RETURN(*out,
                     checkpoint_.ReadFloat(absl::StrCat(prefix_, name), shape));
    return absl::OkStatus();
  }

  // [outputs, inputs], as torch.nn.Linear has it.
  absl::Status Linear(absl::string_view name, int64_t outputs, int64_t inputs,
                      bool bias, LinearWeights* out) const {
    RETURN_IF_ERROR(
        Tensor(absl::StrCat(name, ".weight"), {outputs, inputs}, &out->weight));
    if (!bias) return absl::OkStatus();
    return Tensor(absl::StrCat(name, ".bias"), {outputs}, &out->bias);
  }

  // GPT-2's linear layer, stored as [inputs, outputs], always with a bias.
  absl::Status Conv1D(absl::string_view name, int64_t outputs, int64_t inputs,
                      LinearWeights* out) const {
    Floats stored;
    RETURN_IF_ERROR(
        Tensor(absl::StrCat(name, ".weight"), {inputs, outputs}, &stored));
    out->weight.resize(stored.size());
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i < inputs; ++i) {
        out->weight[o * inputs + i] = stored[i * outputs + o];
      }
    }
    return Tensor(absl::StrCat(name, ".bias"), {outputs}, &out->bias);
  }

  absl::Status RmsNorm(absl::string_view name, int64_t hidden,
                       NormWeights* out) const {
    return Tensor(absl::StrCat(name, ".weight"), {hidden}, &out->gain);
  }

  // Checkpoints converted from TensorFlow call weight and bias gamma and beta.
  absl::Status LayerNorm(absl::string_view name, int64_t hidden,
                         NormWeights* out) const {
    const bool old = !Has(absl::StrCat(name, ".weight")) &&
                     Has(absl::StrCat(name, ".gamma"));
    RETURN_IF_ERROR(Tensor(absl::StrCat(name, old ? ".gamma" : ".weight"),
                           {hidden}, &out->gain));
    return Tensor(absl::StrCat(name, old ? ".beta" : ".bias"), {hidden},
                  &out->bias);
  }

 private:
  const Checkpoint& checkpoint_;
  const std::string prefix_;
};

struct BaseNames {
  absl::string_view prefix, embedding, layers;
};
BaseNames BaseNamesOf(const ModelConfig& config) {
  if (config.is_bert()) {
    return {"bert.", "embeddings.word_embeddings.weight", "encoder.layer."};
  }
  if (config.architecture == Architecture::kGpt2) {
    return {"transformer.", "wte.weight", "h."};
  }
  return {"model.", "embed_tokens.weight", "layers."};
}

// The base model's tensors have the prefix, unless it was saved by itself: then
// the embedding is there without.
Reader BaseModel(const ModelConfig& config, const Checkpoint& checkpoint) {
  const BaseNames names = BaseNamesOf(config);
  const bool bare = checkpoint.Has(names.embedding);
  return Reader(checkpoint, bare ? "" : std::string(names.prefix));
}

absl::Status LoadHead(const ModelConfig& config, const Checkpoint& checkpoint,
                      ModelWeights* out) {
  // A tied model's file may hold a head all the same; transformers drops it.
  if (config.tied_head) return absl::OkStatus();
  return Reader(checkpoint, "")
      .Tensor("lm_head.weight", {config.vocab_size, config.hidden_size},
              &out->head);
}

absl::Status LoadLlamaLayer(const ModelConfig& config, const Reader& layer,
                            LayerWeights* out) {
  const int64_t hidden = config.hidden_size, mlp = config.intermediate_size;
  const int64_t q = config.num_heads * config.head_dim;
  const int64_t kv = config.num_kv_heads * config.head_dim;
  RETURN_IF_ERROR(
      layer.RmsNorm("input_layernorm", hidden, &out->attention_norm));
  RETURN_IF_ERROR(
      layer.RmsNorm("post_attention_layernorm", hidden, &out->mlp_norm));
  const bool bias = config.qkv_bias;
  RETURN_IF_ERROR(layer.Linear("self_attn.q_proj", q, hidden, bias, &out->q));
  RETURN_IF_ERROR(layer.Linear("self_attn.k_proj", kv, hidden, bias, &out->k));
  RETURN_IF_ERROR(layer.Linear("self_attn.v_proj", kv, hidden, bias, &out->v));
  RETURN_IF_ERROR(layer.Linear("self_attn.o_proj", hidden, q,
                               config.attention_output_bias, &out->o));
  RETURN_IF_ERROR(
      layer.Linear("mlp.gate_proj", mlp, hidden, config.mlp_bias, &out->gate));
  RETURN_IF_ERROR(
      layer.Linear("mlp.up_proj", mlp, hidden, config.mlp_bias, &out->up));
  return layer.Linear("mlp.down_proj", hidden, mlp, config.mlp_bias,
                      &out->down);
}

// Part `part` of three of a layer's outputs.
LinearWeights Third(const LinearWeights& fused, int part) {
  const auto cut = [part](const Floats& all) {
    const auto third = static_cast<std::ptrdiff_t>(all.size() / 3);
    return Floats(all.begin() + part * third, all.begin() + (part + 1) * third);
  };
  return {cut(fused.weight), cut(fused.bias)};
}

absl::Status LoadGpt2Layer(const ModelConfig& config, const Reader& layer,
                           LayerWeights* out) {
  const int64_t hidden = config.hidden_size, mlp = config.intermediate_size;
  RETURN_IF_ERROR(layer.LayerNorm("ln_1", hidden, &out->attention_norm));
  RETURN_IF_ERROR(layer.LayerNorm("ln_2", hidden, &out->mlp_norm));
  LinearWeights qkv;
  RETURN_IF_ERROR(layer.Conv1D("attn.c_attn", 3 * hidden, hidden, &qkv));
  out->q = Third(qkv, 0);
  out->k = Third(qkv, 1);
  out->v = Third(qkv, 2);
  RETURN_IF_ERROR(layer.Conv1D("attn.c_proj", hidden, hidden, &out->o));
  RETURN_IF_ERROR(layer.Conv1D("mlp.c_fc", mlp, hidden, &out->gate));
  return layer.Conv1D("mlp.c_proj", hidden, mlp, &out->down);
}

absl::Status LoadBertLayer(const ModelConfig& config, const Reader& layer,
                           LayerWeights* out) {
  const int64_t hidden = config.hidden_size, mlp = config.intermediate_size;
  const Reader attention = layer.At("attention.");
  RETURN_IF_ERROR(
      attention.Linear("self.query", hidden, hidden, true, &out->q));
  RETURN_IF_ERROR(attention.Linear("self.key", hidden, hidden, true, &out->k));
  RETURN_IF_ERROR(
      attention.Linear("self.value", hidden, hidden, true, &out->v));
  RETURN_IF_ERROR(
      attention.Linear("output.dense", hidden, hidden, true, &out->o));
  RETURN_IF_ERROR(
      attention.LayerNorm("output.LayerNorm", hidden, &out->attention_norm));
  RETURN_IF_ERROR(
      layer.Linear("intermediate.dense", mlp, hidden, true, &out->gate));
  RETURN_IF_ERROR(layer.Linear("output.dense", hidden, mlp, true, &out->down));
  return layer.LayerNorm("output.LayerNorm", hidden, &out->mlp_norm);
}

absl::Status LoadBertHeads(const ModelConfig& config,
                           const Checkpoint& checkpoint, const Reader& model,
                           ModelWeights* out) {
  const int64_t hidden = config.hidden_size;
  const bool classifies = config.architecture == Architecture::kBertClassifier;
  // BertModel(add_pooling_layer=False) has none.
  if (classifies || model.Has("pooler.dense.weight")) {
    RETURN_IF_ERROR(
        model.Linear("pooler.dense", hidden, hidden, true, &out->pooler));
  }
  if (!classifies) return absl::OkStatus();
  return Reader(checkpoint, "")
      .Linear("classifier", static_cast<int64_t>(config.labels.size()), hidden,
              true, &out->classifier);
}

absl::Status LoadBertEmbeddings(const ModelConfig& config, const Reader& model,
                                ModelWeights* out) {
  const int64_t hidden = config.hidden_size;
  const Reader embeddings = model.At("embeddings.");
  RETURN_IF_ERROR(embeddings.Tensor(
      "word_embeddings.weight", {config.vocab_size, hidden}, &out->embedding));
  RETURN_IF_ERROR(embeddings.Tensor("position_embeddings.weight",
                                    {config.max_positions, hidden},
                                    &out->positions));
  RETURN_IF_ERROR(embeddings.Tensor("token_type_embeddings.weight",
                                    {config.type_vocab_size, hidden},
                                    &out->token_types));
  return embeddings.LayerNorm("LayerNorm", hidden, &out->embedding_norm);
}

// Fill the fields of one piece.
absl::Status AddEmbeddings(const ModelConfig& config,
                           const Checkpoint& checkpoint, ModelWeights* out) {
  const Reader model = BaseModel(config, checkpoint);
  if (config.is_bert()) return LoadBertEmbeddings(config, model, out);
  RETURN_IF_ERROR(model.Tensor(BaseNamesOf(config).embedding,
                               {config.vocab_size, config.hidden_size},
                               &out->embedding));
  if (config.uses_rope()) return absl::OkStatus();
  return model.Tensor("wpe.weight", {config.max_positions, config.hidden_size},
                      &out->positions);
}

absl::Status AddLayer(const ModelConfig& config, const Checkpoint& checkpoint,
                      int64_t index, LayerWeights* out) {
  const Reader layer =
      BaseModel(config, checkpoint)
          .At(absl::StrCat(BaseNamesOf(config).layers, index, "."));
  if (config.is_bert()) return LoadBertLayer(config, layer, out);
  if (config.architecture == Architecture::kGpt2) {
    return LoadGpt2Layer(config, layer, out);
  }
  return LoadLlamaLayer(config, layer, out);
}

absl::Status AddHead(const ModelConfig& config, const Checkpoint& checkpoint,
                     ModelWeights* out) {
  const Reader model = BaseModel(config, checkpoint);
  if (config.is_bert()) return LoadBertHeads(config, checkpoint, model, out);
  RETURN_IF_ERROR(
      config.architecture == Architecture::kGpt2
          ? model.LayerNorm("ln_f", config.hidden_size, &out->final_norm)
          : model.RmsNorm("norm", config.hidden_size, &out->final_norm));
  return LoadHead(config, checkpoint, out);
}

}  // namespace

absl::StatusOr<ModelWeights> LoadModelWeights(const ModelConfig& config,
                                              const Checkpoint& checkpoint) {
  ModelWeights out;
  out.config = config;
  RETURN_IF_ERROR(AddEmbeddings(config, checkpoint, &out));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    RETURN_IF_ERROR(
        AddLayer(config, checkpoint, i, &out.layers.emplace_back()));
  }
  RETURN_IF_ERROR(AddHead(config, checkpoint, &out));
  return out;
}

absl::StatusOr<ModelWeights> LoadEmbeddingWeights(
    const ModelConfig& config, const Checkpoint& checkpoint) {
  ModelWeights out;
  out.config = config;
  RETURN_IF_ERROR(AddEmbeddings(config, checkpoint, &out));
  return out;
}

absl::StatusOr<LayerWeights> LoadLayerWeights(const ModelConfig& config,
                                              const Checkpoint& checkpoint,
                                              int64_t index) {
  if (index < 0 || index >= config.num_layers) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", index, " of a model with ", config.num_layers));
  }
  LayerWeights out;
  RETURN_IF_ERROR(AddLayer(config, checkpoint, index, &out));
  return out;
}

absl::StatusOr<ModelWeights> LoadHeadWeights(const ModelConfig& config,
                                             const Checkpoint& checkpoint) {
  ModelWeights out;
  out.config = config;
  RETURN_IF_ERROR(AddHead(config, checkpoint, &out));
  return out;
}

}  // namespace tacit
