// A whole program over the network: dealer, parties and gateway, each behind
// its gRPC end, against the plain evaluator.

#include <future>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "common/gates/compare.h"
#include "common/gates/dealer.h"
#include "common/gates/extend.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/party.h"
#include "common/gates/select.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"
#include "common/ring/elementwise.h"
#include "gtest/gtest.h"
#include "services/transport/testing.h"

namespace tacit {
namespace {

constexpr size_t kRows = 5;
constexpr size_t kColumns = 64;
constexpr int kWidth = 48;

// Everything of one deployment: a dealer, two parties, a gateway.
class Deployment {
 public:
  Deployment(const TransportOptions& options,
             const TestCredentials& credentials, const Program& program,
             const SessionSeeds& seeds)
      : options_(options),
        program_(program),
        seeds_(seeds),
        dealer_server_(options, credentials, {&dealer_}) {
    for (int b = 0; b < 2; ++b) {
      party_[b].server.emplace(
          options, credentials,
          std::vector<grpc::Service*>{&party_[b].inference},
          &party_[b].peer.service);
      outbox_[b] = dealer_.Add(session_, b, options);
      material_[b] = *MaterialDialer::Create(dealer_server_.address(),
                                             credentials.client, options);
      gateway_[b].emplace(party_[b].server->address(), credentials.client,
                          options);
    }
    peers_ = *PeerDialer::Create(party_[1].server->address(),
                                 credentials.client, options);
    for (int b = 0; b < 2; ++b) {
      party_[b].thread = std::thread([this, b] { RunParty(b); });
    }
    dealing_ = std::thread([this] { RunDealer(); });
  }
  ~Deployment() { Join(); }

  // The gateway: sends inputs, adds up the shares of one output.
  absl::StatusOr<std::vector<int64_t>> Infer(
      const std::vector<InputValue>& inputs, size_t n, int width) {
    std::unique_ptr<InferCall> call[2];
    for (int b = 0; b < 2; ++b) call[b] = gateway_[b]->Start(session_, {}, {});
    ASSIGN_OR_RETURN(const auto stream, GatewayStream(seeds_.gateway));
    uint64_t position = 0;
    for (const InputValue& input : inputs) {
      Words hat(input.values.size());
      stream->Fill(position, std::span<uint64_t>(hat));
      position += PrgBlocks(hat.size());
      for (size_t i = 0; i < hat.size(); ++i) {
        hat[i] = Reduce(hat[i] + static_cast<uint64_t>(input.values[i]),
                        input.width);
      }
      for (auto& c : call) RETURN_IF_ERROR(c->SendInput(hat, input.width));
    }
    Words share[2];
    for (int b = 0; b < 2; ++b) {
      ASSIGN_OR_RETURN(share[b],
                       call[b]->ReceiveShare(n, width, absl::Seconds(60)));
    }
    std::vector<int64_t> output(n);
    for (size_t i = 0; i < n; ++i) {
      output[i] = ToSigned(share[0][i] + share[1][i], width);
    }
    for (auto& c : call) RETURN_IF_ERROR(c->Finish(absl::Seconds(60)));
    return output;
  }

  std::unique_ptr<InferCall> StartAt(int b) {
    return gateway_[b]->Start(session_, {}, {});
  }
  void Join() {
    if (dealing_.joinable()) dealing_.join();
    for (Party& party : party_) {
      if (party.thread.joinable()) party.thread.join();
    }
  }
  void StopDealer() { dealer_server_.Stop(); }
  void StopParty(int b) { party_[b].server->Stop(); }
  const absl::Status& party_status(int b) const { return party_[b].status; }
  const absl::Status& dealer_status() const { return dealer_status_; }

 private:
  struct Party {
    explicit Party(const TransportOptions& options)
        : peer(options),
          inference(options, [this](std::unique_ptr<InferSession> session) {
            started.set_value(std::move(session));
          }) {}

    std::promise<std::unique_ptr<InferSession>> started;
    TestPartyService peer;
    TestInferenceService inference;
    std::optional<TestServer> server;
    std::thread thread;
    absl::Status status;
  };

  void RunParty(int b) {
    Party& party = party_[b];
    auto gateway = party.started.get_future().get();
    party.status = RunSession(b, *gateway);
    gateway->Finish(party.status);
  }

  absl::Status RunSession(int b, InferSession& gateway) {
    const SessionId session = gateway.session();
    auto source = material_[b]->Open(session, b);
    gateway.OnCancel([&, b] {
      source->Abort(absl::CancelledError("the gateway has cancelled"));
      party_[b].peer.registry.Withdraw(
          session, absl::CancelledError("the gateway has cancelled"));
    });
    std::unique_ptr<Channel> channel;
    if (b == 0) {
      channel = peers_->Dial(session);
    } else {
      ASSIGN_OR_RETURN(
          channel, party_[1].peer.registry.Accept(session, absl::Seconds(30)));
    }
    gateway.OnCancel([&] {
      source->Abort(absl::CancelledError("the gateway has cancelled"));
      channel->Abort(absl::CancelledError("the gateway has cancelled"));
    });
    const absl::Status status =
        Evaluate(b, session, *channel, *source, gateway);
    // Before channel and source go.
    gateway.OnCancel(nullptr);
    return status;
  }

  absl::Status Evaluate(int b, const SessionId& session, Channel& channel,
                        MaterialSource& source, InferSession& gateway) {
    ThreadPool pool(1);
    MemorySessionLedger ledger;
    ASSIGN_OR_RETURN(auto ev, PartyEvaluator::Create(
                                  {b, session, {}, Rounding::kStochastic},
                                  channel, source, ledger, gateway, pool));
    program_(*ev);
    return ev->Finish();
  }

  void RunDealer() {
    auto sink0 = outbox_[0]->MakeSink(), sink1 = outbox_[1]->MakeSink();
    ThreadPool pool(1);
    auto dealer = DealerEvaluator::Create(
        seeds_, session_, {}, Rounding::kStochastic, *sink0, *sink1, pool);
    if (dealer.ok()) program_(**dealer);
    dealer_status_ = dealer.ok() ? (*dealer)->Finish() : dealer.status();
  }

  const TransportOptions options_;
  const Program program_;
  const SessionSeeds seeds_;
  const SessionId session_ = TestSession(7);
  TestDealerService dealer_;
  Party party_[2] = {Party(options_), Party(options_)};
  TestServer dealer_server_;
  std::shared_ptr<MaterialOutbox> outbox_[2];
  std::unique_ptr<MaterialDialer> material_[2];
  std::unique_ptr<PeerDialer> peers_;
  std::optional<InferDialer> gateway_[2];
  std::thread dealing_;
  absl::Status dealer_status_;
};

// Layers of matrix product, truncation and ReLU: local products, comparisons
// with DPF keys, openings.
class TwoPartyTest : public testing::Test {
 protected:
  Program MakeProgram(int layers) const {
    return [this, layers](Evaluator& ev) {
      Wire x = ev.Input({kRows, kColumns}, kWidth, 0);
      for (int i = 0; i < layers && ev.ok(); ++i) {
        const Wire y = TruncReduce(
            ev, ev.Open(MatMulStatic(ev, x, Pick(ev, weights_), kWidth)), 8);
        const Wire z =
            ev.Open(Select(ev, Not(ev, IsNegative(ev, y, 30)), y, kWidth - 8));
        x = ev.Open(Extend(ev, z, kWidth));
      }
      ev.Output(ToShare(ev, x));
    };
  }
  std::vector<InputValue> Inputs() {
    return {{RandomValues(kRows * kColumns, -1000, 1000, rng_), kWidth}};
  }
  static TransportOptions Options() {
    TransportOptions options;
    options.frame_bytes = kMinFrameBytes;  // openings in several frames
    options.timeout = absl::Seconds(30);
    return options;
  }

  std::mt19937_64 rng_{7};  // test data, never key material
  const SessionSeeds seeds_ = TestSeeds();
  const StaticMatrixShares weights_ = TestMatrix(
      RandomValues(kColumns * kColumns, -60, 60, rng_), kColumns, kColumns, 0);
};

TEST_F(TwoPartyTest, TheNetworkGivesWhatThePlainEvaluatorGives) {
  for (bool tls : {false, true}) {
    const Program program = MakeProgram(4);
    const std::vector<InputValue> inputs = Inputs();
    Deployment deployment(Options(), tls ? Tls(MakeSelfSigned()) : Insecure(),
                          program, seeds_);
    const auto output = deployment.Infer(inputs, kRows * kColumns, kWidth);
    ASSERT_OK(output);
    deployment.Join();
    EXPECT_OK(deployment.dealer_status());
    const auto plain = RunPlain({}, seeds_, program, inputs);
    ASSERT_OK(plain);
    EXPECT_EQ(*output, (*plain)[0]);
  }
}

// A session that would go on for minutes ends at every role, with a reason,
// within a second of `fault`.
class FaultTest : public TwoPartyTest {
 protected:
  template <typename Fault>
  void Run(Fault fault) {
    deployment_.emplace(Options(), Insecure(), MakeProgram(100'000), seeds_);
    std::unique_ptr<InferCall> call[2];
    for (int b = 0; b < 2; ++b) call[b] = deployment_->StartAt(b);
    const Words input = Words::Zeroed(kRows * kColumns);
    for (auto& c : call) ASSERT_OK(c->SendInput(input, kWidth));
    absl::SleepFor(absl::Milliseconds(200));
    const absl::Time before = absl::Now();
    fault(call);
    deployment_->Join();
    EXPECT_LT(absl::Now() - before, absl::Seconds(1));
    for (int b = 0; b < 2; ++b) {
      EXPECT_FALSE(deployment_->party_status(b).ok());
    }
    EXPECT_EQ(deployment_->dealer_status().code(),
              absl::StatusCode::kUnavailable);
  }

  std::optional<Deployment> deployment_;
};

using Calls = std::unique_ptr<InferCall>[2];

TEST_F(FaultTest, AGatewayThatCancelsAtBoth) {
  Run([](Calls& call) {
    for (auto& c : call) c->Cancel(absl::CancelledError("enough"));
  });
  // The second may hear of it from its peer first.
  EXPECT_TRUE(absl::IsCancelled(deployment_->party_status(0)) ||
              absl::IsCancelled(deployment_->party_status(1)));
}

TEST_F(FaultTest, AGatewayThatCancelsAtOne) {
  Run([](Calls& call) { call[1]->Cancel(absl::CancelledError("enough")); });
  EXPECT_EQ(deployment_->party_status(1).code(), absl::StatusCode::kCancelled);
}

TEST_F(FaultTest, ALostDealer) {
  Run([this](Calls&) { deployment_->StopDealer(); });
  EXPECT_EQ(deployment_->party_status(0).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(FaultTest, ALostPartyOne) {
  Run([this](Calls&) { deployment_->StopParty(1); });
  EXPECT_EQ(deployment_->party_status(0).code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tacit
