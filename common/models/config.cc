#include "common/models/config.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <numbers>
#include <span>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/models/json_file.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFileBytes = 16 << 20;
constexpr int kMaxDepth = 16;

// Well above any model, well below where products of sizes overflow.
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxHidden = 1 << 20;
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxHeads = 1 << 12;
constexpr int64_t kMaxHeadDim = 1 << 14;
constexpr int64_t kMaxPositions = int64_t{1} << 30;
constexpr int64_t kMaxLabels = 1 << 16;
constexpr double kHuge = 1e12;

struct ArchitectureName {
  Architecture architecture;
  absl::string_view name;
  absl::string_view model_type;
};
constexpr ArchitectureName kArchitectures[] = {
    {Architecture::kLlama, "LlamaForCausalLM", "llama"},
    {Architecture::kMistral, "MistralForCausalLM", "mistral"},
    {Architecture::kQwen2, "Qwen2ForCausalLM", "qwen2"},
    {Architecture::kGpt2, "GPT2LMHeadModel", "gpt2"},
    {Architecture::kBert, "BertModel", "bert"},
    {Architecture::kBertClassifier, "BertForSequenceClassification", "bert"},
};

struct ActivationName {
  Activation activation;
  absl::string_view name;
};
// The first name of each is what ToString gives.
constexpr ActivationName kActivations[] = {
    {Activation::kSilu, "silu"},
    {Activation::kSilu, "swish"},
    {Activation::kGelu, "gelu"},
    {Activation::kGelu, "gelu_python"},
    {Activation::kGeluTanh, "gelu_new"},
    {Activation::kGeluTanh, "gelu_pytorch_tanh"},
    {Activation::kGeluTanh, "gelu_fast"},
    {Activation::kRelu, "relu"},
};

constexpr std::pair<absl::string_view, RopeConfig::Type> kRopeTypes[] = {
    {"default", RopeConfig::Type::kDefault},
    {"linear", RopeConfig::Type::kLinear},
    {"dynamic", RopeConfig::Type::kDynamic},
    {"llama3", RopeConfig::Type::kLlama3},
    {"yarn", RopeConfig::Type::kYarn},
};

template <typename Table, typename Name>
std::string ListOf(const Table& table, Name name) {
  return absl::StrJoin(table, ", ", [&](std::string* out, const auto& row) {
    absl::StrAppend(out, name(row));
  });
}

absl::Status Unsupported(absl::string_view what, const std::string& value,
                         const std::string& supported) {
  return absl::UnimplementedError(
      absl::StrCat("config.json: ", what, " ", Quoted(value),
                   " is not supported; supported are ", supported));
}

// Reads typed fields of one JSON object. The first error sticks, so that a
// list of fields reads like one; values after it mean nothing.
class Fields {
 public:
  Fields(const Json& object, std::string source)
      : object_(object), source_(std::move(source)) {}

  const absl::Status& status() const { return status_; }
  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  void Invalid(absl::string_view what) {
    Fail(absl::InvalidArgumentError(absl::StrCat(source_, ": ", what)));
  }

  // Null counts as absent, as it does in transformers.
  const Json* Find(absl::string_view name) const {
    const auto it = object_.find(std::string(name));
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  bool Has(absl::string_view name) const { return Find(name) != nullptr; }
  bool HasNull(absl::string_view name) const {
    const auto it = object_.find(std::string(name));
    return it != object_.end() && it->is_null();
  }

  int64_t Int(absl::string_view name, std::optional<int64_t> fallback,
              int64_t min, int64_t max) {
    const Json* const value = Find(name);
    if (value == nullptr && fallback.has_value()) return *fallback;
    if (value == nullptr) {
      Invalid(absl::StrCat("no ", name));
      return min;
    }
    int64_t number;
    if (!ToInt(*value, &number)) {
      Invalid(absl::StrCat(name, " is ", Text(*value), ", not an integer"));
      return min;
    }
    if (number < min || number > max) {
      Invalid(absl::StrCat(name, " is ", number, ", not in [", min, ", ", max,
                           "]"));
      return min;
    }
    return number;
  }

  // In [min, max]; open at 0 if `min` is 0 and `positive`.
  double Number(absl::string_view name, std::optional<double> fallback,
                double min, double max, bool positive = false) {
    const Json* const value = Find(name);
    if (value == nullptr && fallback.has_value()) return *fallback;
    if (value == nullptr) {
      Invalid(absl::StrCat("no ", name));
      return max;
    }
    const double number = value->is_number() ? value->get<double>() : NAN;
    if (!(number >= min && number <= max) || (positive && number == 0)) {
      Invalid(absl::StrCat(name, " is ", Text(*value), ", not a number in ",
                           positive ? "(" : "[", min, ", ", max, "]"));
      return max;
    }
    return number;
  }
  std::optional<double> MaybeNumber(absl::string_view name, double min,
                                    double max, bool positive = false) {
    if (!Has(name)) return std::nullopt;
    return Number(name, std::nullopt, min, max, positive);
  }

  bool Bool(absl::string_view name, bool fallback) {
    const Json* const value = Find(name);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) {
      Invalid(absl::StrCat(name, " is ", Text(*value), ", not true or false"));
      return fallback;
    }
    return value->get<bool>();
  }

  std::string String(absl::string_view name, absl::string_view fallback) {
    const Json* const value = Find(name);
    if (value == nullptr) return std::string(fallback);
    if (!value->is_string()) {
      Invalid(absl::StrCat(name, " is ", Text(*value), ", not a string"));
      return std::string(fallback);
    }
    return value->get<std::string>();
  }

  // -1 stands for none in older files.
  std::optional<int64_t> TokenId(absl::string_view name) {
    if (!Has(name)) return std::nullopt;
    const int64_t id = Int(name, std::nullopt, -1, kMaxVocab);
    return id < 0 ? std::nullopt : std::optional(id);
  }

  // An id or a list of them.
  std::vector<int64_t> TokenIds(absl::string_view name) {
    const Json* const value = Find(name);
    if (value == nullptr) return {};
    if (!value->is_array()) return {Int(name, std::nullopt, 0, kMaxVocab)};
    std::vector<int64_t> ids;
    for (const Json& item : *value) {
      int64_t id;
      if (!ToInt(item, &id) || id < 0 || id > kMaxVocab) {
        Invalid(absl::StrCat(name, " has ", Text(item), ", not a token id"));
        return {};
      }
      ids.push_back(id);
    }
    return ids;
  }

  static std::string Text(const Json& value) {
    return Quoted(value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

 private:
  static bool ToInt(const Json& value, int64_t* number) {
    if (value.is_number_integer()) {
      // Beyond 63 bits it would wrap.
      if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
        *number = INT64_MAX;
      } else {
        *number = value.get<int64_t>();
      }
      return true;
    }
    return false;
  }

  const Json& object_;
  const std::string source_;
  absl::Status status_;
};

absl::StatusOr<Architecture> ParseArchitecture(Fields& fields) {
  const std::string supported =
      ListOf(kArchitectures, [](const auto& row) { return row.name; });
  const Json* const list = fields.Find("architectures");
  if (list == nullptr || !list->is_array() || list->size() != 1 ||
      !list->front().is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: architectures is not a list of one name; "
                     "supported are ",
                     supported));
  }
  const std::string name = list->front().get<std::string>();
  const auto* const row = std::find_if(
      std::begin(kArchitectures), std::end(kArchitectures),
      [&](const auto& candidate) { return candidate.name == name; });
  if (row == std::end(kArchitectures)) {
    return Unsupported("architecture", name, supported);
  }
  // A type of its own means code of its own.
  const std::string type = fields.String("model_type", row->model_type);
  if (type != row->model_type) {
    return Unsupported(absl::StrCat("for ", name, ", model_type"), type,
                       std::string(row->model_type));
  }
  return row->architecture;
}

void ParseActivation(Fields& fields, absl::string_view field,
                     absl::string_view fallback, ModelConfig* config) {
  const std::string name = fields.String(field, fallback);
  for (const auto& row : kActivations) {
    if (row.name == name) {
      config->activation = row.activation;
      return;
    }
  }
  fields.Fail(Unsupported(
      field, name, ListOf(kActivations, [](const auto& r) { return r.name; })));
}

// An option that must be absent, or as it is by default.
void Reject(Fields& fields, absl::string_view name,
            std::initializer_list<Json> harmless, absl::string_view supported) {
  const Json* const value = fields.Find(name);
  if (value == nullptr ||
      std::find(harmless.begin(), harmless.end(), *value) != harmless.end()) {
    return;
  }
  fields.Fail(absl::UnimplementedError(
      absl::StrCat("config.json: ", name, " ", Fields::Text(*value),
                   " is not supported; supported is ", supported)));
}

void RejectCommon(Fields& fields) {
  Reject(fields, "quantization_config", {}, "none: weights in floating point");
  Reject(fields, "pruned_heads", {Json::object()}, "none");
  Reject(fields, "is_encoder_decoder", {false}, "false");
  Reject(fields, "add_cross_attention", {false}, "false");
}

void ParseIds(Fields& fields, ModelConfig* config) {
  config->bos_id = fields.TokenId("bos_token_id");
  config->pad_id = fields.TokenId("pad_token_id");
  config->eos_ids = fields.TokenIds("eos_token_id");
}

// `rope_scaling` and `rope_theta` (transformers 4), or `rope_parameters` with
// both in it (5).
void ParseRope(Fields& fields, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  constexpr double kMinTheta = 1 + 1e-6;
  rope.theta = fields.Number("rope_theta", 10000, kMinTheta, kHuge);
  Reject(fields, "partial_rotary_factor", {1, 1.0}, "1");

  // transformers 5 gives precedence to `rope_scaling` where both are.
  const Json* object = fields.Find("rope_scaling");
  absl::string_view name = "rope_scaling";
  if (object == nullptr || (object->is_object() && object->empty())) {
    object = fields.Find("rope_parameters");
    name = "rope_parameters";
  }
  if (object == nullptr) return;
  if (!object->is_object()) {
    fields.Invalid(absl::StrCat(name, " is not an object"));
    return;
  }
  Fields scaling(*object, absl::StrCat("config.json: ", name));
  for (const auto& [key, value] : object->items()) {
    if (value.is_object()) {
      scaling.Fail(absl::UnimplementedError(
          absl::StrCat("config.json: ", name, " by layer type (", Quoted(key),
                       ") is not supported; supported is one for all")));
    }
  }
  rope.theta = scaling.Number("rope_theta", rope.theta, kMinTheta, kHuge);
  Reject(scaling, "partial_rotary_factor", {1, 1.0}, "1");
  const std::string type =
      scaling.String("rope_type", scaling.String("type", "default"));
  const auto* const row = std::find_if(
      std::begin(kRopeTypes), std::end(kRopeTypes), [&](const auto& candidate) {
        return candidate.first == absl::string_view(type);
      });
  if (row == std::end(kRopeTypes)) {
    scaling.Fail(
        Unsupported(absl::StrCat(name, " type"), type,
                    ListOf(kRopeTypes, [](const auto& r) { return r.first; })));
  } else {
    rope.type = row->second;
  }
  const bool is_yarn = rope.type == RopeConfig::Type::kYarn;
  const bool is_llama3 = rope.type == RopeConfig::Type::kLlama3;
  if (is_yarn || is_llama3) {
    rope.original_max_positions =
        fields.Int("original_max_position_embeddings",
                   scaling.Int("original_max_position_embeddings",
                               config->max_positions, 1, kMaxPositions),
                   1, kMaxPositions);
  }
  if (rope.type != RopeConfig::Type::kDefault) {
    // YaRN may leave it to the ratio of the two lengths.
    std::optional<double> ratio;
    if (is_yarn) {
      ratio = static_cast<double>(config->max_positions) /
              static_cast<double>(rope.original_max_positions);
    }
    rope.factor = scaling.Number("factor", ratio, 0, kHuge, true);
  }
  if (is_llama3) {
    rope.low_freq_factor =
        scaling.Number("low_freq_factor", std::nullopt, 0, kHuge, true);
    rope.high_freq_factor =
        scaling.Number("high_freq_factor", std::nullopt, 0, kHuge, true);
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      scaling.Invalid("high_freq_factor is not above low_freq_factor");
    }
  }
  if (is_yarn) {
    const auto number = [&scaling](absl::string_view field) {
      return scaling.MaybeNumber(field, 0, kHuge);
    };
    // 0 counts as absent there.
    const auto or_default = [](std::optional<double> value, double fallback) {
      return value.value_or(0) == 0 ? fallback : *value;
    };
    rope.beta_fast = or_default(number("beta_fast"), 32);
    rope.beta_slow = or_default(number("beta_slow"), 1);
    rope.attention_factor = number("attention_factor");
    rope.mscale = number("mscale");
    rope.mscale_all_dim = number("mscale_all_dim");
    rope.truncate = scaling.Bool("truncate", true);
  }
  fields.Fail(scaling.status());
}

// Which layers slide: Mistral all, Qwen2 from max_window_layers on, unless
// layer_types says it layer by layer.
void ParseSlidingWindow(Fields& fields, ModelConfig* config) {
  if (config->architecture == Architecture::kLlama) return;
  const bool is_qwen2 = config->architecture == Architecture::kQwen2;
  if (is_qwen2 && !fields.Bool("use_sliding_window", false)) return;
  // Mistral's default is 4096, but null, which is "none", must be told apart.
  const Json* const given = fields.Find("sliding_window");
  const bool is_default = given == nullptr && !fields.HasNull("sliding_window");
  if (given == nullptr && !is_default) return;
  config->sliding_window = fields.Int("sliding_window", 4096, 1, kMaxPositions);
  if (!is_qwen2) return;
  config->first_sliding_layer =
      fields.Int("max_window_layers", 28, 0, kMaxLayers);
  const Json* const types = fields.Find("layer_types");
  if (types == nullptr) return;
  int64_t first = 0;
  bool in_order = types->is_array() && types->size() == config->num_layers;
  for (size_t i = 0; in_order && i < types->size(); ++i) {
    const bool full = (*types)[i] == "full_attention";
    const bool sliding = (*types)[i] == "sliding_attention";
    in_order = sliding || (full && first == i);
    if (full) ++first;
  }
  if (!in_order) {
    fields.Fail(absl::UnimplementedError(
        "config.json: layer_types is not supported unless it has "
        "\"full_attention\" for the first layers and \"sliding_attention\" for "
        "the others"));
  }
  config->first_sliding_layer = first;
}

void ParseLlamaLike(Fields& fields, ModelConfig* config) {
  const bool is_llama = config->architecture == Architecture::kLlama;
  const bool is_qwen2 = config->architecture == Architecture::kQwen2;
  config->vocab_size = fields.Int("vocab_size", std::nullopt, 1, kMaxVocab);
  config->hidden_size = fields.Int("hidden_size", std::nullopt, 1, kMaxHidden);
  config->intermediate_size =
      fields.Int("intermediate_size", std::nullopt, 1, kMaxHidden);
  config->num_layers =
      fields.Int("num_hidden_layers", std::nullopt, 1, kMaxLayers);
  config->num_heads =
      fields.Int("num_attention_heads", std::nullopt, 1, kMaxHeads);
  const int64_t default_kv_heads =
      config->architecture == Architecture::kMistral &&
              !fields.HasNull("num_key_value_heads")
          ? 8
          : config->num_heads;
  config->num_kv_heads =
      fields.Int("num_key_value_heads", default_kv_heads, 1, kMaxHeads);
  if (config->num_heads % config->num_kv_heads != 0) {
    fields.Invalid(absl::StrCat("num_attention_heads ", config->num_heads,
                                " is no multiple of num_key_value_heads ",
                                config->num_kv_heads));
  }
  if (!fields.Has("head_dim") && config->hidden_size % config->num_heads != 0) {
    fields.Invalid(absl::StrCat("hidden_size ", config->hidden_size,
                                " is no multiple of num_attention_heads ",
                                config->num_heads,
                                ", and head_dim is not set"));
  }
  config->head_dim = fields.Int(
      "head_dim", config->hidden_size / config->num_heads, 1, kMaxHeadDim);
  if (config->head_dim % 2 != 0) {
    fields.Invalid(absl::StrCat("head_dim ", config->head_dim,
                                " is odd, which rotary embedding excludes"));
  }
  config->max_positions =
      fields.Int("max_position_embeddings", std::nullopt, 1, kMaxPositions);
  config->norm_eps = fields.Number("rms_norm_eps", 1e-6, 0, 1);
  ParseActivation(fields, "hidden_act", "silu", config);
  config->tied_head = fields.Bool("tie_word_embeddings", false);
  if (is_llama) {
    config->qkv_bias = fields.Bool("attention_bias", false);
    config->attention_output_bias = config->qkv_bias;
    config->mlp_bias = fields.Bool("mlp_bias", false);
  } else if (is_qwen2) {
    config->qkv_bias = true;
  }
  ParseRope(fields, config);
  ParseSlidingWindow(fields, config);
  if (config->rope.type == RopeConfig::Type::kDynamic &&
      config->head_dim == 2) {
    fields.Invalid("head_dim 2 is too small for dynamic rotary embedding");
  }
}

void CheckHeads(Fields& fields, ModelConfig* config) {
  if (config->hidden_size % config->num_heads != 0) {
    fields.Invalid(absl::StrCat("hidden size ", config->hidden_size,
                                " is no multiple of ", config->num_heads,
                                " heads"));
  }
  config->num_kv_heads = config->num_heads;
  config->head_dim = config->hidden_size / config->num_heads;
}

void ParseGpt2(Fields& fields, ModelConfig* config) {
  config->vocab_size = fields.Int("vocab_size", 50257, 1, kMaxVocab);
  config->hidden_size = fields.Int("n_embd", 768, 1, kMaxHidden);
  config->intermediate_size =
      fields.Int("n_inner", 4 * config->hidden_size, 1, 4 * kMaxHidden);
  config->num_layers = fields.Int("n_layer", 12, 1, kMaxLayers);
  config->num_heads = fields.Int("n_head", 12, 1, kMaxHeads);
  config->max_positions = fields.Int("n_positions", 1024, 1, kMaxPositions);
  CheckHeads(fields, config);
  config->norm_eps = fields.Number("layer_norm_epsilon", 1e-5, 0, 1);
  ParseActivation(fields, "activation_function", "gelu_new", config);
  config->tied_head = fields.Bool("tie_word_embeddings", true);
  config->qkv_bias = config->attention_output_bias = config->mlp_bias = true;
  config->scale_attention = fields.Bool("scale_attn_weights", true);
  config->scale_attention_by_layer =
      fields.Bool("scale_attn_by_inverse_layer_idx", false);
}

// Outputs in order: id2label, or "LABEL_0" and so on for num_labels.
void ParseLabels(Fields& fields, ModelConfig* config) {
  const Json* const map = fields.Find("id2label");
  if (map == nullptr) {
    const int64_t count = fields.Int("num_labels", 2, 1, kMaxLabels);
    for (int64_t i = 0; i < count; ++i) {
      config->labels.push_back(absl::StrCat("LABEL_", i));
    }
    return;
  }
  if (!map->is_object() || map->empty() || map->size() > kMaxLabels) {
    fields.Invalid("id2label is not an object of labels");
    return;
  }
  config->labels.resize(map->size());
  for (const auto& [key, label] : map->items()) {
    size_t id;
    // Keys differ, so ids below the count are all there and once.
    if (!absl::SimpleAtoi(key, &id) || id >= map->size() ||
        key != absl::StrCat(id) || !label.is_string()) {
      fields.Invalid(absl::StrCat("id2label has ", Quoted(key),
                                  ", where ids from 0 on and strings belong"));
      return;
    }
    config->labels[id] = label.get<std::string>();
  }
}

void ParseBert(Fields& fields, ModelConfig* config) {
  config->vocab_size = fields.Int("vocab_size", 30522, 1, kMaxVocab);
  config->hidden_size = fields.Int("hidden_size", 768, 1, kMaxHidden);
  config->intermediate_size =
      fields.Int("intermediate_size", 3072, 1, 4 * kMaxHidden);
  config->num_layers = fields.Int("num_hidden_layers", 12, 1, kMaxLayers);
  config->num_heads = fields.Int("num_attention_heads", 12, 1, kMaxHeads);
  config->max_positions =
      fields.Int("max_position_embeddings", 512, 1, kMaxPositions);
  config->type_vocab_size = fields.Int("type_vocab_size", 2, 1, kMaxVocab);
  CheckHeads(fields, config);
  config->norm_eps = fields.Number("layer_norm_eps", 1e-12, 0, 1);
  ParseActivation(fields, "hidden_act", "gelu", config);
  config->qkv_bias = config->attention_output_bias = config->mlp_bias = true;
  Reject(fields, "position_embedding_type", {"absolute"}, "absolute");
  Reject(fields, "is_decoder", {false}, "false");
  if (config->architecture == Architecture::kBertClassifier) {
    ParseLabels(fields, config);
  }
}

absl::Status ParseGeneration(absl::string_view text, ModelConfig* config) {
  if (text.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Json json,
                   ParseJsonObject("generation_config.json", text, kMaxDepth));
  Fields fields(json, "generation_config.json");
  GenerationDefaults& out = config->generation;
  out.do_sample = fields.Bool("do_sample", false);
  out.temperature = fields.MaybeNumber("temperature", 0, 1e6);
  out.top_p = fields.MaybeNumber("top_p", 0, 1);
  out.repetition_penalty =
      fields.MaybeNumber("repetition_penalty", 0, 1e6, /*positive=*/true);
  if (fields.Has("top_k")) {
    out.top_k = fields.Int("top_k", std::nullopt, 0, kMaxVocab);
  }
  // This file is later and more exact than config.json about tokens.
  if (fields.Has("bos_token_id"))
    config->bos_id = fields.TokenId("bos_token_id");
  if (fields.Has("pad_token_id"))
    config->pad_id = fields.TokenId("pad_token_id");
  if (fields.Has("eos_token_id")) {
    config->eos_ids = fields.TokenIds("eos_token_id");
  }
  // Options with the values at which they do nothing.
  const std::pair<absl::string_view, Json> kIgnored[] = {
      {"num_beams", 1},
      {"no_repeat_ngram_size", 0},
      {"min_p", 0},
      {"typical_p", 1},
      {"epsilon_cutoff", 0},
      {"eta_cutoff", 0},
      {"length_penalty", 1},
      {"diversity_penalty", 0},
      {"min_length", 0},
      {"min_new_tokens", 0},
      {"bad_words_ids", {}},
      {"suppress_tokens", {}},
      {"begin_suppress_tokens", {}},
      {"forced_bos_token_id", {}},
      {"forced_eos_token_id", {}},
      {"sequence_bias", {}},
      {"penalty_alpha", 0},
      {"guidance_scale", 1},
      {"stop_strings", {}},
  };
  for (const auto& [name, nothing] : kIgnored) {
    const Json* const value = fields.Find(name);
    if (value != nullptr && *value != nothing &&
        !(value->is_array() && value->empty())) {
      out.ignored.emplace_back(name);
    }
  }
  return fields.status();
}

double YarnAttentionFactor(const RopeConfig& rope) {
  if (rope.attention_factor.has_value()) return *rope.attention_factor;
  const auto scale = [&rope](double mscale) {
    return rope.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1.0;
  };
  const double mscale = rope.mscale.value_or(0);
  const double all_dim = rope.mscale_all_dim.value_or(0);
  return mscale != 0 && all_dim != 0 ? scale(mscale) / scale(all_dim)
                                     : scale(1);
}

// `powers` are theta^(2i/dim), whose inverses the frequencies are.
void ScaleYarn(const RopeConfig& rope, int64_t dim,
               std::span<const float> powers, std::span<float> inv_freq) {
  const auto correction = [&](double rotations) {
    return static_cast<double>(dim) *
           std::log(static_cast<double>(rope.original_max_positions) /
                    (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = correction(rope.beta_fast), high = correction(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dim - 1));
  if (low == high) high += 0.001;  // as there: prevents a division by 0
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float ramp =
        std::clamp((static_cast<float>(i) - static_cast<float>(low)) /
                       static_cast<float>(high - low),
                   0.0f, 1.0f);
    const float extrapolate = 1.0f - ramp;
    const float interpolated =
        1.0f / (static_cast<float>(rope.factor) * powers[i]);
    inv_freq[i] =
        interpolated * (1.0f - extrapolate) + inv_freq[i] * extrapolate;
  }
}

void ScaleLlama3(const RopeConfig& rope, std::span<float> inv_freq) {
  const float factor = static_cast<float>(rope.factor);
  const float low = static_cast<float>(rope.low_freq_factor);
  const float range =
      static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  const double length = static_cast<double>(rope.original_max_positions);
  const float longest = static_cast<float>(length / rope.low_freq_factor);
  const float shortest = static_cast<float>(length / rope.high_freq_factor);
  for (float& frequency : inv_freq) {
    const float wavelength =
        static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength < shortest) continue;
    if (wavelength > longest) {
      frequency /= factor;
      continue;
    }
    const float smooth =
        (static_cast<float>(length) / wavelength - low) / range;
    frequency = (1.0f - smooth) * frequency / factor + smooth * frequency;
  }
}

}  // namespace

absl::string_view ToString(Architecture architecture) {
  for (const auto& row : kArchitectures) {
    if (row.architecture == architecture) return row.name;
  }
  return "?";
}

absl::string_view ToString(Activation activation) {
  for (const auto& row : kActivations) {
    if (row.activation == activation) return row.name;
  }
  return "?";
}

absl::StatusOr<ModelConfig> ParseModelConfig(
    absl::string_view config_json, absl::string_view generation_json) {
  ASSIGN_OR_RETURN(const Json json,
                   ParseJsonObject("config.json", config_json, kMaxDepth));
  Fields fields(json, "config.json");
  ModelConfig config;
  ASSIGN_OR_RETURN(config.architecture, ParseArchitecture(fields));
  RejectCommon(fields);
  ParseIds(fields, &config);
  switch (config.architecture) {
    case Architecture::kLlama:
    case Architecture::kMistral:
    case Architecture::kQwen2:
      ParseLlamaLike(fields, &config);
      break;
    case Architecture::kGpt2:
      ParseGpt2(fields, &config);
      break;
    case Architecture::kBert:
    case Architecture::kBertClassifier:
      ParseBert(fields, &config);
      break;
  }
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(ParseGeneration(generation_json, &config));
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder) {
  ASSIGN_OR_RETURN(
      const std::string config,
      ReadWholeFile(absl::StrCat(folder, "/config.json"), kMaxFileBytes));
  absl::StatusOr<std::string> generation = ReadWholeFile(
      absl::StrCat(folder, "/generation_config.json"), kMaxFileBytes);
  if (absl::IsNotFound(generation.status())) generation = "";
  RETURN_IF_ERROR(generation.status());
  absl::StatusOr<ModelConfig> parsed = ParseModelConfig(config, *generation);
  if (parsed.ok()) return parsed;
  return absl::Status(parsed.status().code(),
                      absl::StrCat(folder, ": ", parsed.status().message()));
}

RopeFrequencies ComputeRopeFrequencies(const ModelConfig& config,
                                       int64_t sequence_length) {
  const RopeConfig& rope = config.rope;
  const int64_t dim = config.head_dim;
  double theta = rope.theta;
  if (rope.type == RopeConfig::Type::kDynamic) {
    const double length =
        static_cast<double>(std::max(sequence_length, config.max_positions));
    const double stretch =
        rope.factor * length / static_cast<double>(config.max_positions) -
        (rope.factor - 1);
    theta *= std::pow(stretch,
                      static_cast<double>(dim) / static_cast<double>(dim - 2));
  }
  std::vector<float> powers;
  RopeFrequencies out;
  for (int64_t i = 0; i < dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(dim);
    // Rounded once; PyTorch's power may be a unit of the last place off.
    powers.push_back(static_cast<float>(
        std::pow(double{static_cast<float>(theta)}, double{exponent})));
    out.inv_freq.push_back(1.0f / powers.back());
  }
  switch (rope.type) {
    case RopeConfig::Type::kDefault:
    case RopeConfig::Type::kDynamic:
      break;
    case RopeConfig::Type::kLinear:
      for (float& f : out.inv_freq) f /= static_cast<float>(rope.factor);
      break;
    case RopeConfig::Type::kLlama3:
      ScaleLlama3(rope, out.inv_freq);
      break;
    case RopeConfig::Type::kYarn:
      ScaleYarn(rope, dim, powers, out.inv_freq);
      out.attention_factor = YarnAttentionFactor(rope);
      break;
  }
  return out;
}

}  // namespace tacit
