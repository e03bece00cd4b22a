// What a model's folder says about its architecture: config.json and
// generation_config.json as transformers (4 and 5) writes and reads them.
#ifndef TACIT_COMMON_MODELS_CONFIG_H_
#define TACIT_COMMON_MODELS_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/nn/activations.h"

namespace tacit {

enum class Architecture {
  kLlama,           // LlamaForCausalLM
  kMistral,         // MistralForCausalLM
  kQwen2,           // Qwen2ForCausalLM
  kGpt2,            // GPT2LMHeadModel
  kBert,            // BertModel
  kBertClassifier,  // BertForSequenceClassification
};

// As config.json writes it: "LlamaForCausalLM".
absl::string_view ToString(Architecture architecture);
absl::string_view ToString(Activation activation);

// Rotary position embedding.
struct RopeConfig {
  enum class Type { kDefault, kLinear, kDynamic, kLlama3, kYarn };
  Type type = Type::kDefault;
  double theta = 10000;
  double factor = 1;  // all but kDefault
  // kLlama3, kYarn: the context length before scaling.
  int64_t original_max_positions = 0;
  double low_freq_factor = 1, high_freq_factor = 4;  // kLlama3
  // kYarn.
  double beta_fast = 32, beta_slow = 1;
  std::optional<double> attention_factor, mscale, mscale_all_dim;
  bool truncate = true;
};

// What generation_config.json asks for by default; unset where it does not.
struct GenerationDefaults {
  bool do_sample = false;
  std::optional<double> temperature, top_p, repetition_penalty;
  std::optional<int64_t> top_k;
  // Options that are set there, would change what transformers generates, and
  // are not applied here.
  std::vector<std::string> ignored;
};

// Everything here has been checked: sizes are positive and fit together.
struct ModelConfig {
  Architecture architecture = Architecture::kLlama;

  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;  // of the MLP
  int64_t num_layers = 0;
  int64_t num_heads = 0;      // of queries
  int64_t num_kv_heads = 0;   // divides num_heads
  int64_t head_dim = 0;       // num_heads * head_dim may not be hidden_size
  int64_t max_positions = 0;  // the longest context
  Activation activation = Activation::kSilu;
  double norm_eps = 0;  // of RMSNorm or LayerNorm

  bool tied_head = false;  // the LM head is the embedding
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;

  RopeConfig rope;  // Llama, Mistral, Qwen2
  // Layers from `first_sliding_layer` on attend to the last `sliding_window`
  // positions only, their own included.
  std::optional<int64_t> sliding_window;
  int64_t first_sliding_layer = 0;

  // GPT-2: scores times head_dim^-1/2, and over layer number + 1.
  bool scale_attention = true;
  bool scale_attention_by_layer = false;

  int64_t type_vocab_size = 0;      // BERT: segments
  std::vector<std::string> labels;  // kBertClassifier: one for each output

  std::optional<int64_t> bos_id, pad_id;
  std::vector<int64_t> eos_ids;  // generation stops at any of them
  GenerationDefaults generation;

  bool is_bert() const {
    return architecture == Architecture::kBert ||
           architecture == Architecture::kBertClassifier;
  }
  bool uses_rope() const {
    return architecture != Architecture::kGpt2 && !is_bert();
  }
};

// Parses the two files' text; `generation_json` may be empty.
// Errors: UNIMPLEMENTED for an architecture, activation or option that is not
//   supported and would change results (the message names it and lists what
//   is); INVALID_ARGUMENT for text that is no such file, or values out of
//   range (the message has the field and its value).
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view config_json,
                                             absl::string_view generation_json);

// Reads them from a model's folder. Errors: also NOT_FOUND.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder);

struct RopeFrequencies {
  // Position p turns pair i of a head by p * inv_freq[i]; [head_dim / 2].
  std::vector<float> inv_freq;
  // Sines and cosines are multiplied by it.
  double attention_factor = 1;
};

// As transformers' modeling_rope_utils.py computes them, in float32 where it
// does. `sequence_length` matters for kDynamic, beyond `max_positions`: then
// frequencies depend on the longest sequence so far.
RopeFrequencies ComputeRopeFrequencies(const ModelConfig& config,
                                       int64_t sequence_length = 0);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_CONFIG_H_
