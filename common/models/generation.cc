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

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

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

absl::StatusOr<Words> GenerationGateway::Receive(int party, size_t n,
                                                 int width) {
  std::unique_lock<std::mutex> lock(mutex_);
  const size_t index = received_[party]++;
  changed_.wait(lock, [&] { return index < inputs_.size() || !end_.ok(); });
  if (index >= inputs_.size()) return end_;
  const Input& input = inputs_[index];
  if (input.words.size() != n || input.width != width) {
    return absl::InternalError(
        absl::StrCat("the program asks for ", n, " words of ", width,
                     " bits, the next input", " has ", input.words.size(),
                     " of ", input.width));
  }
  return input.words.Clone();
}

absl::Status GenerationGateway::Send(int party, Words share, int width) {
  std::lock_guard<std::mutex> lock(mutex_);
  const bool tokens = shape_.sampling == SamplingSide::kSecure;
  const size_t expected =
      shape_.prompts.size() *
      (tokens ? 1 : static_cast<size_t>(plan_.config.vocab_size));
  if (share.size() != expected || !shares_[party].empty() ||
      step_ >= shape_.steps) {
    return absl::InternalError(absl::StrCat(
        "party ", party, " sent an output of ", share.size(),
        " words where step ", step_, " of ", shape_.steps, " has ", expected));
  }
  shares_[party] = std::move(share);
  if (shares_[1 - party].empty()) return absl::OkStatus();
  Words sum(expected);
  for (size_t i = 0; i < expected; ++i) {
    sum[i] = shares_[0][i] + shares_[1][i];
  }
  for (Words& words : shares_) words.Reset();
  TakeOutput(sum, width);
  return absl::OkStatus();
}

void GenerationGateway::End(const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (end_.ok()) end_ = status;
  changed_.notify_all();
}

bool GenerationGateway::stopped() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stopped_;
}
double GenerationGateway::seconds_first() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return seconds_first_;
}
double GenerationGateway::seconds_last() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return seconds_last_;
}
std::vector<GeneratedSequence> GenerationGateway::TakeSequences() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::move(sequences_);
}

void GenerationGateway::PushMasked(Words values, int width) {
  Words hat(values.size());
  masks_->Fill(position_, std::span<uint64_t>(hat));
  position_ += PrgBlocks(hat.size());
  for (size_t i = 0; i < hat.size(); ++i) {
    hat[i] = Reduce(hat[i] + values[i], width);
  }
  inputs_.push_back({std::move(hat), width});
  changed_.notify_all();
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
  PushMasked(std::move(words), embedded ? EmbeddedWidth(plan_)
                                        : TokenWidth(plan_.config.vocab_size));
  if (shape_.sampling == SamplingSide::kSecure && shape_.temperature > 0) {
    Words uniform(tokens.size());
    for (uint64_t& u : uniform) u = rng_() >> (64 - kUniformBits);
    PushMasked(std::move(uniform), kUniformWidth);
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
  if (step_ == 0) sequences_[sequence].first_step_top = Largest(logits, 5);
  return samplers_[sequence].Next(logits, history_[sequence]);
}

void GenerationGateway::AddToken(size_t sequence, int64_t token) {
  history_[sequence].push_back(token);
  // What follows an end is padding, which nobody is told of.
  if (ended_[sequence]) return;
  sequences_[sequence].tokens.push_back(token);
  const bool goes_on = on_token_(sequence, token);
  const std::vector<int64_t>& stops = options_.stop_tokens;
  ended_[sequence] =
      !goes_on || std::find(stops.begin(), stops.end(), token) != stops.end();
}

void GenerationGateway::TakeOutput(const Words& sum, int width) {
  seconds_last_ = SecondsSince(start_);
  if (step_ == 0) seconds_first_ = seconds_last_;
  std::vector<std::vector<int64_t>> next;
  for (size_t s = 0; s < sequences_.size(); ++s) {
    const int64_t token = ended_[s] ? 0 : ChooseFrom(sum, width, s);
    AddToken(s, token);
    next.push_back({token});
  }
  if (++step_ == shape_.steps) return;
  if (std::find(ended_.begin(), ended_.end(), false) == ended_.end()) {
    stopped_ = true;
    if (end_.ok()) end_ = absl::CancelledError("the gateway has stopped");
    changed_.notify_all();
    return;
  }
  PushStep(next);
}

}  // namespace tacit
