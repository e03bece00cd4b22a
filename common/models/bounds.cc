#include "common/models/bounds.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/bits.h"

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

constexpr int kLargest = 60;

int Log(double value, double margin) {
  // Nothing seen, or next to nothing: a bound that costs nothing.
  return value <= 0x1p-12 ? -10 : CeilLog2(value * margin);
}

RmsBounds Rms(const SquareRange& range, double margin) {
  if (range.max <= 0) return {};
  // Without a margin below, where nothing but precision is at stake.
  return {FloorLog2(std::sqrt(range.min)),
          std::max(0, CeilLog2(std::sqrt(range.max) * margin))};
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
  b.score = std::max<int64_t>(8, std::llround(std::ceil(r.score * margin)));
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

absl::Status CheckBounds(const ModelBounds& bounds) {
  auto check = [](absl::string_view name, std::initializer_list<int64_t> values,
                  int64_t largest) -> absl::Status {
    for (int64_t v : values) {
      if (v < -kLargest || v > largest) {
        return absl::InvalidArgumentError(
            absl::StrCat("bounds of ", name, ": ", v, " lies outside [",
                         -kLargest, ", ", largest, "]"));
      }
    }
    return absl::OkStatus();
  };
  absl::Status status =
      check("the model",
            {bounds.embedding, bounds.embedded, bounds.residual,
             bounds.embedding_norm.min, bounds.embedding_norm.max,
             bounds.final_norm.min, bounds.final_norm.max,
             bounds.embedding_normed, bounds.logit, bounds.pooler},
            kLargest);
  for (size_t i = 0; i < bounds.layers.size(); ++i) {
    const LayerBounds& b = bounds.layers[i];
    const std::string name = absl::StrCat("layer ", i);
    status.Update(check(name,
                        {b.attention_norm.min,
                         b.attention_norm.max,
                         b.mlp_norm.min,
                         b.mlp_norm.max,
                         b.attention_normed,
                         b.mlp_normed,
                         b.q,
                         b.k,
                         b.v,
                         b.attention,
                         b.attention_out,
                         b.gate,
                         b.up,
                         b.product,
                         b.mlp_out,
                         b.raw_q,
                         b.raw_k,
                         b.raw_v,
                         b.raw_gate,
                         b.raw_up},
                        kLargest));
    status.Update(check(name, {b.score}, int64_t{1} << 40));
  }
  return status;
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

std::string ToJson(const ModelBounds& bounds) {
  return nlohmann::json(bounds).dump();
}

absl::StatusOr<ModelBounds> ParseModelBounds(absl::string_view json) {
  ModelBounds bounds;
  try {
    bounds = nlohmann::json::parse(json.begin(), json.end()).get<ModelBounds>();
  } catch (const std::exception& error) {  // thrown by the library only
    return absl::InvalidArgumentError(
        absl::StrCat("bounds of a plan: ", error.what()));
  }
  const absl::Status status = CheckBounds(bounds);
  if (!status.ok()) return status;
  return bounds;
}

}  // namespace tacit
