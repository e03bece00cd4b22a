#include "common/models/weights.h"

#include <stdlib.h>

#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/models/testing.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

using Floats = std::vector<float>;
struct Tensor {
  TensorShape shape;
  Floats values;
};
using Tensors = std::map<std::string, Tensor>;

// --- The names that transformers gives to tensors ---------------------------

void PutLinear(Tensors& out, const std::string& name,
               const LinearWeights& linear, int64_t outputs) {
  out[name + ".weight"] = {
      {outputs, static_cast<int64_t>(linear.weight.size()) / outputs},
      linear.weight};
  if (!linear.bias.empty()) out[name + ".bias"] = {{outputs}, linear.bias};
}

void PutNorm(Tensors& out, const std::string& name, const NormWeights& norm,
             bool old_names = false) {
  const auto hidden = static_cast<int64_t>(norm.gain.size());
  out[name + (old_names ? ".gamma" : ".weight")] = {{hidden}, norm.gain};
  if (!norm.bias.empty()) {
    out[name + (old_names ? ".beta" : ".bias")] = {{hidden}, norm.bias};
  }
}

Tensors LlamaTensors(const ModelWeights& w, const std::string& prefix) {
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
void PutConv1D(Tensors& out, const std::string& name,
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

Tensors Gpt2Tensors(const ModelWeights& w, const std::string& prefix) {
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

Tensors BertTensors(const ModelWeights& w, const std::string& prefix,
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

// --- Comparison -------------------------------------------------------------

void ExpectSame(const LinearWeights& a, const LinearWeights& b) {
  EXPECT_EQ(a.weight, b.weight);
  EXPECT_EQ(a.bias, b.bias);
}
void ExpectSame(const NormWeights& a, const NormWeights& b) {
  EXPECT_EQ(a.gain, b.gain);
  EXPECT_EQ(a.bias, b.bias);
}
void ExpectSame(const ModelWeights& a, const ModelWeights& b) {
  EXPECT_EQ(a.embedding, b.embedding);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.token_types, b.token_types);
  ExpectSame(a.embedding_norm, b.embedding_norm);
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (size_t i = 0; i < a.layers.size(); ++i) {
    SCOPED_TRACE(absl::StrCat("layer ", i));
    const LayerWeights &x = a.layers[i], &y = b.layers[i];
    ExpectSame(x.attention_norm, y.attention_norm);
    ExpectSame(x.mlp_norm, y.mlp_norm);
    ExpectSame(x.q, y.q);
    ExpectSame(x.k, y.k);
    ExpectSame(x.v, y.v);
    ExpectSame(x.o, y.o);
    ExpectSame(x.gate, y.gate);
    ExpectSame(x.up, y.up);
    ExpectSame(x.down, y.down);
  }
  ExpectSame(a.final_norm, b.final_norm);
  EXPECT_EQ(a.head, b.head);
  ExpectSame(a.pooler, b.pooler);
  ExpectSame(a.classifier, b.classifier);
}

// Writes tensors to a folder that goes with the test, and loads them.
class WeightsTest : public testing::Test {
 protected:
  WeightsTest() {
    std::string name = (fs::temp_directory_path() / "tacit.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~WeightsTest() override { fs::remove_all(folder_); }

  absl::StatusOr<ModelWeights> Load(const ModelConfig& config,
                                    const Tensors& tensors) const {
    std::vector<TensorData> data;
    for (const auto& [name, tensor] : tensors) {
      data.push_back({name, "F32", tensor.shape, AsBytes(tensor.values)});
    }
    const std::string path = folder_ + "/model.safetensors";
    EXPECT_OK(WriteSafetensors(path, data));
    const auto checkpoint = Checkpoint::Open(path);
    EXPECT_OK(checkpoint);
    return LoadModelWeights(config, *checkpoint);
  }
  void ExpectLoads(const ModelWeights& want, const Tensors& tensors) const {
    const auto got = Load(want.config, tensors);
    ASSERT_OK(got);
    ExpectSame(*got, want);
  }

  std::string folder_;
};

TEST_F(WeightsTest, LoadsLlamaMistralAndQwen2) {
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kMistral, Architecture::kQwen2}) {
    SCOPED_TRACE(ToString(architecture));
    const ModelWeights w = RandomModel(architecture);
    EXPECT_EQ(w.layers[0].q.bias.empty(), architecture != Architecture::kQwen2);
    ExpectLoads(w, LlamaTensors(w, "model."));
    ExpectLoads(w, LlamaTensors(w, ""));
  }
}

TEST_F(WeightsTest, LoadsTheBiasesThatTheConfigHas) {
  ModelConfig config = SmallConfig(Architecture::kLlama);
  config.qkv_bias = config.attention_output_bias = true;
  const ModelWeights attention = RandomModel(config);
  EXPECT_FALSE(attention.layers[1].o.bias.empty());
  ExpectLoads(attention, LlamaTensors(attention, "model."));
  config.mlp_bias = true;
  const ModelWeights all = RandomModel(config);
  EXPECT_FALSE(all.layers[1].up.bias.empty());
  const Tensors tensors = LlamaTensors(all, "model.");
  ExpectLoads(all, tensors);

  // A file may have more of them: transformers drops those.
  ModelWeights none = all;
  none.config = SmallConfig(Architecture::kLlama);
  for (LayerWeights& l : none.layers) {
    for (LinearWeights* linear :
         {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) {
      linear->bias.clear();
    }
  }
  ExpectLoads(none, tensors);
}

TEST_F(WeightsTest, ATiedModelsHeadIsNotRead) {
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kGpt2}) {
    ModelWeights w = RandomModel(architecture);
    const Tensors with_head = architecture == Architecture::kGpt2
                                  ? Gpt2Tensors(w, "transformer.")
                                  : LlamaTensors(w, "model.");
    w.config.tied_head = true;
    w.head.clear();
    ExpectLoads(w, with_head);
    EXPECT_EQ(&w.head_or_embedding(), &w.embedding);
  }
}

TEST_F(WeightsTest, LoadsGpt2TransposedAndSplit) {
  const ModelWeights w = RandomModel(Architecture::kGpt2);
  ExpectLoads(w, Gpt2Tensors(w, "transformer."));
  ExpectLoads(w, Gpt2Tensors(w, ""));
}

TEST_F(WeightsTest, LoadsBertUnderNewAndOldNames) {
  const ModelWeights w = RandomModel(Architecture::kBertClassifier);
  EXPECT_EQ(w.classifier.bias.size(), 3);
  ExpectLoads(w, BertTensors(w, "bert.", false));
  ExpectLoads(w, BertTensors(w, "bert.", true));
  ExpectLoads(w, BertTensors(w, "", false));
}

TEST_F(WeightsTest, OnlyABertWithoutClassifierMayLackThePooler) {
  ModelWeights w = RandomModel(Architecture::kBert);
  ExpectLoads(w, BertTensors(w, "", false));
  w.pooler = {};
  ExpectLoads(w, BertTensors(w, "", false));
  w = RandomModel(Architecture::kBertClassifier);
  w.pooler = {};
  EXPECT_THAT(
      Load(w.config, BertTensors(w, "bert.", false)),
      StatusIs(absl::StatusCode::kNotFound, "\"bert.pooler.dense.weight\""));
}

TEST_F(WeightsTest, EveryMissingTensorIsNamed) {
  const ModelWeights gpt2 = RandomModel(Architecture::kGpt2);
  const ModelWeights bert = RandomModel(Architecture::kBertClassifier);
  const ModelWeights qwen2 = RandomModel(Architecture::kQwen2);
  const std::pair<ModelConfig, Tensors> models[] = {
      {gpt2.config, Gpt2Tensors(gpt2, "transformer.")},
      {bert.config, BertTensors(bert, "bert.", false)},
      {qwen2.config, LlamaTensors(qwen2, "model.")}};
  for (const auto& [config, tensors] : models) {
    for (const auto& [name, tensor] : tensors) {
      if (name.find("attn.bias") != std::string::npos)
        continue;  // GPT-2's mask
      Tensors without = tensors;
      without.erase(name);
      EXPECT_THAT(Load(config, without),
                  StatusIs(absl::StatusCode::kNotFound,
                           absl::StrCat("\"", name, "\"")));
    }
  }
}

TEST_F(WeightsTest, WrongShapesAndNanAreNamed) {
  const ModelWeights w = RandomModel(Architecture::kGpt2);
  Tensors tensors = Gpt2Tensors(w, "transformer.");
  // As torch.nn.Linear would have it.
  tensors["transformer.h.1.mlp.c_fc.weight"].shape = {40, 24};
  EXPECT_THAT(Load(w.config, tensors),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "\"transformer.h.1.mlp.c_fc.weight\""));
  tensors = Gpt2Tensors(w, "transformer.");
  tensors["transformer.h.0.ln_2.bias"].values[3] =
      std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(
      Load(w.config, tensors),
      StatusIs(
          absl::StatusCode::kInvalidArgument,
          "\"transformer.h.0.ln_2.bias\" has a NaN or an infinity at [3]"));
}

}  // namespace
}  // namespace tacit
