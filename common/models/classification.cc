#include "common/models/classification.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"
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

Words Joined(const std::vector<std::vector<int64_t>>& parts, size_t total) {
  Words all(total);
  auto to = all.begin();
  for (const auto& part : parts) to = std::copy(part.begin(), part.end(), to);
  return all;
}

}  // namespace

size_t ClassificationShape::tokens() const {
  return std::accumulate(lengths.begin(), lengths.end(), size_t{0});
}

ClassificationShape ShapeOf(const TextBatch& texts) {
  ClassificationShape shape;
  for (const auto& text : texts.tokens) shape.lengths.push_back(text.size());
  shape.segments = !texts.segments.empty();
  return shape;
}

absl::Status CheckShape(const EncoderPlan& plan,
                        const ClassificationShape& shape) {
  if (plan.config.labels.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(plan.config.architecture), " has no classifier"));
  }
  if (shape.lengths.empty()) {
    return absl::InvalidArgumentError("there is no text");
  }
  for (size_t length : shape.lengths) {
    if (length == 0 || length > plan.max_tokens) {
      return absl::InvalidArgumentError(
          absl::StrCat("a text of ", length, " tokens; the plan has 1 to ",
                       plan.max_tokens));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTexts(const EncoderPlan& plan, const TextBatch& texts) {
  RETURN_IF_ERROR(CheckShape(plan, ShapeOf(texts)));
  const ModelConfig& config = plan.config;
  const bool segments = !texts.segments.empty();
  if (segments && texts.segments.size() != texts.tokens.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("segments of ", texts.segments.size(), " texts for ",
                     texts.tokens.size()));
  }
  for (size_t i = 0; i < texts.tokens.size(); ++i) {
    RETURN_IF_ERROR(CheckIds("token", texts.tokens[i], config.vocab_size));
    if (!segments) continue;
    if (texts.segments[i].size() != texts.tokens[i].size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(texts.segments[i].size(), " segment ids for ",
                       texts.tokens[i].size(), " tokens"));
    }
    RETURN_IF_ERROR(
        CheckIds("segment id", texts.segments[i], config.type_vocab_size));
  }
  return absl::OkStatus();
}

void Classify(Evaluator& ev, const EncoderPlan& plan,
              const EncoderMatrices& weights,
              const ClassificationShape& shape) {
  const size_t total = shape.tokens();
  const Wire tokens = ev.Input({total}, TokenWidth(plan.config.vocab_size), 0);
  Wire segments;
  if (shape.segments) {
    segments = ev.Input({total}, TokenWidth(plan.config.type_vocab_size), 0);
  }
  ev.Output(EncoderForward(ev, plan, weights, tokens,
                           shape.segments ? &segments : nullptr,
                           shape.lengths));
}

absl::StatusOr<std::unique_ptr<ClassificationGateway>>
ClassificationGateway::Create(const EncoderPlan& plan, const TextBatch& texts,
                              std::unique_ptr<Prg> masks) {
  RETURN_IF_ERROR(CheckTexts(plan, texts));
  const ClassificationShape shape = ShapeOf(texts);
  std::unique_ptr<ClassificationGateway> gateway(
      new ClassificationGateway(plan, shape, std::move(masks)));
  const std::vector<Message> inputs = gateway->InputsOf(0);
  gateway->PushInput(Joined(texts.tokens, shape.tokens()), inputs[0].width);
  if (shape.segments) {
    gateway->PushInput(Joined(texts.segments, shape.tokens()), inputs[1].width);
  }
  return gateway;
}

std::vector<UserSide::Message> ClassificationGateway::InputsOf(
    size_t /*step*/) const {
  const ModelConfig& config = plan_.config;
  const size_t total = shape_.tokens();
  std::vector<Message> inputs = {{total, TokenWidth(config.vocab_size)}};
  if (shape_.segments) {
    inputs.push_back({total, TokenWidth(config.type_vocab_size)});
  }
  return inputs;
}

UserSide::Message ClassificationGateway::output() const {
  return {shape_.lengths.size() * plan_.config.labels.size(), plan_.logit_ring};
}

std::vector<std::vector<double>> ClassificationGateway::TakeLogits() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::move(logits_);
}

void ClassificationGateway::TakeOutput(std::unique_lock<std::mutex>& /*lock*/,
                                       const Words& sum, int width) {
  const size_t labels = plan_.config.labels.size();
  for (size_t begin = 0; begin < sum.size(); begin += labels) {
    std::vector<double>& logits = logits_.emplace_back(labels);
    for (size_t l = 0; l < labels; ++l) {
      logits[l] =
          std::ldexp(static_cast<double>(ToSigned(sum[begin + l], width)),
                     -kEncoderLogitFrac);
    }
  }
}

}  // namespace tacit
