// Dealer and parties as processes on loopback, with TLS: that they serve, and
// what happens when one of them goes.
#include <signal.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/models/provision.h"
#include "gtest/gtest.h"
#include "services/cli/run.h"
#include "services/cli/up.h"
#include "services/gateway/text_client.h"
#include "services/party/party_service.h"
#include "tests/process_stats.h"
#include "tests/testing.h"

namespace tacit {
namespace {

class DeploymentTest : public testing::Test {
 protected:
  void SetUp() override {
    auto deployment = Deployment::Start(DemoDeployment());
    ASSERT_OK(deployment);
    deployment_ = *std::move(deployment);
    auto client = TextClient::Create(deployment_->gateway());
    ASSERT_OK(client);
    client_ = *std::move(client);
  }

  absl::StatusOr<std::string> Text(size_t tokens) {
    return TextOf(*client_, tokens);
  }

  // Kills a role once `tokens` tokens have come; the request's status, and how
  // long it took from then on.
  absl::Status KillDuringRequest(const std::string& role, int tokens,
                                 absl::Duration& took) {
    absl::Time killed = absl::InfinitePast();
    int seen = 0;
    if (tokens == 0) {
      kill(deployment_->pid(role), SIGKILL);
      killed = absl::Now();
    }
    const absl::StatusOr<TextResult> result =
        client_->Infer(DemoRequest(100),
                       [&](size_t, const std::string&) {
                         if (++seen == tokens) {
                           kill(deployment_->pid(role), SIGKILL);
                           killed = absl::Now();
                         }
                         return true;
                       },
                       {.deadline = absl::Now() + absl::Minutes(1)});
    took = absl::Now() - killed;
    return result.status();
  }

  std::unique_ptr<Deployment> deployment_;
  std::unique_ptr<TextClient> client_;
};

TEST_F(DeploymentTest, ServesTheTextThatOneProcessGives) {
  RunOptions here;
  here.model = TACIT_MODELS "/demo";
  here.request = DemoRequest(20);
  const auto want = RunModel(here, {});
  ASSERT_OK(want);
  EXPECT_OK(client_->CheckPlans(absl::Seconds(10)));
  const auto got = Text(20);
  ASSERT_OK(got);
  EXPECT_EQ(*got, want->sequences[0].text);
}

TEST_F(DeploymentTest, ManySessionsAtOnceGiveTheirOwnTexts) {
  const auto want = Text(8);
  ASSERT_OK(want);
  constexpr int kSessions = 12;
  std::vector<std::thread> threads;
  std::atomic<int> same{0};
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([&] {
      const auto got = Text(8);
      EXPECT_OK(got);
      same += got.ok() && *got == *want;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, kSessions);
}

// What a party admits a session by is what it takes, at most.
TEST_F(DeploymentTest, ASessionsMemoryIsWithinItsBound) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer takes memory of its own";
#endif
  const auto folder = LoadGatewayFolder(deployment_->gateway().model);
  ASSERT_OK(folder);
  ASSERT_OK(Text(4));
  std::string prompt = kPrompt;
  for (int i = 0; i < 30; ++i) prompt += " there was a little dog";
  for (size_t sequences : {1, 4}) {
    const ProcessStats before[] = {StatsOf(deployment_->pid("party0")),
                                   StatsOf(deployment_->pid("party1"))};
    TextRequest request = DemoRequest(4);
    request.prompts.assign(sequences, prompt);
    const auto result = client_->Infer(request, {});
    ASSERT_OK(result);
    const size_t tokens = result->sequences[0].prompt_tokens;
    EXPECT_GT(tokens, 100u);
    GenerationShape shape;
    shape.prompts.assign(sequences, tokens);
    shape.steps = 4;
    const uint64_t bound = SessionMemory(
        folder->plan.plan, ProgramShape(shape),
        static_cast<uint64_t>(deployment_->gateway().limits.material_buffer));
    for (int b = 0; b < 2; ++b) {
      const ProcessStats now =
          StatsOf(deployment_->pid(b == 0 ? "party0" : "party1"));
      EXPECT_LT(now.peak_kib,
                before[b].resident_kib + static_cast<int64_t>(bound >> 10))
          << sequences << " of " << tokens;
    }
  }
}

TEST_F(DeploymentTest, AStoppedRequestLeavesTheNextOneAlone) {
  TextRequest request = DemoRequest(100);
  request.stop = {" "};
  const auto stopped = client_->Infer(request, {});
  ASSERT_OK(stopped);
  EXPECT_LT(stopped->sequences[0].generated.tokens.size(), 10u);
  EXPECT_OK(Text(4));
}

TEST_F(DeploymentTest, ACallerMayCancelWhileItIsGivenAToken) {
  Cancellation cancellation;
  const auto result =
      client_->Infer(DemoRequest(100),
                     [&](size_t, const std::string&) {
                       cancellation.Cancel();
                       return true;
                     },
                     {.deadline = absl::Now() + absl::Minutes(1),
                      .cancellation = &cancellation});
  EXPECT_THAT(result.status(), StatusIs(absl::StatusCode::kCancelled, ""));
  EXPECT_OK(Text(4));
}

TEST_F(DeploymentTest, ABatchAndSecureSamplingWorkAcrossProcesses) {
  TextRequest request = DemoRequest(4);
  request.prompts = {kPrompt, "Lily wanted a", "One"};
  request.sampling_side = SamplingSide::kSecure;
  request.sampling.temperature = 0.8;
  request.sampling.top_k = 10;
  const auto result = client_->Infer(request, {});
  ASSERT_OK(result);
  ASSERT_EQ(result->sequences.size(), 3u);
  for (const TextSequence& sequence : result->sequences) {
    EXPECT_EQ(sequence.generated.tokens.size(), 4u);
  }
}

// A role that dies ends the request soon, and its restart heals the deployment:
// nothing else has to be touched.
TEST_F(DeploymentTest, KilledRolesEndTheRequestAndHealByRestart) {
  for (const char* role : {"dealer", "party0", "party1"}) {
    for (int tokens : {0, 3}) {
      SCOPED_TRACE(testing::Message() << role << " after " << tokens);
      absl::Duration took;
      const absl::Status status = KillDuringRequest(role, tokens, took);
      EXPECT_FALSE(status.ok());
      EXPECT_LT(took, absl::Seconds(30));
      ASSERT_OK(deployment_->Restart(role));
      EXPECT_OK(Text(4));
    }
  }
}

TEST_F(DeploymentTest, AGatewayOfAnotherModelIsRefused) {
  const auto other = Deployment::Start(DemoDeployment(/*context=*/128));
  ASSERT_OK(other);
  // Its folder, with the first deployment's addresses and certificates.
  GatewayConfig config = deployment_->gateway();
  config.model = (*other)->gateway().model;
  const auto client = TextClient::Create(config);
  ASSERT_OK(client);
  EXPECT_THAT((*client)->CheckPlans(absl::Seconds(10)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "provision"));
  EXPECT_THAT((*client)->Infer(DemoRequest(4), {}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "provision"));
}

TEST_F(DeploymentTest, BadRequestsAreRefusedBeforeASessionIsOpened) {
  EXPECT_THAT(Text(0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "max-tokens"));
  EXPECT_THAT(Text(1000).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "context of 256"));
  TextRequest request = DemoRequest(4);
  request.prompts = {""};
  EXPECT_THAT(client_->Infer(request, {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "empty"));
  request.prompts = {"\xff"};
  EXPECT_THAT(client_->Infer(request, {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "UTF-8"));
}

}  // namespace
}  // namespace tacit
