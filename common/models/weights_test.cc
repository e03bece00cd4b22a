#include "common/models/weights.h"

#include <stdlib.h>

#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "common/models/checkpoint_testing.h"
#include "common/models/testing.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

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
    const std::string path = folder_ + "/model.safetensors";
    EXPECT_OK(WriteTensors(path, tensors));
    const auto checkpoint = Checkpoint::Open(path);
    EXPECT_OK(checkpoint);
    return LoadModelWeights(config, *checkpoint);
  }
  void ExpectLoads(const ModelWeights& want, const Tensors& tensors) const {
    const auto got = Load(want.config, tensors);
    ASSERT_OK(got);
    ExpectSame(*got, want);
    const auto pieces = LoadPieces(want.config);
    ASSERT_OK(pieces);
    ExpectSame(*pieces, want);
  }
  // What was written, piece by piece.
  absl::StatusOr<ModelWeights> LoadPieces(const ModelConfig& config) const {
    ASSIGN_OR_RETURN(const Checkpoint checkpoint,
                     Checkpoint::Open(folder_ + "/model.safetensors"));
    EXPECT_THAT(LoadLayerWeights(config, checkpoint, config.num_layers),
                StatusIs(absl::StatusCode::kInvalidArgument, "layer 2 of"));
    ASSIGN_OR_RETURN(const ModelWeights front,
                     LoadEmbeddingWeights(config, checkpoint));
    ASSIGN_OR_RETURN(ModelWeights out, LoadHeadWeights(config, checkpoint));
    EXPECT_TRUE(front.layers.empty() && out.layers.empty());
    out.embedding = front.embedding;
    out.positions = front.positions;
    out.token_types = front.token_types;
    out.embedding_norm = front.embedding_norm;
    for (int64_t i = 0; i < config.num_layers; ++i) {
      ASSIGN_OR_RETURN(out.layers.emplace_back(),
                       LoadLayerWeights(config, checkpoint, i));
    }
    return out;
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
