// All roles' services in one process, under seeds that the test knows: what a
// user gets over gRPC is what the plain evaluator computes, bit for bit, at the
// declared cost.
#include <grpcpp/create_channel.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/gates/testing.h"
#include "common/models/model.h"
#include "common/models/testing.h"
#include "common/nn/embedding.h"
#include "gpu/session/host_device_testing.h"
#include "services/dealer/dealer_service.h"
#include "services/gateway/client.h"
#include "services/party/party_service.h"
#include "services/runtime/served_model.h"
#include "services/security/authorizer.h"
#include "services/transport/status.h"
#include "services/transport/testing.h"

namespace tacit {
namespace {

// Remembers what it gave, so that a test can have the same masks.
class RecordingSource : public SeedSource {
 public:
  absl::StatusOr<Seed> Next() override {
    ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
    seeds_.push_back(seed);
    return seed;
  }
  // The seeds of the first session that a dealer made of it.
  absl::StatusOr<SessionSeeds> FirstSession() const {
    Replay replay(seeds_);
    RETURN_IF_ERROR(GenerateSessionId(replay).status());
    return SessionSeeds::Generate(replay);
  }

 private:
  class Replay : public SeedSource {
   public:
    explicit Replay(const std::vector<Seed>& seeds) : seeds_(seeds) {}
    absl::StatusOr<Seed> Next() override { return seeds_.at(next_++); }

   private:
    const std::vector<Seed>& seeds_;
    size_t next_ = 0;
  };
  std::vector<Seed> seeds_;
};

// A model and every role's part of it.
struct SharedModel {
  ModelPlan plan;
  ModelMatrices dealer, party[2], plain;
};

template <typename Plan, typename Shares>
SharedModel Shared(Plan plan, Shares shares) {
  return {std::move(plan),
          std::move(shares.dealer),
          {std::move(shares.party[0]), std::move(shares.party[1])},
          std::move(shares.plain)};
}

absl::StatusOr<SharedModel> MakeModel(Architecture architecture) {
  constexpr size_t kContext = 32;
  const ModelWeights weights = RandomModel(architecture);
  ASSIGN_OR_RETURN(const ModelRanges ranges, Calibrate(weights, kContext, 1));
  const Seed seed = TestSeeds().gateway;
  ASSIGN_OR_RETURN(ModelPlan plan,
                   PlanOf(weights.config,
                          {.context = kContext, .bounds = BoundsOf(ranges)}));
  if (auto* decoder = std::get_if<DecoderPlan>(&plan)) {
    ASSIGN_OR_RETURN(
        DecoderShares shares,
        ShareDecoder(*decoder, weights, WeightMode::kDealerHeld, seed));
    return Shared(std::move(*decoder), std::move(shares));
  }
  auto& encoder = std::get<EncoderPlan>(plan);
  ASSIGN_OR_RETURN(
      EncoderShares shares,
      ShareEncoder(encoder, weights, WeightMode::kDealerHeld, seed));
  return Shared(std::move(encoder), std::move(shares));
}

TwoPartyOptions WithRounding(Rounding rounding) {
  TwoPartyOptions options;
  options.rounding = rounding;
  return options;
}

// Value of a counter as metrics show it.
uint64_t Counter(const Metrics& metrics, const std::string& name) {
  for (absl::string_view line : absl::StrSplit(metrics.Render(), '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    double value;
    if (parts.first == name && absl::SimpleAtod(parts.second, &value)) {
      return static_cast<uint64_t>(value);
    }
  }
  ADD_FAILURE() << "no metric " << name;
  return 0;
}

TransportOptions OptionsOf(ServiceRole role) {
  TransportOptions options;
  options.user_agent = ClaimedIdentity({"tacit.local", role, ""});
  return options;
}

// Dealer and parties behind servers on loopback.
class Roles {
 public:
  // Dealer and parties compute on devices, if there are any.
  explicit Roles(SharedModel model, gpu::HostDevices* devices = nullptr)
      : plan_(model.plan),
        accelerator_(devices ? devices->factory() : AcceleratorFactory()),
        models_{Served(std::move(model.dealer)),
                Served(std::move(model.party[0])),
                Served(std::move(model.party[1]))} {
    std::string folder =
        (std::filesystem::temp_directory_path() / "tacit.XXXXXX").string();
    folder_ = mkdtemp(folder.data());
    LedgerOptions ledger_options;
    ledger_options.owner = "dealer";
    auto ledger = DurableSessionLedger::Open(folder_ + "/ledger",
                                             std::move(ledger_options));
    EXPECT_OK(ledger);
    ledger_ = *std::move(ledger);
    StartDealer();
    StartParty(1);
    StartParty(0);
    ClientOptions options;
    options.dealer_address = dealer_server_->address();
    options.dealer_credentials = credentials_.client;
    for (int b = 0; b < 2; ++b) {
      options.party_address[b] = party_[b].server->address();
      options.party_credentials[b] = credentials_.client;
    }
    options.transport = OptionsOf(ServiceRole::kGateway);
    auto client = GatewayClient::Create(plan_, digest_, options);
    EXPECT_OK(client);
    client_ = *std::move(client);
  }
  ~Roles() {
    Stop();
    std::filesystem::remove_all(folder_);
  }

  GatewayClient& client() { return *client_; }
  // What a gateway of another make would use.
  absl::StatusOr<SessionId> OpenSession(const v1::SessionShape& shape) const {
    const TransportOptions options = OptionsOf(ServiceRole::kGateway);
    v1::DealerService::Stub stub(grpc::CreateCustomChannel(
        dealer_server_->address(), credentials_.client,
        MakeChannelArguments(options, options.max_message_bytes)));
    grpc::ClientContext context;
    v1::OpenSessionRequest request;
    request.set_plan_digest(digest_.data(), digest_.size());
    *request.mutable_shape() = shape;
    v1::OpenSessionResponse response;
    RETURN_IF_ERROR(
        FromGrpcStatus(stub.OpenSession(&context, request, &response)));
    return ParseSessionId(response.session_id());
  }
  std::unique_ptr<InferCall> Start(int party, const SessionId& id,
                                   const v1::SessionShape& shape) const {
    return InferDialer(party_[party].server->address(), credentials_.client,
                       OptionsOf(ServiceRole::kGateway))
        .Start(id, digest_, shape);
  }
  const RecordingSource& seeds() const { return seeds_; }
  const Metrics& dealer_metrics() const { return dealer_metrics_; }
  const Metrics& party_metrics(int b) const { return party_[b].metrics; }
  // Everything has been counted afterwards.
  void Stop() {
    for (Party& party : party_) {
      if (party.server) party.server->Stop();
      party.service->Stop();
    }
    dealer_->Stop();
    for (Party& party : party_) party.server.reset();
    dealer_server_.reset();
  }

 private:
  struct Party {
    Metrics metrics{"party"};
    MemorySessionLedger ledger;
    std::unique_ptr<PartyService> service;
    std::optional<TestServer> server;
  };

  ServedModel Served(ModelMatrices matrices) const {
    return {"model", plan_, digest_, WeightMode::kDealerHeld,
            std::move(matrices)};
  }

  void StartDealer() {
    DealerOptions options;
    options.transport = OptionsOf(ServiceRole::kDealer);
    options.prefetch_sessions = 0;
    options.accelerator = accelerator_;
    const auto authorizer = Authorizer::Insecure(
        {"tacit.local", ServiceRole::kDealer, ""}, TacitMethodRules());
    dealer_ = std::make_unique<DealerService>(
        models_[0], options, *ledger_, seeds_, dealer_metrics_,
        [authorizer](const grpc::ServerContextBase& context) {
          return authorizer->PeerParty(context);
        });
    dealer_server_.emplace(options.transport, credentials_,
                           std::vector<grpc::Service*>{dealer_.get()});
  }

  void StartParty(int b) {
    Party& party = party_[b];
    PartyOptions options;
    options.party = b;
    options.accelerator = accelerator_;
    options.transport = OptionsOf(PartyRole(b));
    std::unique_ptr<PeerDialer> dialer;
    if (b == 0) {
      dialer = *PeerDialer::Create(party_[1].server->address(),
                                   credentials_.client, options.transport);
    }
    party.service = std::make_unique<PartyService>(
        models_[1 + b], options, party.ledger, party.metrics,
        [](const grpc::ServerContextBase&) { return std::string("gateway"); },
        std::move(dialer),
        *MaterialDialer::Create(dealer_server_->address(), credentials_.client,
                                options.transport));
    party.server.emplace(
        options.transport, credentials_,
        std::vector<grpc::Service*>{party.service->inference()},
        b == 1 ? &party.service->peer() : nullptr);
  }

  const ModelPlan plan_;
  const AcceleratorFactory accelerator_;
  const PlanDigest digest_ = {1, 2, 3};
  const ServedModel models_[3];  // dealer, party 0, party 1
  const TestCredentials credentials_ = Insecure();
  std::string folder_;
  RecordingSource seeds_;
  std::unique_ptr<DurableSessionLedger> ledger_;
  Metrics dealer_metrics_{"dealer"};
  std::unique_ptr<DealerService> dealer_;
  std::optional<TestServer> dealer_server_;
  Party party_[2];
  std::unique_ptr<GatewayClient> client_;
};

// The roles' counters are what the program declares.
void ExpectDeclared(const Roles& roles, const Program& program,
                    Rounding rounding) {
  const auto declared = DeclaredCost(program, rounding);
  ASSERT_OK(declared);
  for (int b = 0; b < 2; ++b) {
    const Metrics& metrics = roles.party_metrics(b);
    EXPECT_EQ(Counter(metrics, "tacit_rounds_total"), declared->rounds);
    EXPECT_EQ(Counter(metrics, "tacit_opened_bytes_total{direction=\"sent\"}"),
              declared->opened_bytes[b]);
    EXPECT_EQ(
        Counter(metrics, "tacit_material_bytes_total{direction=\"received\"}"),
        declared->material_bytes[b]);
  }
  EXPECT_EQ(Counter(roles.dealer_metrics(),
                    "tacit_material_bytes_total{direction=\"sent\"}"),
            declared->material_bytes[0] + declared->material_bytes[1]);
}

// Roles on the host, and on devices.
class ServicesTest : public testing::TestWithParam<std::tuple<Rounding, bool>> {
 protected:
  Rounding rounding() const { return std::get<0>(GetParam()); }
  gpu::HostDevices* devices() {
    return std::get<1>(GetParam()) ? &devices_ : nullptr;
  }

 private:
  gpu::HostDevices devices_{{-1, 0, 1}};
};

TEST_P(ServicesTest, ClassifyAsThePlainEvaluatorDoes) {
  auto model = MakeModel(Architecture::kBertClassifier);
  ASSERT_OK(model);
  const ModelPlan plan = model->plan;
  const ModelMatrices plain = model->plain;
  Roles roles(*std::move(model), devices());
  const TextBatch texts = {{{1, 2, 3, 4}, {36}, {5, 6}},
                           {{0, 0, 1, 1}, {0}, {0, 1}}};
  const auto got = roles.client().Classify(texts, {{}, rounding()});
  ASSERT_OK(got);
  EXPECT_EQ(got->sessions, 1);
  roles.Stop();
  const ProgramShape shape = ShapeOf(texts);
  const Program program = [&](Evaluator& ev) {
    RunModelProgram(ev, plan, plain, shape);
  };
  const auto seeds = roles.seeds().FirstSession();
  ASSERT_OK(seeds);
  const auto want = RunPlain(WithRounding(rounding()), *seeds, program,
                             {{{1, 2, 3, 4, 36, 5, 6}, TokenWidth(37)},
                              {{0, 0, 1, 1, 0, 0, 1}, TokenWidth(2)}});
  ASSERT_OK(want);
  ASSERT_EQ(got->logits.size(), 3u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(
        got->logits[i / 3][i % 3],
        std::ldexp(static_cast<double>((*want)[0][i]), -kEncoderLogitFrac));
  }
  ExpectDeclared(roles, program, rounding());
}

TEST_P(ServicesTest, GenerateAsThePlainEvaluatorDoes) {
  auto model = MakeModel(Architecture::kLlama);
  ASSERT_OK(model);
  const ModelPlan plan = model->plan;
  const ModelMatrices plain = model->plain;
  Roles roles(*std::move(model), devices());
  InferOptions options;
  options.max_tokens = 1;  // a further one would need the first as an input
  options.rounding = rounding();
  const std::vector<std::vector<int64_t>> prompts = {{1, 2, 3}, {30}};
  const auto got = roles.client().Infer(prompts, options,
                                        [](size_t, int64_t) { return true; });
  ASSERT_OK(got);
  roles.Stop();
  const ProgramShape shape =
      MakeShape(prompts, 1, SamplingSide::kClient, EmbeddingSide::kSecure, {});
  const Program program = [&](Evaluator& ev) {
    RunModelProgram(ev, plan, plain, shape);
  };
  const auto seeds = roles.seeds().FirstSession();
  ASSERT_OK(seeds);
  const auto want = RunPlain(WithRounding(rounding()), *seeds, program,
                             {{{1, 2, 3, 30}, TokenWidth(37)}});
  ASSERT_OK(want);
  for (size_t s = 0; s < prompts.size(); ++s) {
    for (const auto& [id, logit] : got->sequences[s].first_step_top) {
      EXPECT_EQ(logit, std::ldexp(static_cast<double>((*want)[0][s * 37 + id]),
                                  -kLogitFrac));
    }
  }
  ExpectDeclared(roles, program, rounding());
}

INSTANTIATE_TEST_SUITE_P(Roundings, ServicesTest,
                         testing::Combine(testing::Values(Rounding::kStochastic,
                                                          Rounding::kFaithful),
                                          testing::Bool()));

// Sessions on one device share its weights; when they have ended, nothing of
// theirs is left.
TEST(ServicesDeviceTest, SessionsAtOnceShareADevice) {
  auto model = MakeModel(Architecture::kLlama);
  ASSERT_OK(model);
  gpu::HostDevices devices({-1, 0, 1});
  {
    Roles roles(*std::move(model), &devices);
    std::vector<std::thread> users;
    std::vector<std::vector<int64_t>> tokens(4);
    for (size_t i = 0; i < tokens.size(); ++i) {
      users.emplace_back([&, i] {
        InferOptions options;
        options.max_tokens = 4;
        const auto got = roles.client().Infer(
            {{1, 2, 3}}, options, [](size_t, int64_t) { return true; });
        EXPECT_OK(got);
        if (got.ok()) tokens[i] = got->sequences[0].tokens;
      });
    }
    for (std::thread& user : users) user.join();
    for (const std::vector<int64_t>& one : tokens) {
      EXPECT_EQ(one.size(), 4u);
      EXPECT_EQ(one, tokens[0]);
    }
  }
  EXPECT_EQ(devices.bytes_left(), 0u);
}

// Its user is told, and the next session is served.
TEST(ServicesDeviceTest, ADeviceWithTooLittleMemoryEndsTheSessionOnly) {
  auto model = MakeModel(Architecture::kBertClassifier);
  ASSERT_OK(model);
  gpu::HostDevices devices({1}, /*capacity=*/size_t{1} << 20);
  Roles roles(*std::move(model), &devices);
  const TextBatch large = {{std::vector<int64_t>(32, 7)}, {}};
  const absl::Status status = roles.client().Classify(large, {}).status();
  // The party's own words, or those of its peer that lost it.
  EXPECT_TRUE(absl::IsResourceExhausted(status) || absl::IsUnavailable(status))
      << status;
  EXPECT_THAT(status.message(), testing::HasSubstr("bytes of device memory"));
  EXPECT_OK(roles.client().Classify({{{1, 2, 3}}, {}}, {}));
}

TEST(ServicesKindTest, TheOtherKindOfRequestIsRefusedBeforeASessionIsOpened) {
  auto classifier = MakeModel(Architecture::kBertClassifier);
  ASSERT_OK(classifier);
  Roles roles(*std::move(classifier));
  EXPECT_THAT(roles.client().Infer({{1, 2}}, {}, {}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "Classify"));
  auto decoder = MakeModel(Architecture::kLlama);
  ASSERT_OK(decoder);
  Roles others(*std::move(decoder));
  EXPECT_THAT(others.client().Classify({{{1, 2}}, {}}, {}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "Complete"));
}

// The dealer was told of three tokens, the parties are told of other texts.
TEST(ServicesKindTest, PartiesWithAnotherShapeThanTheDealersEndTheSession) {
  auto model = MakeModel(Architecture::kBertClassifier);
  ASSERT_OK(model);
  const EncoderPlan plan = std::get<EncoderPlan>(model->plan);
  Roles roles(*std::move(model));
  const auto shape = [](std::vector<size_t> lengths, bool segments) {
    return ToProto({ClassificationShape{std::move(lengths), segments}, {}});
  };
  for (const auto& [told, tokens] : {std::pair{shape({2}, false), 2},
                                     {shape({5}, false), 5},
                                     {shape({1, 2}, false), 3},
                                     {shape({3}, true), 3}}) {
    const auto id = roles.OpenSession(shape({3}, false));
    ASSERT_OK(id);
    std::unique_ptr<InferCall> calls[2];
    for (int b = 0; b < 2; ++b) {
      calls[b] = roles.Start(b, *id, told);
      EXPECT_OK(calls[b]->SendInput(Words::Zeroed(tokens), TokenWidth(37)));
      if (told.classification().segments()) {
        EXPECT_OK(calls[b]->SendInput(Words::Zeroed(tokens), TokenWidth(2)));
      }
    }
    bool named = false;  // by the party that came first
    for (int b = 0; b < 2; ++b) {
      const absl::Status status =
          calls[b]
              ->ReceiveShare(3 * told.prompt_tokens_size(), plan.logit_ring,
                             absl::Seconds(20))
              .status();
      // The dealer may have dropped what the first party gave up before the
      // second one asks for its half.
      EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsUnavailable(status) ||
                  absl::IsNotFound(status))
          << status;
      named |= absl::StrContains(std::string(status.message()),
                                 "material record of");
    }
    EXPECT_TRUE(named);
  }
  EXPECT_OK(roles.client().Classify({{{1, 2, 3}}, {}}, {}));
}

}  // namespace
}  // namespace tacit
