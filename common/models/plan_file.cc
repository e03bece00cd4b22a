#include "common/models/plan_file.h"

#include <openssl/evp.h>

#include <cstring>
#include <exception>
#include <fstream>
#include <span>
#include <type_traits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/models/json_file.h"

namespace tacit {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr size_t kMaxPlanBytes = size_t{64} << 20;

absl::StatusOr<std::string> Sha256(std::span<const uint8_t> bytes) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(),
                 reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_sha256(), nullptr) != 1) {
    return absl::InternalError("OpenSSL: SHA-256 failed");
  }
  digest.resize(size);
  return digest;
}

// The table's own digest stands for it; "" if there is none to be had, which
// DigestOf reports.
template <typename T>
std::string TableDigest(std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const absl::StatusOr<std::string> digest =
      Sha256({reinterpret_cast<const uint8_t*>(values.data()),
              values.size() * sizeof(T)});
  return digest.ok() ? absl::BytesToHexString(*digest) : "";
}
template <typename T>
std::string TableDigest(const std::vector<T>& values) {
  return TableDigest(std::span<const T>(values));
}

Json Of(const SegmentedTable& t) {
  Json tables = Json::array();
  for (const auto& table : t.table) tables.push_back(TableDigest(table));
  return {{"domain_bits", t.domain_bits},
          {"boundaries", t.boundaries},
          {"shift", t.shift},
          {"tables", tables},
          {"out_frac", t.out_frac}};
}

Json Of(const NormParams& p) {
  return {{"dim", p.spec.dim},
          {"frac", p.spec.frac},
          {"width", p.spec.width},
          {"out_frac", p.spec.out_frac},
          {"kind", p.spec.kind == NormKind::kRms ? "rms" : "layer"},
          {"epsilon", p.epsilon},
          {"square_bits", p.square_bits},
          {"center", p.center},
          {"scaled_bits", p.scaled_bits},
          {"scaled_frac", p.scaled_frac},
          {"root_frac", p.root_frac},
          {"product_bits", p.product_bits},
          {"out_width", p.out_width},
          {"rsqrt", Of(p.rsqrt)}};
}

Json Of(const SoftmaxParams& p) {
  return {{"length", p.length},
          {"frac", p.frac},
          {"score_bound", p.score_bound},
          {"precision", p.precision},
          {"buckets", p.buckets},
          {"count_bits", p.count_bits},
          {"score_bits", p.score_bits},
          {"exp2",
           {p.exp2.domain_bits, p.exp2.min_exponent, p.exp2.max_exponent,
            p.exp2.mask_bits, p.exp2.public_bits}},
          {"weight_frac", p.weight_frac},
          {"weight_bits", p.weight_bits},
          {"sum_bits", p.sum_bits},
          {"inverse_frac", p.inverse_frac},
          {"reciprocal", Of(p.reciprocal)}};
}

Json Of(const ScaledPlan& p) {
  return {{"raw_ring", p.raw_ring},
          {"raw_drop", p.raw_drop},
          {"ring", p.ring},
          {"drop", p.drop},
          {"bias_frac", p.bias_frac}};
}

Json Of(const AttentionPlan& p) {
  return {{"heads", p.shape.heads},       {"kv_heads", p.shape.kv_heads},
          {"head_dim", p.shape.head_dim}, {"score_ring", p.score_ring},
          {"value_ring", p.value_ring},   {"output_ring", p.output_ring},
          {"softmax", Of(p.softmax)}};
}

Json Of(const ActivationParams& p) {
  Json json = {{"bound", p.bound},
               {"width", p.width},
               {"value_bits", p.value_bits},
               {"slope_bits", p.slope_bits}};
  if (p.table != nullptr) {
    json["table"] = {{"step_bits", p.table->step_bits},
                     {"domain_bits", p.table->domain_bits},
                     {"low", p.table->low},
                     {"values", TableDigest(p.table->value)},
                     {"slopes", TableDigest(p.table->slope)},
                     {"value_shift", p.table->value_shift},
                     {"out_frac", p.table->out_frac}};
  }
  return json;
}

Json Of(const DecoderLayerPlan& p) {
  Json json = {{"attention_norm", Of(p.attention_norm)},
               {"q", Of(p.q)},
               {"k", Of(p.k)},
               {"v", Of(p.v)},
               {"attention", Of(p.attention)},
               {"attention_out_ring", p.attention_out_ring},
               {"mlp_norm", Of(p.mlp_norm)},
               {"gate", Of(p.gate)},
               {"up", Of(p.up)},
               {"gate_ring", p.gate_ring},
               {"up_ring", p.up_ring},
               {"activation", Of(p.activation)},
               {"product_ring", p.product_ring},
               {"mlp_out_ring", p.mlp_out_ring}};
  if (p.window) json["window"] = *p.window;
  return json;
}

// What the program reads of the configuration.
Json Of(const ModelConfig& c) {
  return {{"architecture", std::string(ToString(c.architecture))},
          {"vocab_size", c.vocab_size},
          {"hidden_size", c.hidden_size},
          {"intermediate_size", c.intermediate_size},
          {"layers", c.num_layers},
          {"heads", c.num_heads},
          {"kv_heads", c.num_kv_heads},
          {"head_dim", c.head_dim},
          {"max_positions", c.max_positions},
          {"activation", std::string(ToString(c.activation))},
          {"norm_eps", c.norm_eps},
          {"qkv_bias", c.qkv_bias},
          {"attention_output_bias", c.attention_output_bias},
          {"mlp_bias", c.mlp_bias},
          {"type_vocab_size", c.type_vocab_size},
          {"labels", c.labels.size()}};
}

constexpr char kBytesName[] = "bytes", kRoundsName[] = "rounds";
const char* Name(Objective objective) {
  return objective == Objective::kBytes ? kBytesName : kRoundsName;
}

Json PlanJson(const DecoderPlan& plan) {
  Json layers = Json::array();
  for (const DecoderLayerPlan& layer : plan.layers) layers.push_back(Of(layer));
  return {{"format", kFormat},
          {"config", Of(plan.config)},
          {"context", plan.context},
          {"objective", Name(plan.objective)},
          {"residual_frac", plan.residual_frac},
          {"residual_width", plan.residual_width},
          {"bounds", Json::parse(ToJson(plan.bounds))},
          {"embedding_bound", plan.embedding.entry_bound},
          {"one_hot_words", plan.embedding.one_hot_words},
          {"rope",
           {{"frac", plan.rope.frac},
            {"scale", plan.rope.scale},
            {"frequencies", TableDigest(plan.rope.inverse_frequency)}}},
          {"layers", layers},
          {"final_norm", Of(plan.final_norm)},
          {"logit_ring", plan.logit_ring}};
}

Json Of(const EncoderNormPlan& p) {
  return {{"normed", p.normed},
          {"norm", Of(p.norm)},
          {"sum_width", p.sum_width},
          {"stream", Of(p.stream)}};
}

Json Of(const EncoderLayerPlan& p) {
  return {{"q", Of(p.q)},
          {"k", Of(p.k)},
          {"v", Of(p.v)},
          {"attention", Of(p.attention)},
          {"attention_out_ring", p.attention_out_ring},
          {"attention_norm", Of(p.attention_norm)},
          {"gate", Of(p.gate)},
          {"activation", Of(p.activation)},
          {"mlp_out_ring", p.mlp_out_ring},
          {"mlp_norm", Of(p.mlp_norm)}};
}

Json PlanJson(const EncoderPlan& plan) {
  Json layers = Json::array();
  for (const EncoderLayerPlan& layer : plan.layers) layers.push_back(Of(layer));
  return {{"format", kFormat},
          {"config", Of(plan.config)},
          {"max_tokens", plan.max_tokens},
          {"embedding_frac", plan.embedding_frac},
          {"bounds", Json::parse(ToJson(plan.bounds))},
          {"embedding_bound", plan.embedding.entry_bound},
          {"one_hot_words", plan.embedding.one_hot_words},
          {"embedding_norm", Of(plan.embedding_norm)},
          {"layers", layers},
          {"hidden", Of(plan.hidden)},
          {"pooler", Of(plan.pooler)},
          {"tanh", Of(plan.tanh)},
          {"logit_ring", plan.logit_ring}};
}

absl::StatusOr<PlanDigest> DigestOfText(const std::string& text) {
  ASSIGN_OR_RETURN(
      const std::string bytes,
      Sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  PlanDigest digest;
  std::memcpy(digest.data(), bytes.data(), digest.size());
  return digest;
}

}  // namespace

std::string Describe(const DecoderPlan& plan) { return PlanJson(plan).dump(); }
std::string Describe(const EncoderPlan& plan) { return PlanJson(plan).dump(); }

absl::StatusOr<PlanDigest> DigestOf(const DecoderPlan& plan) {
  return DigestOfText(Describe(plan));
}
absl::StatusOr<PlanDigest> DigestOf(const EncoderPlan& plan) {
  return DigestOfText(Describe(plan));
}

std::string ToHex(const PlanDigest& digest) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(digest.data()), digest.size()));
}

absl::StatusOr<PlanFile> ParsePlanFile(absl::string_view text) {
  constexpr int kDepth = 5;
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseJsonObject("plan", text, kDepth));
  const auto format = json.find("format");
  if (format == json.end() || *format != kFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat("no plan of format ", kFormat, ": make it anew"));
  }
  const auto context = json.find("context"), bounds = json.find("bounds");
  const auto objective = json.find("objective");
  if (context == json.end() || !context->is_number_unsigned() ||
      bounds == json.end() || objective == json.end() ||
      (*objective != kBytesName && *objective != kRoundsName)) {
    return absl::InvalidArgumentError(
        "a plan has \"context\", \"objective\" (bytes or rounds) and "
        "\"bounds\"");
  }
  PlanFile file;
  file.objective =
      *objective == kBytesName ? Objective::kBytes : Objective::kRounds;
  file.context = context->get<size_t>();
  ASSIGN_OR_RETURN(file.bounds, ParseModelBounds(bounds->dump()));
  return file;
}

std::string ToJson(const PlanFile& file) {
  const Json json = {{"format", kFormat},
                     {"context", file.context},
                     {"objective", Name(file.objective)},
                     {"bounds", Json::parse(ToJson(file.bounds))}};
  return json.dump(2) + "\n";
}

absl::StatusOr<PlanFile> LoadPlanFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxPlanBytes));
  return ParsePlanFile(text);
}

absl::Status SavePlanFile(const PlanFile& file, const std::string& path) {
  std::ofstream out(path, std::ios::trunc);
  out << ToJson(file);
  out.close();
  if (out.fail()) {
    return absl::PermissionDeniedError(absl::StrCat("cannot write ", path));
  }
  return absl::OkStatus();
}

}  // namespace tacit
