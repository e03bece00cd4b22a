// `tacit gateway` before a deployment, called as a user's program would.
#include <signal.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/cli/up.h"
#include "services/gateway/text_client.h"
#include "services/transport/status.h"
#include "tacit/v1/gateway.grpc.pb.h"
#include "tests/role_channels.h"
#include "tests/testing.h"

namespace tacit {
namespace {

struct Answer {
  absl::Status status;
  std::string text;
  int pieces = 0;
  v1::CompleteEnd end;
};

class GatewayTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    UpOptions options = DemoDeployment();
    options.gateway = true;
    auto deployment = Deployment::Start(options);
    ASSERT_OK(deployment);
    deployment_ = deployment->release();
  }
  static void TearDownTestSuite() { delete deployment_; }

  void SetUp() override {
    ASSERT_NE(deployment_, nullptr);
    stub_ = StubOf("gateway", ServiceRole::kGateway);
  }

  // Calls the gateway with the certificate of a role.
  std::unique_ptr<v1::GatewayService::Stub> StubOf(const std::string& folder,
                                                   ServiceRole role) {
    return v1::GatewayService::NewStub(
        channels_.To(*deployment_, deployment_->gateway().listen,
                     ServiceRole::kGateway, role, folder));
  }

  static v1::CompleteRequest Request(uint32_t tokens) {
    v1::CompleteRequest request;
    request.set_prompt(kPrompt);
    request.set_max_tokens(tokens);
    return request;
  }

  using PieceFn = std::function<void(int pieces, grpc::ClientContext& context)>;
  Answer Complete(const v1::CompleteRequest& request,
                  absl::Duration timeout = absl::Minutes(1),
                  const PieceFn& on_piece = {},
                  const std::string& traceparent = "") {
    grpc::ClientContext context;
    if (!traceparent.empty()) context.AddMetadata("traceparent", traceparent);
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    const auto reader = stub_->Complete(&context, request);
    Answer answer;
    v1::CompleteResponse response;
    while (reader->Read(&response)) {
      if (response.has_end()) {
        answer.end = response.end();
        continue;
      }
      EXPECT_FALSE(answer.end.tokens()) << "a piece after the end";
      answer.text += response.piece();
      ++answer.pieces;
      if (on_piece) on_piece(answer.pieces, context);
    }
    answer.status = FromGrpcStatus(reader->Finish());
    return answer;
  }

  static inline Deployment* deployment_ = nullptr;
  RoleChannels channels_;
  std::unique_ptr<v1::GatewayService::Stub> stub_;
};

TEST_F(GatewayTest, StreamsTheTextThatTheLibraryGives) {
  const auto client = TextClient::Create(deployment_->gateway());
  ASSERT_OK(client);
  const auto want = (*client)->Infer(DemoRequest(12), {});
  ASSERT_OK(want);
  const Answer got = Complete(Request(12));
  ASSERT_OK(got.status);
  EXPECT_EQ(got.text, want->sequences[0].text);
  EXPECT_GT(got.pieces, 1);
  EXPECT_EQ(got.end.tokens(), 12u);
  EXPECT_EQ(got.end.prompt_tokens(), want->sequences[0].prompt_tokens);
  EXPECT_EQ(got.end.rounds(), want->cost.rounds);
  ASSERT_EQ(got.end.opened_bytes_size(), 2);
  EXPECT_EQ(got.end.opened_bytes(0), want->cost.opened_bytes[0]);
  ASSERT_EQ(got.end.material_bytes_size(), 2);
  EXPECT_EQ(got.end.material_bytes(1), want->cost.material_bytes[1]);
}

TEST_F(GatewayTest, ACallersTraceIsInTheLogsOfAllRoles) {
  const std::string id = "4bf92f3577b34da6a3ce929d0e0e4736";
  ASSERT_OK(Complete(Request(2), absl::Minutes(1), {},
                     "00-" + id + "-00f067aa0ba902b7-01")
                .status);
  for (const char* role : {"gateway", "dealer", "party0", "party1"}) {
    // A party's session ends a little after the answer.
    const absl::Time limit = absl::Now() + absl::Seconds(10);
    const auto logged = [&] {
      return absl::StrContains(deployment_->Log(role), id);
    };
    while (!logged() && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(20));
    }
    EXPECT_TRUE(logged()) << role;
  }
}

TEST_F(GatewayTest, TellsItsModel) {
  grpc::ClientContext context;
  v1::GetModelResponse response;
  ASSERT_OK(FromGrpcStatus(stub_->GetModel(&context, {}, &response)));
  EXPECT_FALSE(response.name().empty());
  EXPECT_EQ(response.context(), 256u);
  EXPECT_EQ(response.kind(), v1::MODEL_KIND_DECODER);
  EXPECT_EQ(response.labels_size(), 0);
}

TEST_F(GatewayTest, AClassificationSaysWhatToCall) {
  grpc::ClientContext context;
  v1::ClassifyRequest request;
  request.add_texts()->set_text(kPrompt);
  v1::ClassifyResponse response;
  EXPECT_THAT(FromGrpcStatus(stub_->Classify(&context, request, &response)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "call Complete"));
}

TEST_F(GatewayTest, StopTextsAndSamplingReachTheSession) {
  v1::CompleteRequest request = Request(100);
  request.add_stop(" ");
  const Answer stopped = Complete(request);
  ASSERT_OK(stopped.status);
  EXPECT_LT(stopped.end.tokens(), 10u);
  request = Request(3);
  request.set_temperature(0.8);
  request.set_top_k(5);
  request.set_sample_at(v1::SAMPLE_AT_PARTIES);
  const Answer sampled = Complete(request);
  ASSERT_OK(sampled.status);
  EXPECT_EQ(sampled.end.tokens(), 3u);
}

TEST_F(GatewayTest, ACallerWhoLeavesFreesAllRoles) {
  const auto leave = [](int pieces, grpc::ClientContext& context) {
    if (pieces == 2) context.TryCancel();
  };
  const absl::Time start = absl::Now();
  EXPECT_THAT(Complete(Request(200), absl::Minutes(1), leave).status,
              StatusIs(absl::StatusCode::kCancelled, ""));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_OK(Complete(Request(2)).status);
}

TEST_F(GatewayTest, ADeadlineEndsARequestAtAStalledParty) {
  kill(deployment_->pid("party0"), SIGSTOP);
  const Answer answer = Complete(Request(20), absl::Seconds(1));
  kill(deployment_->pid("party0"), SIGCONT);
  EXPECT_THAT(answer.status, StatusIs(absl::StatusCode::kDeadlineExceeded, ""));
  EXPECT_OK(Complete(Request(2)).status);
}

TEST_F(GatewayTest, BadRequestsSayWhatIsWrong) {
  const auto expect = [&](const v1::CompleteRequest& request,
                          const char* part) {
    EXPECT_THAT(Complete(request).status,
                StatusIs(absl::StatusCode::kInvalidArgument, part));
  };
  v1::CompleteRequest request = Request(2);
  request.set_prompt("");
  expect(request, "the prompt is empty");
  expect(Request(4000), "context of 256");
  expect(Request(5000), "limits.max_tokens");
  request = Request(2);
  request.set_sample_at(static_cast<v1::SampleAt>(7));
  expect(request, "sample_at 7");
  request = Request(2);
  request.set_temperature(-1);
  expect(request, "temperature");
  request.set_temperature(std::numeric_limits<double>::quiet_NaN());
  expect(request, "temperature");
  request = Request(2);
  request.add_stop(std::string(257, 'x'));
  expect(request, "257 bytes");
  for (int i = 0; i < 17; ++i) request.add_stop("x");
  expect(request, "18 stop texts");
}

TEST_F(GatewayTest, OtherRolesMayNotAsk) {
  stub_ = StubOf("party0", ServiceRole::kParty0);
  EXPECT_THAT(Complete(Request(2)).status,
              StatusIs(absl::StatusCode::kPermissionDenied, "may not call"));
}

// Last: the role ends.
TEST_F(GatewayTest, ZDrainsOnSigterm) {
  const auto stop = [](int pieces, grpc::ClientContext&) {
    if (pieces == 1) kill(deployment_->pid("gateway"), SIGTERM);
  };
  const Answer answer = Complete(Request(40), absl::Minutes(1), stop);
  EXPECT_OK(answer.status);
  EXPECT_EQ(answer.end.tokens(), 40u);
  ASSERT_OK(deployment_->Restart("gateway"));
  EXPECT_OK(Complete(Request(2)).status);
}

}  // namespace
}  // namespace tacit
