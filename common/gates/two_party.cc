#include "common/gates/two_party.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/gates/cost.h"
#include "common/gates/dealer.h"
#include "common/gates/party.h"
#include "common/gates/plain.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

// The gateway's masked inputs, the same for both parties, and one party's
// output shares.
class RecordedGateway : public GatewayLink {
 public:
  RecordedGateway(const std::vector<InputValue>& inputs, const Prg& stream) {
    uint64_t position = 0;
    for (const InputValue& input : inputs) {
      Words hat(input.values.size());
      stream.Fill(position, std::span<uint64_t>(hat));
      position += PrgBlocks(hat.size());
      for (size_t i = 0; i < hat.size(); ++i) {
        hat[i] = Reduce(hat[i] + static_cast<uint64_t>(input.values[i]),
                        input.width);
      }
      inputs_.push_back({std::move(hat), input.width});
    }
  }

  absl::StatusOr<Words> Receive(size_t n, int width) override {
    if (next_ == inputs_.size()) {
      return absl::InvalidArgumentError("the gateway sent no such input");
    }
    const Masked& input = inputs_[next_++];
    if (input.words.size() != n || input.width != width) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the gateway sent ", input.words.size(), " elements of ", input.width,
          " bits where ", n, " of ", width, " were expected"));
    }
    return input.words.Clone();
  }
  absl::Status Send(Words share, int width) override {
    outputs_.push_back({std::move(share), width});
    return absl::OkStatus();
  }

  std::vector<OutputShare>& outputs() { return outputs_; }

 private:
  struct Masked {
    Words words;
    int width;
  };
  std::vector<Masked> inputs_;
  size_t next_ = 0;
  std::vector<OutputShare> outputs_;
};

// Shows each message to the observer before it is sent.
class ObservedChannel : public Channel {
 public:
  ObservedChannel(int party, const TwoPartyOptions& options, Channel& channel)
      : party_(party), options_(options), channel_(channel) {}

  absl::Status Exchange(std::span<const uint8_t> message,
                        std::span<uint8_t> reply) override {
    if (options_.observer) options_.observer(party_, message);
    return channel_.Exchange(message, reply);
  }
  void Abort(const absl::Status& status) override { channel_.Abort(status); }
  const Traffic& traffic() const override { return channel_.traffic(); }

 private:
  const int party_;
  const TwoPartyOptions& options_;
  Channel& channel_;
};

struct PartyRun {
  absl::Status status;
  Cost cost;
  uint64_t material_bytes = 0;
  double seconds = 0;
};

void RunParty(int party, const TwoPartyOptions& options,
              const SessionId& session, const Program& program, Channel& link,
              MaterialSource& source, GatewayLink& gateway, PartyRun& run) {
  ObservedChannel channel(party, options, link);
  const auto start = SteadyNow();
  ThreadPool pool(options.threads);
  MemorySessionLedger ledger;
  auto fail = [&](const absl::Status& status) {
    run.status = status;
    channel.Abort(status);
    source.Abort(status);
  };
  auto accelerator = MakeAccelerator(options.accelerator, party);
  if (!accelerator.ok()) return fail(accelerator.status());
  auto evaluator = PartyEvaluator::Create(
      {party, session, options.plan, options.rounding, accelerator->get()},
      channel, source, ledger, gateway, pool);
  if (!evaluator.ok()) return fail(evaluator.status());
  PartyEvaluator& ev = **evaluator;
  program(ev);
  run.status = ev.Finish();
  run.cost = ev.cost();
  // What travelled, not what the evaluator believes.
  run.cost.rounds = channel.traffic().rounds;
  run.cost.opened_bytes[party] = channel.traffic().sent_bytes;
  run.cost.material_bytes[party] = source.bytes();
  run.seconds = SecondsSince(start);
}

absl::Status RunDealer(const TwoPartyOptions& options,
                       const SessionSeeds& seeds, const SessionId& session,
                       const Program& program, MaterialSink& sink0,
                       MaterialSink& sink1, Cost& cost) {
  ThreadPool pool(options.threads);
  auto fail = [&](const absl::Status& status) {
    sink0.Abort(status);
    sink1.Abort(status);
    return status;
  };
  auto accelerator = MakeAccelerator(options.accelerator, -1);
  if (!accelerator.ok()) return fail(accelerator.status());
  auto dealer =
      DealerEvaluator::Create(seeds, session, options.plan, options.rounding,
                              sink0, sink1, pool, accelerator->get());
  if (!dealer.ok()) return fail(dealer.status());
  program(**dealer);
  cost = (*dealer)->cost();
  return (*dealer)->Finish();
}

absl::StatusOr<std::vector<std::vector<int64_t>>> Reconstruct(
    std::vector<OutputShare>& a, std::vector<OutputShare>& b) {
  if (a.size() != b.size()) {
    return absl::InternalError("the parties gave different numbers of outputs");
  }
  std::vector<std::vector<int64_t>> outputs;
  for (size_t k = 0; k < a.size(); ++k) {
    std::vector<int64_t>& out = outputs.emplace_back(a[k].words.size());
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = ToSigned(a[k].words[i] + b[k].words[i], a[k].width);
    }
  }
  return outputs;
}

}  // namespace

absl::Status RolesResult::FirstError() const {
  for (const absl::Status& status : party) {
    if (!status.ok() && !absl::IsUnavailable(status)) return status;
  }
  RETURN_IF_ERROR(dealer);
  for (const absl::Status& status : party) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

absl::StatusOr<RolesResult> RunRoles(
    const TwoPartyOptions& options, const SessionSeeds& seeds,
    const Program& program, GatewayLink& gateway0, GatewayLink& gateway1,
    const std::function<void(int party, const absl::Status&)>& ended) {
  ASSIGN_OR_RETURN(const SessionId session, GenerateSessionId(OsSeedSource()));
  InProcessOptions material_options = options.channel;
  if (options.prefetch) material_options.material_capacity = SIZE_MAX / 2;
  auto [channel0, channel1] = MakeInProcessChannel(options.channel);
  auto [sink0, source0] = MakeInProcessMaterial(material_options);
  auto [sink1, source1] = MakeInProcessMaterial(material_options);

  RolesResult result;
  PartyRun runs[2];
  Cost dealer_cost;
  std::thread dealer([&, &sink0 = *sink0, &sink1 = *sink1] {
    const auto begin = SteadyNow();
    result.dealer =
        RunDealer(options, seeds, session, program, sink0, sink1, dealer_cost);
    result.seconds_deal = SecondsSince(begin);
  });
  if (options.prefetch) dealer.join();
  auto run = [&](int b, Channel& channel, MaterialSource& source,
                 GatewayLink& gateway) {
    RunParty(b, options, session, program, channel, source, gateway, runs[b]);
    if (ended) ended(b, runs[b].status);
  };
  std::thread party1([&, &channel = *channel1, &source = *source1] {
    run(1, channel, source, gateway1);
  });
  run(0, *channel0, *source0, gateway0);
  party1.join();
  if (dealer.joinable()) dealer.join();

  result.counted.rounds = runs[0].cost.rounds;
  result.counted.dealer_aes = dealer_cost.dealer_aes;
  for (int b = 0; b < 2; ++b) {
    result.party[b] = runs[b].status;
    result.counted.opened_bytes[b] = runs[b].cost.opened_bytes[b];
    result.counted.material_bytes[b] = runs[b].cost.material_bytes[b];
    result.counted.party_aes[b] = runs[b].cost.party_aes[b];
    result.seconds_online[b] = runs[b].seconds;
  }
  return result;
}

absl::StatusOr<TwoPartyResult> RunTwoParty(
    const TwoPartyOptions& options, const SessionSeeds& seeds,
    const Program& program, const std::vector<InputValue>& inputs) {
  const auto start = SteadyNow();
  ASSIGN_OR_RETURN(const std::unique_ptr<Prg> stream,
                   GatewayStream(seeds.gateway));
  RecordedGateway gateway0(inputs, *stream), gateway1(inputs, *stream);
  ASSIGN_OR_RETURN(const RolesResult roles,
                   RunRoles(options, seeds, program, gateway0, gateway1));
  RETURN_IF_ERROR(roles.FirstError());
  TwoPartyResult result;
  ASSIGN_OR_RETURN(result.outputs,
                   Reconstruct(gateway0.outputs(), gateway1.outputs()));
  result.counted = roles.counted;
  result.seconds_deal = roles.seconds_deal;
  for (int b = 0; b < 2; ++b) {
    result.seconds_online[b] = roles.seconds_online[b];
  }
  result.seconds_total = SecondsSince(start);
  return result;
}

absl::StatusOr<std::vector<std::vector<int64_t>>> RunPlain(
    const TwoPartyOptions& options, const SessionSeeds& seeds,
    const Program& program, const std::vector<InputValue>& inputs) {
  ThreadPool pool(options.threads);
  ASSIGN_OR_RETURN(auto plain,
                   PlainEvaluator::Create(seeds, options.rounding, pool));
  for (const InputValue& input : inputs) {
    Words words(input.values.size());
    std::copy(input.values.begin(), input.values.end(), words.begin());
    plain->PushInput(std::move(words));
  }
  program(*plain);
  RETURN_IF_ERROR(plain->status());
  std::vector<std::vector<int64_t>> outputs;
  for (const OutputShare& out : plain->TakeOutputs()) {
    std::vector<int64_t>& values = outputs.emplace_back();
    for (uint64_t word : out.words) values.push_back(ToSigned(word, out.width));
  }
  return outputs;
}

absl::StatusOr<Cost> DeclaredCost(const Program& program, Rounding rounding) {
  CostEvaluator ev(rounding);
  program(ev);
  ev.Flush();
  RETURN_IF_ERROR(ev.status());
  return ev.cost();
}

const StaticMatrix& Pick(const Evaluator& ev,
                         const StaticMatrixShares& shares) {
  if (ev.is_dealer()) return shares.dealer;
  if (ev.is_party()) return shares.party[ev.party()];
  return shares.plain;
}

}  // namespace tacit
