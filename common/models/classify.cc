#include "common/models/classify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"
#include "common/gates/two_party.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

absl::Status CheckIds(absl::string_view what, const std::vector<int64_t>& ids,
                      int64_t count) {
  for (int64_t id : ids) {
    if (id < 0 || id >= count) {
      return absl::InvalidArgumentError(
          absl::StrCat("a ", what, " lies outside the model's ", count));
    }
  }
  return absl::OkStatus();
}

std::vector<int64_t> Joined(const std::vector<std::vector<int64_t>>& parts) {
  std::vector<int64_t> all;
  for (const auto& part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace

ClassificationShape ShapeOf(const TextBatch& texts) {
  ClassificationShape shape;
  for (const auto& text : texts.tokens) shape.lengths.push_back(text.size());
  shape.segments = !texts.segments.empty();
  return shape;
}

absl::Status CheckTexts(const EncoderPlan& plan, const TextBatch& texts) {
  const ModelConfig& config = plan.config;
  if (config.labels.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(config.architecture), " has no classifier"));
  }
  if (texts.tokens.empty()) {
    return absl::InvalidArgumentError("there is no text");
  }
  const bool segments = !texts.segments.empty();
  if (segments && texts.segments.size() != texts.tokens.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("segments of ", texts.segments.size(), " texts for ",
                     texts.tokens.size()));
  }
  for (size_t i = 0; i < texts.tokens.size(); ++i) {
    const size_t n = texts.tokens[i].size();
    if (n == 0 || n > plan.max_tokens) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a text of ", n, " tokens; the plan has 1 to ", plan.max_tokens));
    }
    RETURN_IF_ERROR(CheckIds("token", texts.tokens[i], config.vocab_size));
    if (!segments) continue;
    if (texts.segments[i].size() != n) {
      return absl::InvalidArgumentError(absl::StrCat(
          texts.segments[i].size(), " segment ids for ", n, " tokens"));
    }
    RETURN_IF_ERROR(
        CheckIds("segment id", texts.segments[i], config.type_vocab_size));
  }
  return absl::OkStatus();
}

void Classify(Evaluator& ev, const EncoderPlan& plan,
              const EncoderMatrices& weights,
              const ClassificationShape& shape) {
  const size_t total =
      std::accumulate(shape.lengths.begin(), shape.lengths.end(), size_t{0});
  const Wire tokens = ev.Input({total}, TokenWidth(plan.config.vocab_size), 0);
  Wire segments;
  if (shape.segments) {
    segments = ev.Input({total}, TokenWidth(plan.config.type_vocab_size), 0);
  }
  ev.Output(EncoderForward(ev, plan, weights, tokens,
                           shape.segments ? &segments : nullptr,
                           shape.lengths));
}

absl::StatusOr<ClassifyResult> ClassifyInProcess(
    const EncoderPlan& plan, const EncoderShares& shares,
    const PlanDigest& digest, const TextBatch& texts,
    const ClassifyOptions& options) {
  RETURN_IF_ERROR(CheckTexts(plan, texts));
  const ClassificationShape shape = ShapeOf(texts);
  std::vector<InputValue> inputs = {
      {Joined(texts.tokens), TokenWidth(plan.config.vocab_size)}};
  if (shape.segments) {
    inputs.push_back(
        {Joined(texts.segments), TokenWidth(plan.config.type_vocab_size)});
  }
  ASSIGN_OR_RETURN(const SessionSeeds seeds,
                   SessionSeeds::Generate(OsSeedSource()));
  TwoPartyOptions roles;
  roles.rounding = options.rounding;
  roles.plan = digest;
  roles.threads = options.threads;
  ASSIGN_OR_RETURN(
      const TwoPartyResult run,
      RunTwoParty(
          roles, seeds,
          [&](Evaluator& ev) { Classify(ev, plan, Pick(ev, shares), shape); },
          inputs));
  ClassifyResult result;
  const size_t labels = plan.config.labels.size();
  for (size_t i = 0; i < texts.tokens.size(); ++i) {
    std::vector<double>& logits = result.logits.emplace_back(labels);
    for (size_t l = 0; l < labels; ++l) {
      logits[l] =
          std::ldexp(static_cast<double>(run.outputs[0][i * labels + l]),
                     -kEncoderLogitFrac);
    }
  }
  result.counted = run.counted;
  result.seconds_material = run.seconds_deal;
  result.seconds = run.seconds_total;
  return result;
}

}  // namespace tacit
