#include "common/models/shapes.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tacit {
namespace {

// vocab, hidden, intermediate, layers, heads, kv_heads, positions.
ModelConfig Llama(int64_t vocab, int64_t hidden, int64_t mlp, int64_t layers,
                  int64_t heads, int64_t kv_heads, int64_t positions) {
  ModelConfig c;
  c.architecture = Architecture::kLlama;
  c.vocab_size = vocab;
  c.hidden_size = hidden;
  c.intermediate_size = mlp;
  c.num_layers = layers;
  c.num_heads = heads;
  c.num_kv_heads = kv_heads;
  c.head_dim = hidden / heads;
  c.max_positions = positions;
  c.activation = Activation::kSilu;
  c.norm_eps = 1e-5;
  return c;
}

ModelConfig Gpt2() {
  ModelConfig c = Llama(50257, 768, 3072, 12, 12, 12, 1024);
  c.architecture = Architecture::kGpt2;
  c.activation = Activation::kGeluTanh;
  c.tied_head = true;
  c.qkv_bias = c.attention_output_bias = c.mlp_bias = true;
  return c;
}

ModelConfig Bert(int64_t hidden, int64_t layers, int64_t heads) {
  ModelConfig c = Llama(30522, hidden, 4 * hidden, layers, heads, heads, 512);
  c.architecture = Architecture::kBertClassifier;
  c.activation = Activation::kGelu;
  c.norm_eps = 1e-12;
  c.qkv_bias = c.attention_output_bias = c.mlp_bias = true;
  c.type_vocab_size = 2;
  c.labels = {"LABEL_0", "LABEL_1"};
  return c;
}

struct NamedShape {
  absl::string_view name;
  ModelConfig (*make)();
};
constexpr NamedShape kShapes[] = {
    {"llama-7b", [] { return Llama(32000, 4096, 11008, 32, 32, 32, 4096); }},
    {"llama-13b", [] { return Llama(32000, 5120, 13824, 40, 40, 40, 4096); }},
    {"llama3-8b", [] { return Llama(128256, 4096, 14336, 32, 32, 8, 8192); }},
    {"gpt2", [] { return Gpt2(); }},
    {"bert-tiny", [] { return Bert(128, 2, 2); }},
    {"bert-base", [] { return Bert(768, 12, 12); }},
    {"bert-large", [] { return Bert(1024, 24, 16); }},
};

}  // namespace

std::vector<std::string> ShapeNames() {
  std::vector<std::string> names;
  for (const NamedShape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

absl::StatusOr<ModelConfig> ShapeConfig(absl::string_view name) {
  for (const NamedShape& shape : kShapes) {
    if (shape.name == name) return shape.make();
  }
  return absl::NotFoundError(absl::StrCat("no shape \"", name, "\"; there are ",
                                          absl::StrJoin(ShapeNames(), ", ")));
}

}  // namespace tacit
