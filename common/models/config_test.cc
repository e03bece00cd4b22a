#include "common/models/config.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

Json Llama() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 512},
          {"hidden_size", 64},
          {"intermediate_size", 172},
          {"num_hidden_layers", 5},
          {"num_attention_heads", 8},
          {"num_key_value_heads", 4},
          {"max_position_embeddings", 256}};
}
Json Mistral() {
  Json json = Llama();
  json["architectures"] = {"MistralForCausalLM"};
  json["model_type"] = "mistral";
  return json;
}
Json Qwen2() {
  Json json = Llama();
  json["architectures"] = {"Qwen2ForCausalLM"};
  json["model_type"] = "qwen2";
  return json;
}
Json Gpt2() {
  return {{"architectures", {"GPT2LMHeadModel"}}, {"model_type", "gpt2"}};
}
Json Bert() {
  return {{"architectures", {"BertForSequenceClassification"}},
          {"model_type", "bert"}};
}

// `json` with some fields changed.
Json With(Json json, const Json& changes) {
  json.update(changes);
  return json;
}

absl::StatusOr<ModelConfig> Parse(const Json& json,
                                  absl::string_view generation = "") {
  return ParseModelConfig(json.dump(), generation);
}
ModelConfig MustParse(const Json& json, absl::string_view generation = "") {
  const auto config = Parse(json, generation);
  EXPECT_OK(config.status());
  return config.value_or(ModelConfig());
}

TEST(ModelConfigTest, ParsesLlama) {
  const ModelConfig config = MustParse(With(Llama(), {{"rms_norm_eps", 1e-5},
                                                      {"bos_token_id", 1},
                                                      {"eos_token_id", {2, 7}},
                                                      {"pad_token_id", -1}}));
  EXPECT_EQ(config.architecture, Architecture::kLlama);
  EXPECT_EQ(config.vocab_size, 512);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.intermediate_size, 172);
  EXPECT_EQ(config.num_layers, 5);
  EXPECT_EQ(config.num_heads, 8);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.max_positions, 256);
  EXPECT_EQ(config.activation, Activation::kSilu);
  EXPECT_EQ(config.norm_eps, 1e-5);
  EXPECT_FALSE(config.tied_head);
  EXPECT_FALSE(config.qkv_bias || config.attention_output_bias ||
               config.mlp_bias);
  EXPECT_EQ(config.rope.type, RopeConfig::Type::kDefault);
  EXPECT_EQ(config.rope.theta, 10000);
  EXPECT_EQ(config.sliding_window, std::nullopt);
  EXPECT_EQ(config.bos_id, 1);
  EXPECT_EQ(config.pad_id, std::nullopt);
  EXPECT_THAT(config.eos_ids, ElementsAre(2, 7));
  EXPECT_TRUE(config.uses_rope());
}

TEST(ModelConfigTest, ParsesLlamaOptions) {
  const ModelConfig config =
      MustParse(With(Llama(), {{"num_key_value_heads", nullptr},
                               {"head_dim", 16},
                               {"attention_bias", true},
                               {"mlp_bias", true},
                               {"tie_word_embeddings", true},
                               {"hidden_act", "gelu"},
                               {"rope_theta", 500000},
                               {"rope_scaling", nullptr},
                               {"pretraining_tp", 1},
                               {"unknown_option", "kept quiet"}}));
  EXPECT_EQ(config.num_kv_heads, 8);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_TRUE(config.qkv_bias && config.attention_output_bias &&
              config.mlp_bias && config.tied_head);
  EXPECT_EQ(config.activation, Activation::kGelu);
  EXPECT_EQ(config.rope.theta, 500000);
}

TEST(ModelConfigTest, ParsesMistralsWindow) {
  ModelConfig config = MustParse(With(Mistral(), {{"sliding_window", 128}}));
  EXPECT_EQ(config.architecture, Architecture::kMistral);
  EXPECT_EQ(config.sliding_window, 128);
  EXPECT_EQ(config.first_sliding_layer, 0);
  config = MustParse(With(Mistral(), {{"sliding_window", nullptr}}));
  EXPECT_EQ(config.sliding_window, std::nullopt);
  EXPECT_EQ(MustParse(Mistral()).sliding_window, 4096);
  Json no_kv = With(Mistral(), {{"num_attention_heads", 16}});
  no_kv.erase("num_key_value_heads");
  EXPECT_EQ(MustParse(no_kv).num_kv_heads, 8);
}

TEST(ModelConfigTest, ParsesQwen2) {
  ModelConfig config = MustParse(With(Qwen2(), {{"sliding_window", 128}}));
  EXPECT_EQ(config.architecture, Architecture::kQwen2);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.attention_output_bias);
  EXPECT_EQ(config.sliding_window, std::nullopt);
  config = MustParse(With(Qwen2(), {{"sliding_window", 128},
                                    {"use_sliding_window", true},
                                    {"max_window_layers", 3}}));
  EXPECT_EQ(config.sliding_window, 128);
  EXPECT_EQ(config.first_sliding_layer, 3);
  const std::string full = "full_attention", sliding = "sliding_attention";
  config = MustParse(With(
      Qwen2(), {{"use_sliding_window", true},
                {"layer_types", {full, sliding, sliding, sliding, sliding}}}));
  EXPECT_EQ(config.sliding_window, 4096);
  EXPECT_EQ(config.first_sliding_layer, 1);
  for (const Json& types :
       {Json{sliding, full, full, full, full}, Json{full, full},
        Json{"odd", full, full, full, full}}) {
    EXPECT_THAT(Parse(With(Qwen2(), {{"use_sliding_window", true},
                                     {"layer_types", types}})),
                StatusIs(kUnimplemented, "layer_types"));
  }
}

TEST(ModelConfigTest, ParsesGpt2) {
  ModelConfig config = MustParse(Gpt2());
  EXPECT_EQ(config.architecture, Architecture::kGpt2);
  EXPECT_EQ(config.vocab_size, 50257);
  EXPECT_EQ(config.hidden_size, 768);
  EXPECT_EQ(config.intermediate_size, 3072);
  EXPECT_EQ(config.num_layers, 12);
  EXPECT_EQ(config.num_kv_heads, 12);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.max_positions, 1024);
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_EQ(config.norm_eps, 1e-5);
  EXPECT_TRUE(config.tied_head && config.qkv_bias && config.mlp_bias);
  EXPECT_TRUE(config.scale_attention);
  EXPECT_FALSE(config.uses_rope());
  config = MustParse(With(Gpt2(), {{"n_embd", 48},
                                   {"n_layer", 3},
                                   {"n_head", 3},
                                   {"n_positions", 11},
                                   {"n_inner", 100},
                                   {"vocab_size", 3},
                                   {"activation_function", "relu"},
                                   {"tie_word_embeddings", false},
                                   {"scale_attn_weights", false},
                                   {"scale_attn_by_inverse_layer_idx", true}}));
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.intermediate_size, 100);
  EXPECT_EQ(config.activation, Activation::kRelu);
  EXPECT_FALSE(config.tied_head || config.scale_attention);
  EXPECT_TRUE(config.scale_attention_by_layer);
}

TEST(ModelConfigTest, ParsesBert) {
  ModelConfig config = MustParse(Bert());
  EXPECT_EQ(config.architecture, Architecture::kBertClassifier);
  EXPECT_TRUE(config.is_bert());
  EXPECT_EQ(config.vocab_size, 30522);
  EXPECT_EQ(config.max_positions, 512);
  EXPECT_EQ(config.type_vocab_size, 2);
  EXPECT_EQ(config.norm_eps, 1e-12);
  EXPECT_EQ(config.activation, Activation::kGelu);
  EXPECT_THAT(config.labels, ElementsAre("LABEL_0", "LABEL_1"));
  config = MustParse(
      With(Bert(), {{"id2label", {{"2", "c"}, {"0", "a"}, {"1", "b"}}}}));
  EXPECT_THAT(config.labels, ElementsAre("a", "b", "c"));
  config = MustParse(With(Bert(), {{"num_labels", 1}}));
  EXPECT_THAT(config.labels, ElementsAre("LABEL_0"));
  config = MustParse(With(Bert(), {{"architectures", {"BertModel"}}}));
  EXPECT_EQ(config.architecture, Architecture::kBert);
  EXPECT_THAT(config.labels, IsEmpty());
}

TEST(ModelConfigTest, BadLabelsAreRejected) {
  for (const Json& labels :
       {Json::array(), Json::object(), Json{{"1", "a"}}, Json{{"x", "a"}},
        Json{{"0", 5}}, Json{{"00", "a"}}, Json{{"-0", "a"}}}) {
    EXPECT_THAT(Parse(With(Bert(), {{"id2label", labels}})),
                StatusIs(kInvalid, "id2label"))
        << labels;
  }
}

TEST(ModelConfigTest, UnknownArchitecturesAreNamedWithThoseSupported) {
  EXPECT_THAT(
      Parse(With(Llama(), {{"architectures", {"MambaForCausalLM"}}})),
      StatusIs(kUnimplemented,
               "architecture \"MambaForCausalLM\" is not supported; supported "
               "are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, "
               "GPT2LMHeadModel, BertModel, BertForSequenceClassification"));
  for (const Json& list :
       {Json(nullptr), Json::array(), Json("LlamaForCausalLM"), Json{5},
        Json{"LlamaForCausalLM", "BertModel"}}) {
    EXPECT_THAT(Parse(With(Llama(), {{"architectures", list}})),
                StatusIs(kInvalid, "supported are LlamaForCausalLM"));
  }
  EXPECT_THAT(Parse(With(Llama(), {{"model_type", "internlm"}})),
              StatusIs(kUnimplemented, "model_type \"internlm\""));
}

TEST(ModelConfigTest, UnknownActivationsAreNamedWithThoseSupported) {
  EXPECT_THAT(Parse(With(Llama(), {{"hidden_act", "quick_gelu"}})),
              StatusIs(kUnimplemented,
                       "hidden_act \"quick_gelu\" is not supported; "
                       "supported are silu, swish, gelu,"));
  EXPECT_THAT(Parse(With(Gpt2(), {{"activation_function", "tanh"}})),
              StatusIs(kUnimplemented, "activation_function \"tanh\""));
  EXPECT_EQ(ToString(Activation::kGeluTanh), "gelu_new");
  EXPECT_EQ(ToString(Architecture::kGpt2), "GPT2LMHeadModel");
}

TEST(ModelConfigTest, OptionsThatChangeResultsAreNamed) {
  const std::pair<Json, std::string> kCases[] = {
      {With(Llama(), {{"quantization_config", {{"bits", 4}}}}),
       "quantization_config"},
      {With(Llama(), {{"partial_rotary_factor", 0.5}}),
       "partial_rotary_factor"},
      {With(Gpt2(), {{"add_cross_attention", true}}), "add_cross_attention"},
      {With(Gpt2(), {{"pruned_heads", {{"0", {1}}}}}), "pruned_heads"},
      {With(Bert(), {{"is_decoder", true}}), "is_decoder"},
      {With(Bert(), {{"position_embedding_type", "relative_key"}}),
       "position_embedding_type \"\\\"relative_key\\\"\" is not supported; "
       "supported is absolute"},
      {With(Llama(), {{"rope_scaling", {{"type", "longrope"}}}}),
       "rope_scaling type \"longrope\" is not supported; supported are "
       "default, linear, dynamic, llama3, yarn"},
      {With(Llama(), {{"rope_parameters",
                       {{"full_attention", {{"rope_type", "default"}}}}}}),
       "by layer type (\"full_attention\")"},
  };
  for (const auto& [json, error] : kCases) {
    EXPECT_THAT(Parse(json), StatusIs(kUnimplemented, error)) << json;
  }
  // At the values that change nothing.
  EXPECT_OK(Parse(With(Llama(), {{"quantization_config", nullptr},
                                 {"partial_rotary_factor", 1.0},
                                 {"pruned_heads", Json::object()}}))
                .status());
  EXPECT_OK(Parse(With(Bert(), {{"is_decoder", false},
                                {"position_embedding_type", "absolute"}}))
                .status());
}

TEST(ModelConfigTest, ValuesOutOfRangeAreNamedWithTheirField) {
  const std::tuple<Json, Json, std::string> kCases[] = {
      {Llama(), {{"vocab_size", 0}}, "vocab_size is 0, not in [1,"},
      {Llama(), {{"vocab_size", nullptr}}, "no vocab_size"},
      {Llama(), {{"vocab_size", "512"}}, "vocab_size is \"\\\"512\\\"\", not"},
      {Llama(), {{"vocab_size", 512.5}}, "vocab_size"},
      {Llama(), {{"hidden_size", -64}}, "hidden_size is -64"},
      {Llama(), {{"hidden_size", uint64_t{1} << 63}}, "hidden_size"},
      {Llama(), {{"hidden_size", 65}}, "no multiple of num_attention_heads"},
      {Llama(), {{"intermediate_size", 1 << 30}}, "intermediate_size"},
      {Llama(), {{"num_hidden_layers", 1 << 20}}, "num_hidden_layers"},
      {Llama(), {{"num_attention_heads", 0}}, "num_attention_heads"},
      {Llama(), {{"num_key_value_heads", 3}}, "num_key_value_heads 3"},
      {Llama(), {{"head_dim", 7}}, "head_dim 7 is odd"},
      {Llama(), {{"max_position_embeddings", 0}}, "max_position_embeddings"},
      {Llama(), {{"rms_norm_eps", -1}}, "rms_norm_eps is \"-1\""},
      {Llama(), {{"rms_norm_eps", "x"}}, "rms_norm_eps"},
      {Llama(), {{"attention_bias", 1}}, "attention_bias"},
      {Llama(), {{"hidden_act", 1}}, "hidden_act"},
      {Llama(), {{"eos_token_id", "x"}}, "eos_token_id"},
      {Llama(), {{"eos_token_id", {1, -2}}}, "eos_token_id"},
      {Llama(), {{"bos_token_id", -2}}, "bos_token_id"},
      {Llama(), {{"rope_theta", 0}}, "rope_theta"},
      {Llama(), {{"rope_theta", 1}}, "rope_theta"},
      {Llama(), {{"rope_scaling", "linear"}}, "rope_scaling is not an object"},
      {Llama(),
       {{"rope_scaling", {{"type", "linear"}}}},
       "rope_scaling: no factor"},
      {Llama(),
       {{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}},
       "factor is \"0\""},
      {Llama(), {{"rope_scaling", {{"type", 5}}}}, "type"},
      {Llama(),
       {{"rope_scaling", {{"type", "llama3"}, {"factor", 2}}}},
       "no low_freq_factor"},
      {Llama(),
       {{"rope_scaling",
         {{"type", "llama3"},
          {"factor", 2},
          {"low_freq_factor", 4},
          {"high_freq_factor", 4}}}},
       "high_freq_factor is not above"},
      {Llama(),
       {{"head_dim", 2},
        {"rope_scaling", {{"type", "dynamic"}, {"factor", 2}}}},
       "head_dim 2"},
      {Mistral(), {{"sliding_window", 0}}, "sliding_window"},
      {Gpt2(), {{"n_head", 5}}, "hidden size 768 is no multiple of 5 heads"},
      {Gpt2(),
       {{"layer_norm_epsilon", nullptr}, {"n_embd", 1 << 21}},
       "n_embd"},
      {Bert(), {{"type_vocab_size", 0}}, "type_vocab_size"},
      {Bert(), {{"num_labels", 0}}, "num_labels"},
  };
  for (const auto& [base, changes, error] : kCases) {
    EXPECT_THAT(Parse(With(base, changes)), StatusIs(kInvalid, error))
        << changes;
  }
}

TEST(ModelConfigTest, BrokenTextIsRejected) {
  const std::pair<std::string, std::string> kTexts[] = {
      {"", "config.json: "},
      {"[]", "config.json: not a JSON object"},
      {"{\"a\": 1, \"a\": 2}", "\"a\" stands there twice"},
      {std::string(1'000'000, '{'), "levels of nesting"},
      {"{\"a\": \"\xff\"}", "config.json: "},
  };
  for (const auto& [text, error] : kTexts) {
    EXPECT_THAT(ParseModelConfig(text, ""), StatusIs(kInvalid, error));
  }
  EXPECT_THAT(Parse(Llama(), "{"), StatusIs(kInvalid, "generation_config"));
  EXPECT_THAT(LoadModelConfig("/no/such/folder"),
              StatusIs(absl::StatusCode::kNotFound, "config.json"));
}

TEST(ModelConfigTest, ReadsGenerationDefaults) {
  const ModelConfig config = MustParse(
      With(Llama(), {{"bos_token_id", 1}, {"eos_token_id", 2}}),
      R"({"eos_token_id": [7, 8], "pad_token_id": 3, "do_sample": true,
          "temperature": 0.6, "top_p": 0.9, "top_k": 50,
          "repetition_penalty": 1.05, "num_beams": 4, "min_p": 0,
          "suppress_tokens": [], "typical_p": 1.0,
          "no_repeat_ngram_size": 3, "transformers_version": "5.0"})");
  EXPECT_EQ(config.bos_id, 1);
  EXPECT_EQ(config.pad_id, 3);
  EXPECT_THAT(config.eos_ids, ElementsAre(7, 8));
  EXPECT_TRUE(config.generation.do_sample);
  EXPECT_EQ(config.generation.temperature, 0.6);
  EXPECT_EQ(config.generation.top_p, 0.9);
  EXPECT_EQ(config.generation.top_k, 50);
  EXPECT_EQ(config.generation.repetition_penalty, 1.05);
  EXPECT_THAT(config.generation.ignored,
              ElementsAre("num_beams", "no_repeat_ngram_size"));
  EXPECT_THAT(Parse(Llama(), R"({"top_p": 1.5})"),
              StatusIs(kInvalid, "generation_config.json: top_p"));
  EXPECT_THAT(Parse(Llama(), R"({"temperature": "hot"})"),
              StatusIs(kInvalid, "temperature"));
}

TEST(RopeTest, FrequenciesAreThoseOfTransformers) {
  std::ifstream file(fs::path(TACIT_MODELS_TESTDATA) / "rope_golden.json");
  const Json golden = Json::parse(file);
  for (const Json& item : golden["cases"]) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const ModelConfig config = MustParse(item["config"]);
    const RopeFrequencies rope =
        ComputeRopeFrequencies(config, item["sequence_length"]);
    const std::vector<float> expected = item["inv_freq"];
    ASSERT_EQ(rope.inv_freq.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      // PyTorch's vectorised power may be off by a unit of the last place, and
      // YaRN and LLaMA 3 compute on from there.
      EXPECT_NEAR(rope.inv_freq[i], expected[i], 3e-7 * expected[i]) << i;
    }
    EXPECT_DOUBLE_EQ(rope.attention_factor,
                     item["attention_factor"].get<double>());
  }
}

TEST(RopeTest, DynamicStretchesBeyondTheTrainedLengthOnly) {
  const ModelConfig config = MustParse(
      With(Llama(), {{"rope_scaling", {{"type", "dynamic"}, {"factor", 4}}}}));
  const auto at = [&](int64_t length) {
    return ComputeRopeFrequencies(config, length).inv_freq;
  };
  EXPECT_EQ(at(0), at(256));
  EXPECT_EQ(at(1), ComputeRopeFrequencies(MustParse(Llama())).inv_freq);
  EXPECT_LT(at(257).back(), at(256).back());
  EXPECT_LT(at(512).back(), at(257).back());
}

TEST(RealConfigTest, ReadsTheSmallModels) {
  const fs::path data(TACIT_TEST_DATA);
  if (!fs::is_directory(data / "stories260K")) {
    GTEST_SKIP() << "no " << data << "; set TACIT_TEST_DATA";
  }
  const auto stories = LoadModelConfig((data / "stories260K").string());
  ASSERT_OK(stories.status());
  EXPECT_EQ(stories->architecture, Architecture::kLlama);
  EXPECT_EQ(stories->num_kv_heads, 4);
  EXPECT_TRUE(stories->tied_head);
  EXPECT_THAT(stories->eos_ids, ElementsAre(2));
  const auto sorter = LoadModelConfig((data / "gpt-nano-sort").string());
  ASSERT_OK(sorter.status());
  EXPECT_EQ(sorter->architecture, Architecture::kGpt2);
  EXPECT_FALSE(sorter->tied_head);
  EXPECT_EQ(sorter->intermediate_size, 192);
  EXPECT_THAT(sorter->eos_ids, IsEmpty());
}

}  // namespace
}  // namespace tacit
