#include "common/models/generation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/trunc_reduce.h"
#include "common/nn/embedding.h"
#include "common/nn/sampling.h"

namespace tacit {
namespace {

SampleParams SampleParamsOf(const DecoderPlan& plan,
                            const GenerationShape& shape) {
  SampleParams params;
  params.bound = std::ldexp(1.0, std::max(0, plan.bounds.logit));
  params.temperature = shape.temperature;
  params.top_k = shape.top_k;
  params.top_p = shape.top_p;
  return params;
}

std::vector<std::pair<int64_t, double>> Largest(std::span<const double> logits,
                                                size_t count) {
  std::vector<int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  count = std::min(count, order.size());
  std::partial_sort(
      order.begin(), order.begin() + count, order.end(),
      [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  std::vector<std::pair<int64_t, double>> top;
  for (size_t i = 0; i < count; ++i) {
    top.emplace_back(order[i], logits[order[i]]);
  }
  return top;
}

absl::Status CheckPrompts(const DecoderPlan& plan, const GenerationShape& shape,
                          const std::vector<std::vector<int64_t>>& prompts) {
  if (prompts.size() != shape.prompts.size()) {
    return absl::InvalidArgumentError("other prompts than the shape's");
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].size() != shape.prompts[i]) {
      return absl::InvalidArgumentError("other prompts than the shape's");
    }
    for (int64_t token : prompts[i]) {
      if (token < 0 || token >= plan.config.vocab_size) {
        return absl::InvalidArgumentError(absl::StrCat(
            "a token lies outside the vocabulary of ", plan.config.vocab_size));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

size_t GenerationShape::prompt_tokens() const {
  return std::accumulate(prompts.begin(), prompts.end(), size_t{0});
}

GenerationShape MakeShape(const std::vector<std::vector<int64_t>>& prompts,
                          size_t steps, SamplingSide sampling,
                          EmbeddingSide embedding,
                          const SamplingOptions& options) {
  GenerationShape shape;
  for (const auto& prompt : prompts) shape.prompts.push_back(prompt.size());
  shape.steps = steps;
  shape.sampling = sampling;
  shape.embedding = embedding;
  if (sampling == SamplingSide::kSecure) {
    shape.temperature = options.temperature;
    shape.top_k = options.top_k;
    shape.top_p = options.top_p;
  }
  return shape;
}

absl::Status CheckShape(const DecoderPlan& plan, const GenerationShape& shape) {
  if (shape.prompts.empty()) {
    return absl::InvalidArgumentError("there is no prompt");
  }
  if (shape.steps == 0) {
    return absl::InvalidArgumentError("max-tokens must be at least 1");
  }
  for (size_t prompt : shape.prompts) {
    if (prompt == 0) {
      return absl::InvalidArgumentError("the prompt has no token");
    }
    // The last token chosen is not fed back.
    if (prompt > plan.context || shape.steps - 1 > plan.context - prompt) {
      return absl::InvalidArgumentError(
          absl::StrCat("a prompt of ", prompt, " tokens and ", shape.steps,
                       " more exceed the context of ", plan.context));
    }
  }
  if (shape.sampling == SamplingSide::kSecure && shape.top_k > kMaxTopK) {
    return absl::InvalidArgumentError(absl::StrCat(
        "top-k ", shape.top_k, "; secure sampling keeps at most ", kMaxTopK));
  }
  if (shape.sampling == SamplingSide::kSecure && shape.temperature > 0 &&
      shape.top_p < 1 && shape.top_k == 0 &&
      plan.config.vocab_size > static_cast<int64_t>(kMaxTopK)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "secure sampling with top-p needs a top-k of at most ", kMaxTopK));
  }
  return absl::OkStatus();
}

void GenerateStep(Evaluator& ev, const DecoderPlan& plan,
                  const DecoderMatrices& weights, const GenerationShape& shape,
                  std::span<const size_t> lengths, DecoderCache& cache) {
  const size_t total =
      std::accumulate(lengths.begin(), lengths.end(), size_t{0});
  const Wire input =
      shape.embedding == EmbeddingSide::kSecure
          ? ev.Input({total}, TokenWidth(plan.config.vocab_size), 0)
          : ev.Input({total, static_cast<size_t>(plan.config.hidden_size)},
                     EmbeddedWidth(plan), plan.residual_frac);
  const bool draws =
      shape.sampling == SamplingSide::kSecure && shape.temperature > 0;
  Wire randomness;
  if (draws) {
    randomness = ev.Input({lengths.size()}, kUniformWidth, kUniformBits);
  }
  ev.BeginStep(total);
  const Share logits = DecoderForward(ev, plan, weights, input, lengths, cache);
  if (shape.sampling == SamplingSide::kClient) {
    ev.Output(logits);
    return;
  }
  const Evaluator::Scope scope(ev, "sampling");
  const Wire wire = TruncReduce(ev, ev.Open(logits), kLogitFrac - kFrac);
  ev.Output(Sample(ev, wire, randomness, SampleParamsOf(plan, shape)));
}

void Generate(Evaluator& ev, const DecoderPlan& plan,
              const DecoderMatrices& weights, const GenerationShape& shape) {
  DecoderCache cache;
  std::vector<size_t> lengths = shape.prompts;
  for (size_t step = 0; step < shape.steps && ev.ok(); ++step) {
    GenerateStep(ev, plan, weights, shape, lengths, cache);
    std::fill(lengths.begin(), lengths.end(), size_t{1});
  }
}

absl::StatusOr<std::unique_ptr<GenerationGateway>> GenerationGateway::Create(
    const DecoderPlan& plan, const GenerationShape& shape,
    const std::vector<std::vector<int64_t>>& prompts,
    const GenerationOptions& options, std::unique_ptr<Prg> masks,
    TokenFn on_token, EmbedFn embed) {
  RETURN_IF_ERROR(CheckShape(plan, shape));
  RETURN_IF_ERROR(CheckPrompts(plan, shape, prompts));
  if (shape.sampling == SamplingSide::kSecure &&
      options.sampling.repetition_penalty != 1) {
    return absl::InvalidArgumentError(
        "secure sampling has no repetition penalty: the parties do not know "
        "which tokens came before");
  }
  if (shape.embedding == EmbeddingSide::kClient && !embed) {
    return absl::InvalidArgumentError(
        "looking tokens up at the user's side needs the embedding's table");
  }
  std::unique_ptr<GenerationGateway> gateway(
      new GenerationGateway(plan, shape, options, std::move(masks),
                            std::move(on_token), std::move(embed)));
  for (size_t i = 0; i < prompts.size(); ++i) {
    SamplingOptions sampling = options.sampling;
    sampling.seed += i;  // sequences of a batch draw differently
    ASSIGN_OR_RETURN(const TokenSampler sampler,
                     TokenSampler::Create(sampling));
    gateway->samplers_.push_back(sampler);
  }
  gateway->history_ = prompts;
  gateway->ended_.assign(prompts.size(), false);
  gateway->sequences_.resize(prompts.size());
  gateway->PushStep(prompts);
  return gateway;
}

std::vector<UserSide::Message> GenerationGateway::InputsOf(size_t step) const {
  const size_t tokens =
      step == 0 ? shape_.prompt_tokens() : shape_.prompts.size();
  std::vector<Message> inputs;
  if (shape_.embedding == EmbeddingSide::kSecure) {
    inputs.push_back({tokens, TokenWidth(plan_.config.vocab_size)});
  } else {
    inputs.push_back({tokens * static_cast<size_t>(plan_.config.hidden_size),
                      EmbeddedWidth(plan_)});
  }
  if (shape_.sampling == SamplingSide::kSecure && shape_.temperature > 0) {
    inputs.push_back({shape_.prompts.size(), kUniformWidth});
  }
  return inputs;
}

UserSide::Message GenerationGateway::output() const {
  if (shape_.sampling == SamplingSide::kClient) {
    return {
        shape_.prompts.size() * static_cast<size_t>(plan_.config.vocab_size),
        plan_.logit_ring};
  }
  return {shape_.prompts.size(), TokenWidth(plan_.config.vocab_size)};
}

std::vector<GeneratedSequence> GenerationGateway::TakeSequences() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::move(sequences_);
}

void GenerationGateway::PushStep(
    const std::vector<std::vector<int64_t>>& tokens) {
  const bool embedded = shape_.embedding == EmbeddingSide::kClient;
  const size_t hidden =
      embedded ? static_cast<size_t>(plan_.config.hidden_size) : 1;
  std::vector<int64_t> values;
  for (size_t s = 0; s < tokens.size(); ++s) {
    const size_t before = history_[s].size() - tokens[s].size();
    for (size_t i = 0; i < tokens[s].size(); ++i) {
      values.resize(values.size() + hidden, tokens[s][i]);
      if (embedded) {
        embed_(tokens[s][i], before + i, std::span(values).last(hidden));
      }
    }
  }
  Words words(values.size());
  std::copy(values.begin(), values.end(), words.begin());
  PushInput(std::move(words), embedded ? EmbeddedWidth(plan_)
                                       : TokenWidth(plan_.config.vocab_size));
  if (shape_.sampling == SamplingSide::kSecure && shape_.temperature > 0) {
    Words uniform(tokens.size());
    for (uint64_t& u : uniform) u = rng_() >> (64 - kUniformBits);
    PushInput(std::move(uniform), kUniformWidth);
  }
}

int64_t GenerationGateway::ChooseFrom(const Words& sum, int width,
                                      size_t sequence) {
  if (shape_.sampling == SamplingSide::kSecure) {
    const int64_t token = ToSigned(sum[sequence], width);
    // A party that does not keep to the protocol could make it anything.
    return std::clamp<int64_t>(token, 0, plan_.config.vocab_size - 1);
  }
  const size_t vocabulary = static_cast<size_t>(plan_.config.vocab_size);
  std::vector<double> logits(vocabulary);
  for (size_t i = 0; i < vocabulary; ++i) {
    logits[i] = std::ldexp(
        static_cast<double>(ToSigned(sum[sequence * vocabulary + i], width)),
        -kLogitFrac);
  }
  if (step() == 0) sequences_[sequence].first_step_top = Largest(logits, 5);
  return samplers_[sequence].Next(logits, history_[sequence]);
}

void GenerationGateway::AddToken(std::unique_lock<std::mutex>& lock,
                                 size_t sequence, int64_t token) {
  history_[sequence].push_back(token);
  // What follows an end is padding, which nobody is told of.
  if (ended_[sequence]) return;
  sequences_[sequence].tokens.push_back(token);
  lock.unlock();
  const bool goes_on = on_token_(sequence, token);
  lock.lock();
  const std::vector<int64_t>& stops = options_.stop_tokens;
  ended_[sequence] =
      !goes_on || std::find(stops.begin(), stops.end(), token) != stops.end();
}

void GenerationGateway::TakeOutput(std::unique_lock<std::mutex>& lock,
                                   const Words& sum, int width) {
  std::vector<std::vector<int64_t>> next;
  for (size_t s = 0; s < sequences_.size(); ++s) {
    const int64_t token = ended_[s] ? 0 : ChooseFrom(sum, width, s);
    AddToken(lock, s, token);
    next.push_back({token});
  }
  if (step() + 1 == shape_.steps) return;
  if (std::find(ended_.begin(), ended_.end(), false) == ended_.end()) {
    Stop();
    return;
  }
  PushStep(next);
}

}  // namespace tacit
