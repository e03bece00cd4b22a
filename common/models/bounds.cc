#include "common/models/bounds.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/bits.h"
#include "common/base/status_macros.h"
#include "common/models/json_file.h"

namespace tacit {

// For nlohmann-json, which finds them by their arguments' namespace.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RmsBounds, min, max)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LayerBounds, attention_norm, mlp_norm,
                                   attention_normed, mlp_normed, q, k, v,
                                   attention, attention_out, score, gate, up,
                                   product, mlp_out, raw_q, raw_k, raw_v,
                                   raw_gate, raw_up)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModelBounds, layers, embedding, embedded,
                                   residual, embedding_norm, final_norm,
                                   embedding_normed, logit, pooler)

namespace {

using Json = nlohmann::json;

constexpr int kLargest = 60;
constexpr int64_t kLargestScore = int64_t{1} << 40;
// Epsilons of norms are larger: below, rows look the same to them.
constexpr double kLeastSquare = 0x1p-40;

int Log(double value, double margin) {
  // Nothing seen, or next to nothing: a bound that costs nothing.
  if (value <= 0x1p-12) return -10;
  // What is not finite gets a bound that no ring holds.
  if (!std::isfinite(value * margin)) return kLargest;
  return std::min(kLargest, CeilLog2(value * margin));
}

int64_t Score(double value, double margin) {
  const double score = std::ceil(value * margin);
  if (!(score < static_cast<double>(kLargestScore))) return kLargestScore;
  return std::max<int64_t>(8, std::llround(score));
}

RmsBounds Rms(const SquareRange& range, double margin) {
  if (range.max <= 0) return {};
  // Without a margin below, where nothing but precision is at stake.
  const bool seen = std::isfinite(range.min) && range.min > kLeastSquare;
  return {FloorLog2(std::sqrt(seen ? range.min : kLeastSquare)),
          std::max(0, Log(std::sqrt(range.max), margin))};
}

LayerBounds LayerBoundsOf(const ModelRanges::Layer& r, double margin) {
  auto log = [margin](double value) { return Log(value, margin); };
  LayerBounds b;
  b.attention_norm = Rms(r.attention_norm, margin);
  b.mlp_norm = Rms(r.mlp_norm, margin);
  b.attention_normed = log(r.attention_normed);
  b.mlp_normed = log(r.mlp_normed);
  b.q = log(r.q);
  b.k = log(r.k);
  b.v = log(r.v);
  b.attention = log(r.attention);
  b.attention_out = log(r.attention_out);
  b.score = Score(r.score, margin);
  b.gate = log(r.gate);
  b.up = log(r.up);
  b.product = log(r.product);
  b.mlp_out = log(r.mlp_out);
  b.raw_q = log(r.raw_q);
  b.raw_k = log(r.raw_k);
  b.raw_v = log(r.raw_v);
  b.raw_gate = log(r.raw_gate);
  b.raw_up = log(r.raw_up);
  return b;
}

absl::Status Unfit(absl::string_view place, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("bounds of a plan: ", place, " ", what));
}

absl::Status CheckNumber(const std::string& place, const Json& value,
                         int64_t largest) {
  if (!value.is_number_integer()) {
    return Unfit(place, absl::StrCat("is no integer but ", value.type_name()));
  }
  const bool fits =
      value.is_number_unsigned()
          ? value.get<uint64_t>() <= static_cast<uint64_t>(largest)
          : value.get<int64_t>() >= -kLargest;
  if (fits) return absl::OkStatus();
  return Unfit(place, absl::StrCat(value.dump(), " lies outside [", -kLargest,
                                   ", ", largest, "]"));
}

// Whether `json` has all fields of `form`, and numbers in range where that has
// numbers. An array's form is its first entry's.
absl::Status Check(const std::string& place, const Json& json,
                   const Json& form) {
  if (form.is_number()) {
    const bool score = absl::EndsWith(place, ".score");
    return CheckNumber(place, json, score ? kLargestScore : kLargest);
  }
  if (json.type() != form.type()) {
    return Unfit(place, absl::StrCat("is no ", form.type_name(), " but ",
                                     json.type_name()));
  }
  if (form.is_array()) {
    for (size_t i = 0; i < json.size(); ++i) {
      RETURN_IF_ERROR(
          Check(absl::StrCat(place, "[", i, "]"), json[i], form[0]));
    }
    return absl::OkStatus();
  }
  for (const auto& [name, part] : form.items()) {
    const auto at = json.find(name);
    const std::string inside = absl::StrCat(place, ".", name);
    if (at == json.end()) return Unfit(inside, "is missing");
    RETURN_IF_ERROR(Check(inside, *at, part));
  }
  return absl::OkStatus();
}

}  // namespace

ModelBounds BoundsOf(const ModelRanges& ranges, double margin) {
  ModelBounds b;
  for (const ModelRanges::Layer& layer : ranges.layers) {
    b.layers.push_back(LayerBoundsOf(layer, margin));
  }
  // A weight's range is known: no margin.
  b.embedding = Log(ranges.embedding, 1.01);
  b.embedded = Log(ranges.embedded, margin);
  b.residual = Log(ranges.residual, margin);
  b.embedding_norm = Rms(ranges.embedding_norm, margin);
  b.embedding_normed = Log(ranges.embedding_normed, margin);
  b.final_norm = Rms(ranges.final_norm, margin);
  b.logit = Log(ranges.logit, margin);
  b.pooler = Log(ranges.pooler, margin);
  return b;
}

ModelBounds TypicalBounds(const ModelConfig& config) {
  LayerBounds layer;
  layer.attention_norm = layer.mlp_norm = {-2, 7};
  layer.attention_normed = layer.mlp_normed = 6;
  layer.q = layer.k = 6;
  layer.v = layer.attention = 4;
  layer.attention_out = layer.mlp_out = 4;
  layer.score = 160;
  layer.gate = layer.up = 6;
  layer.product = 8;
  layer.raw_q = layer.raw_k = layer.raw_v = layer.raw_gate = layer.raw_up = 11;
  if (config.is_bert()) {
    // Of x + update, where x is a norm's result and thus of unit size. What the
    // MLP adds has outliers in a few dimensions (Bondarenko et al.,
    // "Understanding and Overcoming the Challenges of Efficient Transformer
    // Quantization", EMNLP 2021).
    layer.attention_norm = {-3, 3};
    layer.mlp_norm = {-3, 4};
    layer.attention_out = 6;
    layer.mlp_out = 8;
  }
  ModelBounds b;
  b.layers.assign(static_cast<size_t>(config.num_layers), layer);
  // Massive activations: few layers write them, and one takes them back (Sun et
  // al., "Massive Activations in Large Language Models", 2024).
  if (config.num_layers > 4 && !config.is_bert()) {
    b.layers[1].mlp_out = b.layers[1].product = 13;
    b.layers[config.num_layers - 2].mlp_out = 13;
  }
  b.embedding = 0;
  b.embedded = 1;
  b.residual = 13;
  b.embedding_norm = {-5, 2};
  b.embedding_normed = 6;
  b.final_norm = {-1, 7};
  b.logit = 7;
  b.pooler = 6;
  return b;
}

std::string ToJson(const ModelBounds& bounds) { return Json(bounds).dump(); }

absl::StatusOr<ModelBounds> ParseModelBounds(absl::string_view json) {
  constexpr int kDepth = 4;
  ASSIGN_OR_RETURN(const Json parsed,
                   ParseJsonObject("bounds of a plan", json, kDepth));
  ModelBounds form;
  form.layers.resize(1);
  RETURN_IF_ERROR(Check("bounds", parsed, Json(form)));
  return parsed.get<ModelBounds>();
}

}  // namespace tacit
