#include "services/cli/classify.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/models/classify.h"
#include "gpu/session/device.h"
#include "nlohmann/json.hpp"
#include "services/cli/cost_json.h"
#include "services/cli/model.h"

namespace tacit {
namespace {

using Json = nlohmann::ordered_json;

size_t Longest(const TextBatch& texts) {
  size_t longest = 0;
  for (const auto& text : texts.tokens) {
    longest = std::max(longest, text.size());
  }
  return longest;
}

Json TextJson(const TextClass& text, const std::vector<std::string>& labels) {
  Json scores = Json::array();
  for (size_t i = 0; i < labels.size(); ++i) {
    scores.push_back({{"label", labels[i]},
                      {"logit", text.logits[i]},
                      {"probability", text.probabilities[i]}});
  }
  return {{"label", labels[text.label]},
          {"scores", std::move(scores)},
          {"tokens", text.tokens}};
}

std::string Scores(const TextClass& text,
                   const std::vector<std::string>& labels) {
  std::vector<size_t> order(labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return text.logits[a] > text.logits[b];
  });
  std::string out;
  for (size_t i : order) {
    absl::StrAppendFormat(&out, "%-20s %.6f\n", labels[i],
                          text.probabilities[i]);
  }
  return out;
}

}  // namespace

absl::StatusOr<ClassifyRunResult> ClassifyModel(const RunOptions& options,
                                                const ClassifyRequest& request,
                                                const PhaseFn& on_phase) {
  const absl::Time start = SteadyNow();
  auto enter = [&](const std::string& phase) {
    if (on_phase) on_phase(phase);
  };
  ASSIGN_OR_RETURN(const std::unique_ptr<gpu::Device> device,
                   gpu::OpenDevice(options.device));
  enter("loading");
  ASSIGN_OR_RETURN(LoadedModel model, LoadModel(options.model));
  ASSIGN_OR_RETURN(const TextBatch texts,
                   EncodeTexts(*model.tokenizer, request));
  enter("planning");
  ASSIGN_OR_RETURN(const PlannedEncoder planned,
                   PlanClassifier(model.weights, options.plan, Longest(texts)));
  RETURN_IF_ERROR(CheckTexts(planned.plan, texts));
  enter("sharing the weights");
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(
      const EncoderShares shares,
      ShareEncoder(planned.plan, model.weights, options.weights, seed));
  model.weights = ModelWeights();  // the shares are enough
  ClassifyRunResult result;
  result.labels = model.config.labels;
  result.seconds_plan = SecondsSince(start);
  enter(absl::StrCat("classifying ", ShapeOf(texts).tokens(), " tokens"));
  ASSIGN_OR_RETURN(
      ClassifyResult classified,
      ClassifyInProcess(
          planned.plan, shares, planned.digest, texts,
          {request.rounding, options.threads, gpu::SessionsOn(device.get())}));
  for (size_t i = 0; i < texts.tokens.size(); ++i) {
    result.texts.push_back(
        ClassOf(std::move(classified.logits[i]), texts.tokens[i].size()));
  }
  result.counted = classified.counted;
  result.seconds_material = classified.seconds_material;
  result.seconds_online = classified.seconds;
  result.seconds_total = SecondsSince(start);
  return result;
}

std::string ToText(const ClassifyRunResult& result,
                   const ClassifyRequest& request) {
  if (result.texts.size() == 1) return Scores(result.texts[0], result.labels);
  std::string out;
  for (size_t i = 0; i < result.texts.size(); ++i) {
    const ClassifyText& text = request.texts[i];
    absl::StrAppend(&out, i == 0 ? "" : "\n", text.text, "\n");
    if (text.pair.has_value()) absl::StrAppend(&out, *text.pair, "\n");
    absl::StrAppend(&out, Scores(result.texts[i], result.labels));
  }
  return out;
}

std::string ToJson(const ClassifyRunResult& result) {
  Json json;
  if (result.texts.size() == 1) {
    json = TextJson(result.texts[0], result.labels);
  } else {
    Json texts = Json::array();
    for (const TextClass& text : result.texts) {
      texts.push_back(TextJson(text, result.labels));
    }
    json["texts"] = std::move(texts);
  }
  AddCost(result.counted, json);
  json["seconds"] = {{"plan", result.seconds_plan},
                     {"material", result.seconds_material},
                     {"online", result.seconds_online},
                     {"total", result.seconds_total}};
  return json.dump(2);
}

}  // namespace tacit
