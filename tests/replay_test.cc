// Sessions that come once more: after restarts of the dealer and of parties, by
// parties, gateways and dealers that repeat themselves.
#include <grpcpp/create_channel.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/runtime/host.h"
#include "services/runtime/session_shape.h"
#include "services/transport/status.h"
#include "tacit/v1/dealer.grpc.pb.h"
#include "tacit/v1/inference.grpc.pb.h"
#include "tests/proxied.h"
#include "tests/recording.h"
#include "tests/replay_dealer.h"
#include "tests/testing.h"

namespace tacit {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(30);

// With TLS, called by the test with the roles' own certificates.
class ReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.flags["*"] = {"--deadlines-connect", "2s"};
    options.flags["dealer"] = {"--limits-prefetch-sessions", "0"};
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = *std::move(started);
  }

  std::shared_ptr<grpc::Channel> ChannelAs(const std::string& caller,
                                           ServiceRole role,
                                           const std::string& server,
                                           ServiceRole server_role) {
    TlsConfig tls = deployment_->roles().gateway().tls;
    const std::string certs = deployment_->roles().folder() + "/certs/";
    tls.cert = certs + caller + "/cert.pem";
    tls.key = certs + caller + "/key.pem";
    auto credentials = MakeCredentials(tls, role, "", {}, nullptr);
    EXPECT_OK(credentials);
    credentials_.push_back(*credentials);
    return grpc::CreateChannel(deployment_->roles().address(server),
                               (*credentials)->Channel(server_role));
  }

  // A session that a gateway opens and does nothing with.
  v1::OpenSessionResponse Open() {
    const auto channel = ChannelAs("gateway", ServiceRole::kGateway, "dealer",
                                   ServiceRole::kDealer);
    v1::PlanService::Stub plans(channel);
    grpc::ClientContext asked;
    v1::GetPlanResponse plan;
    EXPECT_OK(FromGrpcStatus(plans.GetPlan(&asked, {}, &plan)));
    digest_ = plan.plan().digest();
    SessionProgram program;
    program.shape = MakeShape({{1, 2, 3}}, 2, SamplingSide::kClient,
                              EmbeddingSide::kSecure, {});
    shape_ = ToProto(program);
    v1::OpenSessionRequest request;
    request.set_plan_digest(digest_);
    *request.mutable_shape() = shape_;
    grpc::ClientContext context;
    v1::OpenSessionResponse response;
    EXPECT_OK(FromGrpcStatus(v1::DealerService::Stub(channel).OpenSession(
        &context, request, &response)));
    return response;
  }

  // How a party's stream of a session's material begins, or why not.
  absl::Status Fetch(int party, const std::string& session, int claimed) {
    const auto channel =
        ChannelAs(absl::StrCat("party", party), PartyRole(party), "dealer",
                  ServiceRole::kDealer);
    v1::DealerService::Stub stub(channel);
    v1::StreamMaterialRequest request;
    request.set_session_id(session);
    request.set_party(static_cast<uint32_t>(claimed));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
    const auto reader = stub.StreamMaterial(&context, request);
    v1::StreamMaterialResponse response;
    const bool begun = reader->Read(&response);
    if (begun) context.TryCancel();
    const absl::Status status = FromGrpcStatus(reader->Finish());
    return begun ? absl::OkStatus() : status;
  }

  // What a party says to a gateway that begins this session.
  absl::Status Infer(int party, const std::string& session) {
    const auto channel =
        ChannelAs("gateway", ServiceRole::kGateway,
                  absl::StrCat("party", party), PartyRole(party));
    v1::InferenceService::Stub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
    const auto stream = stub.Infer(&context);
    v1::InferRequest request;
    request.mutable_start()->set_session_id(session);
    request.mutable_start()->set_plan_digest(digest_);
    *request.mutable_start()->mutable_shape() = shape_;
    stream->Write(request);
    v1::InferResponse response;
    while (stream->Read(&response)) {
    }
    return FromGrpcStatus(stream->Finish());
  }

  std::unique_ptr<ProxiedDeployment> deployment_;
  std::vector<std::shared_ptr<ServiceCredentials>> credentials_;
  std::string digest_;
  v1::SessionShape shape_;
};

TEST_F(ReplayTest, APartyGetsItsOwnMaterialOnceAndNeverTheOthers) {
  const std::string session = Open().session_id();
  for (int party : {0, 1}) {
    EXPECT_THAT(Fetch(party, session, 1 - party),
                StatusIs(absl::StatusCode::kPermissionDenied,
                         absl::StrCat("party ", party, " asks for party ",
                                      1 - party, "'s material")));
  }
  EXPECT_OK(Fetch(0, session, 0));
  EXPECT_FALSE(Fetch(0, session, 0).ok());
  EXPECT_OK(deployment_->Text(2, kLimit));
}

TEST_F(ReplayTest, ADealersRestartForgetsItsSessions) {
  const std::string session = Open().session_id();
  deployment_->Kill("dealer");
  ASSERT_OK(deployment_->roles().Restart("dealer"));
  for (int party : {0, 1}) {
    EXPECT_THAT(Fetch(party, session, party),
                StatusIs(absl::StatusCode::kNotFound, "restarted"));
  }
  // Both parties, as with a gateway that does not know.
  absl::Status other;
  std::thread thread([&] { other = Infer(1, session); });
  const absl::Status status = Infer(0, session);
  thread.join();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, "the dealer"));
  EXPECT_FALSE(other.ok());
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
}

TEST_F(ReplayTest, ASessionThatHasEndedIsNotBegunAgain) {
  ASSERT_OK(deployment_->Text(2, kLimit));
  const std::string session = Open().session_id();
  EXPECT_OK(Fetch(0, session, 0));
  EXPECT_OK(Fetch(1, session, 1));
  absl::Status other;
  std::thread thread([&] { other = Infer(1, session); });
  EXPECT_FALSE(Infer(0, session).ok());
  thread.join();
  EXPECT_FALSE(other.ok());
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
}

// Without TLS, so that what a dealer said can be recorded.
class ReplayedDealTest : public testing::Test {
 protected:
  void SetUp() override {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.up.insecure = true;
    options.flags["dealer"] = {"--limits-prefetch-sessions", "0"};
    recording_.Attach(options);
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = *std::move(started);
  }

  // Puts a dealer in place that deals the first session for ever.
  void Replay() {
    const auto of = [&](const std::string& link) {
      const auto streams = recording_.Streams(link, Toward::kClient);
      EXPECT_FALSE(streams.empty());
      return streams.empty() ? Recording::Stream(1) : streams[0];
    };
    dealer_ = std::make_unique<ReplayDealer>(
        of("gateway-dealer")[0], of("party0-dealer"), of("party1-dealer"));
    for (const std::string link : kLinks) {
      if (ServerOf(link) != "dealer") continue;
      deployment_->proxy(link).SetTarget(dealer_->address());
      deployment_->proxy(link).Reset();
    }
  }
  void EndReplay() {
    for (const std::string link : kLinks) {
      if (ServerOf(link) != "dealer") continue;
      deployment_->proxy(link).SetTarget(
          deployment_->roles().address("dealer"));
      deployment_->proxy(link).Reset();
    }
  }

  Recording recording_{Recording::kAll};
  std::unique_ptr<ReplayDealer> dealer_;
  std::unique_ptr<ProxiedDeployment> deployment_;
};

TEST_F(ReplayedDealTest, PartiesRefuseItBeforeAndAfterTheirRestart) {
  ASSERT_OK(deployment_->Text(2, kLimit));
  const size_t masked = recording_.Masked().size();
  Replay();
  const auto refused = [&] {
    absl::Status status;
    // The first may meet a connection that has just been reset.
    for (int i = 0; i < 3 && !absl::IsAlreadyExists(status); ++i) {
      status = deployment_->Text(2, kLimit).status();
      EXPECT_FALSE(status.ok());
    }
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kAlreadyExists, "was used before"));
  };
  refused();
  for (const char* role : {"party0", "party1"}) {
    deployment_->Kill(role);
    ASSERT_OK(deployment_->roles().Restart(role));
  }
  refused();
  EndReplay();
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
  EXPECT_GT(recording_.Masked().size(), masked);
  EXPECT_EQ(Repeated(recording_.Masked()), std::vector<std::string>());
}

// What the ledgers are for: the same without them. It shows too that masks
// which are used twice are noticed by the comparison that masks_test relies on.
TEST_F(ReplayedDealTest, WithoutTheirLedgersMasksWouldBeUsedTwice) {
  const auto want = deployment_->Text(2, kLimit);
  ASSERT_OK(want);
  EXPECT_EQ(Repeated(recording_.Masked()), std::vector<std::string>());
  for (const char* role : {"party0", "party1"}) {
    deployment_->Kill(role);
    std::filesystem::remove(deployment_->roles().folder() + "/state/" + role +
                            "/ledger");
    ASSERT_OK(deployment_->roles().Restart(role));
  }
  Replay();
  const auto again = deployment_->TextSoon(2, kLimit);
  ASSERT_OK(again);
  EXPECT_EQ(*again, *want);
  EXPECT_GT(Repeated(recording_.Masked()).size(), 10u);
  EXPECT_EQ(Repeated(recording_.OpenedSessions()).size(), 1u);
  EXPECT_EQ(Repeated(recording_.DealtSessions()).size(), 2u);
  EXPECT_EQ(Repeated(recording_.Seeds()).size(), 3u);
}

}  // namespace
}  // namespace tacit
