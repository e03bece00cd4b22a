// Models as files in Hugging Face's format; test code only.
#ifndef TACIT_COMMON_MODELS_CHECKPOINT_TESTING_H_
#define TACIT_COMMON_MODELS_CHECKPOINT_TESTING_H_

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/models/safetensors.h"
#include "common/models/weights.h"
#include "nlohmann/json.hpp"

namespace tacit {

using Floats = std::vector<float>;
struct Tensor {
  TensorShape shape;
  Floats values;
};
using Tensors = std::map<std::string, Tensor>;

// Under the names that transformers gives to them.

inline void PutLinear(Tensors& out, const std::string& name,
                      const LinearWeights& linear, int64_t outputs) {
  out[name + ".weight"] = {
      {outputs, static_cast<int64_t>(linear.weight.size()) / outputs},
      linear.weight};
  if (!linear.bias.empty()) out[name + ".bias"] = {{outputs}, linear.bias};
}

inline void PutNorm(Tensors& out, const std::string& name,
                    const NormWeights& norm, bool old_names = false) {
  const auto hidden = static_cast<int64_t>(norm.gain.size());
  out[name + (old_names ? ".gamma" : ".weight")] = {{hidden}, norm.gain};
  if (!norm.bias.empty()) {
    out[name + (old_names ? ".beta" : ".bias")] = {{hidden}, norm.bias};
  }
}

inline Tensors LlamaTensors(const ModelWeights& w, const std::string& prefix) {
  const ModelConfig& c = w.config;
  const int64_t hidden = c.hidden_size, mlp = c.intermediate_size;
  const int64_t q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  Tensors out;
  out[prefix + "embed_tokens.weight"] = {{c.vocab_size, hidden}, w.embedding};
  for (size_t i = 0; i < w.layers.size(); ++i) {
    const LayerWeights& l = w.layers[i];
    const std::string name = absl::StrCat(prefix, "layers.", i, ".");
    PutNorm(out, name + "input_layernorm", l.attention_norm);
    PutNorm(out, name + "post_attention_layernorm", l.mlp_norm);
    PutLinear(out, name + "self_attn.q_proj", l.q, q);
    PutLinear(out, name + "self_attn.k_proj", l.k, kv);
    PutLinear(out, name + "self_attn.v_proj", l.v, kv);
    PutLinear(out, name + "self_attn.o_proj", l.o, hidden);
    PutLinear(out, name + "mlp.gate_proj", l.gate, mlp);
    PutLinear(out, name + "mlp.up_proj", l.up, mlp);
    PutLinear(out, name + "mlp.down_proj", l.down, hidden);
  }
  PutNorm(out, prefix + "norm", w.final_norm);
  if (!w.head.empty()) {
    out["lm_head.weight"] = {{c.vocab_size, hidden}, w.head};
  }
  return out;
}

// Layers side by side, [inputs, outputs].
inline void PutConv1D(Tensors& out, const std::string& name,
                      const std::vector<const LinearWeights*>& layers,
                      int64_t inputs) {
  Floats weight, bias;
  for (int64_t i = 0; i < inputs; ++i) {
    for (const LinearWeights* layer : layers) {
      for (size_t o = 0; o < layer->bias.size(); ++o) {
        weight.push_back(layer->weight[o * inputs + i]);
      }
    }
  }
  for (const LinearWeights* layer : layers) {
    bias.insert(bias.end(), layer->bias.begin(), layer->bias.end());
  }
  const auto outputs = static_cast<int64_t>(bias.size());
  out[name + ".weight"] = {{inputs, outputs}, weight};
  out[name + ".bias"] = {{outputs}, bias};
}

inline Tensors Gpt2Tensors(const ModelWeights& w, const std::string& prefix) {
  const ModelConfig& c = w.config;
  const int64_t hidden = c.hidden_size;
  Tensors out;
  out[prefix + "wte.weight"] = {{c.vocab_size, hidden}, w.embedding};
  out[prefix + "wpe.weight"] = {{c.max_positions, hidden}, w.positions};
  for (size_t i = 0; i < w.layers.size(); ++i) {
    const LayerWeights& l = w.layers[i];
    const std::string name = absl::StrCat(prefix, "h.", i, ".");
    PutNorm(out, name + "ln_1", l.attention_norm);
    PutNorm(out, name + "ln_2", l.mlp_norm);
    PutConv1D(out, name + "attn.c_attn", {&l.q, &l.k, &l.v}, hidden);
    PutConv1D(out, name + "attn.c_proj", {&l.o}, hidden);
    PutConv1D(out, name + "mlp.c_fc", {&l.gate}, hidden);
    PutConv1D(out, name + "mlp.c_proj", {&l.down}, c.intermediate_size);
    out[name + "attn.bias"] = {{1, 1, 2, 2}, {1, 0, 1, 1}};  // older files
  }
  PutNorm(out, prefix + "ln_f", w.final_norm);
  if (!w.head.empty()) {
    out["lm_head.weight"] = {{c.vocab_size, hidden}, w.head};
  }
  return out;
}

inline Tensors BertTensors(const ModelWeights& w, const std::string& prefix,
                           bool old_names) {
  const ModelConfig& c = w.config;
  const int64_t hidden = c.hidden_size, mlp = c.intermediate_size;
  const std::string embeddings = prefix + "embeddings.";
  Tensors out;
  out[embeddings + "word_embeddings.weight"] = {{c.vocab_size, hidden},
                                                w.embedding};
  out[embeddings + "position_embeddings.weight"] = {{c.max_positions, hidden},
                                                    w.positions};
  out[embeddings + "token_type_embeddings.weight"] = {
      {c.type_vocab_size, hidden}, w.token_types};
  PutNorm(out, embeddings + "LayerNorm", w.embedding_norm, old_names);
  for (size_t i = 0; i < w.layers.size(); ++i) {
    const LayerWeights& l = w.layers[i];
    const std::string name = absl::StrCat(prefix, "encoder.layer.", i, ".");
    PutLinear(out, name + "attention.self.query", l.q, hidden);
    PutLinear(out, name + "attention.self.key", l.k, hidden);
    PutLinear(out, name + "attention.self.value", l.v, hidden);
    PutLinear(out, name + "attention.output.dense", l.o, hidden);
    PutNorm(out, name + "attention.output.LayerNorm", l.attention_norm,
            old_names);
    PutLinear(out, name + "intermediate.dense", l.gate, mlp);
    PutLinear(out, name + "output.dense", l.down, hidden);
    PutNorm(out, name + "output.LayerNorm", l.mlp_norm, old_names);
  }
  if (!w.pooler.weight.empty()) {
    PutLinear(out, prefix + "pooler.dense", w.pooler, hidden);
  }
  if (!w.classifier.weight.empty()) {
    PutLinear(out, "classifier", w.classifier,
              static_cast<int64_t>(c.labels.size()));
  }
  return out;
}

inline absl::Status WriteTensors(const std::string& path,
                                 const Tensors& tensors) {
  std::vector<TensorData> data;
  for (const auto& [name, tensor] : tensors) {
    data.push_back({name, "F32", tensor.shape, AsBytes(tensor.values)});
  }
  return WriteSafetensors(path, data);
}

// config.json of a model of SmallConfig's kind.
inline std::string ConfigJson(const ModelConfig& c) {
  nlohmann::ordered_json json = {
      {"architectures", {std::string(ToString(c.architecture))}},
      {"vocab_size", c.vocab_size},
      {"tie_word_embeddings", c.tied_head}};
  if (c.architecture == Architecture::kGpt2) {
    json.update({{"n_embd", c.hidden_size},
                 {"n_inner", c.intermediate_size},
                 {"n_layer", c.num_layers},
                 {"n_head", c.num_heads},
                 {"n_positions", c.max_positions},
                 {"layer_norm_epsilon", c.norm_eps}});
    return json.dump();
  }
  json.update({{"hidden_size", c.hidden_size},
               {"intermediate_size", c.intermediate_size},
               {"num_hidden_layers", c.num_layers},
               {"num_attention_heads", c.num_heads},
               {"max_position_embeddings", c.max_positions}});
  if (c.is_bert()) {
    for (size_t i = 0; i < c.labels.size(); ++i) {
      json["id2label"][absl::StrCat(i)] = c.labels[i];
    }
    return json.dump();
  }
  json.update({{"num_key_value_heads", c.num_kv_heads},
               {"head_dim", c.head_dim},
               {"rms_norm_eps", c.norm_eps}});
  return json.dump();
}

// A model's folder, without a tokenizer.
inline absl::Status WriteModel(const std::string& folder,
                               const ModelWeights& w) {
  std::ofstream(folder + "/config.json") << ConfigJson(w.config);
  if (w.config.is_bert()) {
    return WriteTensors(folder + "/model.safetensors",
                        BertTensors(w, "bert.", /*old_names=*/false));
  }
  return WriteTensors(folder + "/model.safetensors",
                      w.config.architecture == Architecture::kGpt2
                          ? Gpt2Tensors(w, "transformer.")
                          : LlamaTensors(w, "model."));
}

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_CHECKPOINT_TESTING_H_
