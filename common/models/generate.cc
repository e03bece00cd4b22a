#include "common/models/generate.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/channel/in_process.h"
#include "common/gates/dealer.h"
#include "common/gates/party.h"

namespace tacit {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// The gateway: masks token ids, adds the parties' shares of logits, chooses.
class Gateway {
 public:
  Gateway(const DecoderPlan& plan, std::span<const int64_t> prompt,
          const GenerateOptions& options, const TokenSampler& sampler,
          std::unique_ptr<Prg> masks,
          const std::function<bool(int64_t)>& on_token)
      : plan_(plan),
        options_(options),
        sampler_(sampler),
        masks_(std::move(masks)),
        on_token_(on_token),
        history_(prompt.begin(), prompt.end()),
        start_(Clock::now()) {
    PushInput(prompt);
  }

  absl::StatusOr<Words> Receive(int party, size_t n, int width) {
    std::unique_lock<std::mutex> lock(mutex_);
    const size_t index = received_[party]++;
    changed_.wait(lock, [&] { return index < inputs_.size() || !end_.ok(); });
    if (index >= inputs_.size()) return end_;
    const Words& input = inputs_[index];
    if (input.size() != n || width != TokenWidth(plan_.config.vocab_size)) {
      return absl::InternalError("the program asks for other tokens");
    }
    return input.Clone();
  }

  absl::Status Send(int party, Words share, int width) {
    std::unique_lock<std::mutex> lock(mutex_);
    shares_[party] = std::move(share);
    if (shares_[1 - party].size() != shares_[party].size()) {
      return absl::OkStatus();  // the other party's is still to come
    }
    std::vector<double> logits(shares_[party].size());
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] = std::ldexp(
          static_cast<double>(ToSigned(shares_[0][i] + shares_[1][i], width)),
          -kLogitFrac);
    }
    for (Words& words : shares_) words.Reset();
    Choose(logits);
    return absl::OkStatus();
  }

  // Wakes whoever waits for an input that will not come.
  void End(const absl::Status& status) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (end_.ok()) end_ = status;
    changed_.notify_all();
  }

  bool stopped() const { return stopped_; }
  GenerateResult TakeResult() { return std::move(result_); }

 private:
  void PushInput(std::span<const int64_t> tokens) {
    Words hat(tokens.size());
    masks_->Fill(position_, std::span<uint64_t>(hat));
    position_ += PrgBlocks(hat.size());
    for (size_t i = 0; i < hat.size(); ++i) {
      hat[i] = Reduce(hat[i] + static_cast<uint64_t>(tokens[i]),
                      TokenWidth(plan_.config.vocab_size));
    }
    inputs_.push_back(std::move(hat));
    changed_.notify_all();
  }

  void Choose(const std::vector<double>& logits) {
    const Clock::time_point now = Clock::now();
    if (result_.tokens.empty()) {
      result_.seconds_prefill = Seconds(start_, now);
      std::vector<int64_t> order(logits.size());
      std::iota(order.begin(), order.end(), int64_t{0});
      const size_t top = std::min<size_t>(5, order.size());
      std::partial_sort(
          order.begin(), order.begin() + top, order.end(),
          [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
      for (size_t i = 0; i < top; ++i) {
        result_.first_step_top.emplace_back(order[i], logits[order[i]]);
      }
    }
    result_.seconds_decode = Seconds(start_, now) - result_.seconds_prefill;
    const int64_t token = sampler_.Next(logits, history_);
    history_.push_back(token);
    result_.tokens.push_back(token);
    const bool goes_on = on_token_(token);
    const bool is_stop =
        std::find(options_.stop_tokens.begin(), options_.stop_tokens.end(),
                  token) != options_.stop_tokens.end();
    if (result_.tokens.size() == options_.max_tokens) return;
    if (!goes_on || is_stop) {
      stopped_ = true;
      if (end_.ok()) end_ = absl::CancelledError("the gateway has stopped");
      changed_.notify_all();
      return;
    }
    const std::array<int64_t, 1> next = {token};
    PushInput(next);
  }

  const DecoderPlan& plan_;
  const GenerateOptions& options_;
  TokenSampler sampler_;
  const std::unique_ptr<Prg> masks_;
  const std::function<bool(int64_t)>& on_token_;
  std::vector<int64_t> history_;
  const Clock::time_point start_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Words> inputs_;
  uint64_t position_ = 0;
  size_t received_[2] = {0, 0};
  Words shares_[2];
  absl::Status end_;
  bool stopped_ = false;
  GenerateResult result_;
};

class Link : public GatewayLink {
 public:
  Link(int party, Gateway& gateway) : party_(party), gateway_(gateway) {}
  absl::StatusOr<Words> Receive(size_t n, int width) override {
    return gateway_.Receive(party_, n, width);
  }
  absl::Status Send(Words share, int width) override {
    return gateway_.Send(party_, std::move(share), width);
  }

 private:
  const int party_;
  Gateway& gateway_;
};

// What every role runs: prefill, then a step for each further token.
void Generate(Evaluator& ev, const DecoderPlan& plan,
              const DecoderMatrices& weights, size_t prompt, size_t steps) {
  const int width = TokenWidth(plan.config.vocab_size);
  DecoderCache cache;
  Wire tokens = ev.Input({prompt}, width, 0);
  for (size_t step = 0; ev.ok(); ++step) {
    ev.Output(DecoderForward(ev, plan, weights, tokens, cache));
    if (step + 1 == steps) break;
    tokens = ev.Input({1}, width, 0);
  }
}

absl::Status CheckPrompt(const DecoderPlan& plan,
                         std::span<const int64_t> prompt, size_t max_tokens) {
  if (prompt.empty()) {
    return absl::InvalidArgumentError("the prompt has no token");
  }
  if (max_tokens == 0) {
    return absl::InvalidArgumentError("max-tokens must be at least 1");
  }
  // The last token chosen is not fed back.
  if (prompt.size() > plan.context ||
      max_tokens - 1 > plan.context - prompt.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a prompt of ", prompt.size(), " tokens and ", max_tokens,
                     " more exceed the context of ", plan.context));
  }
  for (int64_t token : prompt) {
    if (token < 0 || token >= plan.config.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a token lies outside the vocabulary of ", plan.config.vocab_size));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GenerateResult> GenerateInProcess(
    const DecoderPlan& plan, const DecoderShares& shares,
    std::span<const int64_t> prompt, const GenerateOptions& options,
    const std::function<bool(int64_t token)>& on_token) {
  RETURN_IF_ERROR(CheckPrompt(plan, prompt, options.max_tokens));
  ASSIGN_OR_RETURN(const TokenSampler sampler,
                   TokenSampler::Create(options.sampling));
  ASSIGN_OR_RETURN(const SessionSeeds seeds,
                   SessionSeeds::Generate(OsSeedSource()));
  ASSIGN_OR_RETURN(const SessionId session, GenerateSessionId(OsSeedSource()));
  ASSIGN_OR_RETURN(std::unique_ptr<Prg> masks, GatewayStream(seeds.gateway));
  const PlanDigest digest = {};  // one plan object serves all roles here
  Gateway gateway(plan, prompt, options, sampler, std::move(masks), on_token);

  auto [channel0, channel1] = MakeInProcessChannel();
  auto [sink0, source0] = MakeInProcessMaterial();
  auto [sink1, source1] = MakeInProcessMaterial();
  Channel* const channels[2] = {channel0.get(), channel1.get()};
  MaterialSource* const sources[2] = {source0.get(), source1.get()};

  absl::Status dealer_status;
  uint64_t dealer_aes = 0;
  double seconds_material = 0;
  std::thread dealer([&, &sink0 = *sink0, &sink1 = *sink1] {
    const Clock::time_point begin = Clock::now();
    ThreadPool pool(options.threads);
    auto ev = DealerEvaluator::Create(seeds, session, digest, options.rounding,
                                      sink0, sink1, pool);
    if (ev.ok()) {
      Generate(**ev, plan, shares.dealer, prompt.size(), options.max_tokens);
      dealer_aes = (*ev)->cost().dealer_aes;
      dealer_status = (*ev)->Finish();
    } else {
      dealer_status = ev.status();
      sink0.Abort(dealer_status);
      sink1.Abort(dealer_status);
    }
    seconds_material = Seconds(begin, Clock::now());
  });
  absl::Status statuses[2];
  Cost costs[2];
  auto run = [&](int b) {
    ThreadPool pool(options.threads);
    MemorySessionLedger ledger;
    Link link(b, gateway);
    auto ev =
        PartyEvaluator::Create({b, session, digest, options.rounding},
                               *channels[b], *sources[b], ledger, link, pool);
    if (ev.ok()) {
      Generate(**ev, plan, shares.party[b], prompt.size(), options.max_tokens);
      statuses[b] = (*ev)->Finish();
      costs[b] = (*ev)->cost();
    } else {
      statuses[b] = ev.status();
      channels[b]->Abort(statuses[b]);
      sources[b]->Abort(statuses[b]);
    }
    costs[b].rounds = channels[b]->traffic().rounds;
    costs[b].opened_bytes[b] = channels[b]->traffic().sent_bytes;
    costs[b].material_bytes[b] = sources[b]->bytes();
    if (!statuses[b].ok()) gateway.End(statuses[b]);
  };
  std::thread party1([&] { run(1); });
  run(0);
  party1.join();
  dealer.join();

  // After a stop the roles end with what is left over; that is no error.
  if (!gateway.stopped()) {
    for (const absl::Status& status : statuses) {
      if (!status.ok() && !absl::IsUnavailable(status)) return status;
    }
    RETURN_IF_ERROR(dealer_status);
    for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  }
  GenerateResult result = gateway.TakeResult();
  result.seconds_material = seconds_material;
  result.counted.rounds = costs[0].rounds;
  result.counted.dealer_aes = dealer_aes;
  for (int b = 0; b < 2; ++b) {
    result.counted.opened_bytes[b] = costs[b].opened_bytes[b];
    result.counted.material_bytes[b] = costs[b].material_bytes[b];
    result.counted.party_aes[b] = costs[b].party_aes[b];
  }
  return result;
}

}  // namespace tacit
