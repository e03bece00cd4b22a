#include "sdk/cpp/include/tacit/client.h"

#include <signal.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/cli/up.h"
#include "tests/testing.h"

namespace tacit {
namespace {

constexpr char kPrompt[] = "Once upon a time";

CompletionOptions Tokens(size_t max_tokens) {
  CompletionOptions options;
  options.max_tokens = max_tokens;
  return options;
}

class ClientTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto deployment = Deployment::Start(DemoDeployment());
    ASSERT_OK(deployment);
    deployment_ = deployment->release();
  }
  static void TearDownTestSuite() { delete deployment_; }
  void SetUp() override {
    ASSERT_NE(deployment_, nullptr);
    auto client = Client::Create(deployment_->folder() + "/gateway.yaml");
    ASSERT_OK(client);
    client_ = *std::move(client);
  }

  static inline Deployment* deployment_ = nullptr;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, PiecesMakeUpTheText) {
  EXPECT_OK(client_->Check());
  EXPECT_FALSE(client_->model().empty());
  std::string pieces;
  const auto got =
      client_->Infer(kPrompt, Tokens(12), [&](std::string_view piece) {
        pieces += piece;
        return true;
      });
  ASSERT_OK(got);
  EXPECT_EQ(got->text, pieces);
  EXPECT_EQ(got->tokens.size(), 12u);
  EXPECT_GT(got->prompt_tokens, 0u);
  EXPECT_GT(got->rounds, 0u);
  for (int b = 0; b < 2; ++b) {
    EXPECT_GT(got->opened_bytes[b], 0u);
    EXPECT_GT(got->material_bytes[b], 0u);
  }
}

TEST_F(ClientTest, TheCallerEndsAnAnswer) {
  int pieces = 0;
  const auto got = client_->Infer(
      kPrompt, Tokens(100), [&](std::string_view) { return ++pieces < 3; });
  ASSERT_OK(got);
  EXPECT_EQ(pieces, 3);
  EXPECT_LT(got->tokens.size(), 10u);
  EXPECT_OK(client_->Infer(kPrompt, Tokens(2)));
}

TEST_F(ClientTest, RequestsRunAtTheSameTime) {
  const auto want = client_->Infer(kPrompt, Tokens(8));
  ASSERT_OK(want);
  std::vector<std::thread> threads;
  std::atomic<int> same{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto got = client_->Infer(kPrompt, Tokens(8));
      EXPECT_OK(got);
      same += got.ok() && got->text == want->text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, 4);
}

TEST_F(ClientTest, SamplesWhereItIsTold) {
  CompletionOptions options = Tokens(4);
  options.temperature = 0.8;
  options.top_k = 10;
  options.seed = 3;
  for (SampleAt side : {SampleAt::kUser, SampleAt::kParties}) {
    options.sample_at = side;
    const auto got = client_->Infer(kPrompt, options);
    ASSERT_OK(got);
    EXPECT_EQ(got->tokens.size(), 4u);
  }
}

TEST_F(ClientTest, ADeadlineEndsARequestAtOnce) {
  CompletionOptions options = Tokens(200);
  options.deadline = absl::Now() + absl::Milliseconds(300);
  const absl::Time start = absl::Now();
  EXPECT_THAT(client_->Infer(kPrompt, options).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "too long"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  EXPECT_OK(client_->Infer(kPrompt, Tokens(2)));
}

// Neither a token nor a message comes: only the timer can end it.
TEST_F(ClientTest, ADeadlineEndsARequestAtAStalledParty) {
  kill(deployment_->pid("party1"), SIGSTOP);
  CompletionOptions options = Tokens(20);
  options.deadline = absl::Now() + absl::Seconds(1);
  const absl::Time start = absl::Now();
  const auto got = client_->Infer(kPrompt, options);
  const absl::Duration took = absl::Now() - start;
  kill(deployment_->pid("party1"), SIGCONT);
  EXPECT_THAT(got.status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "too long"));
  EXPECT_LT(took, absl::Seconds(5));
  EXPECT_OK(client_->Infer(kPrompt, Tokens(2)));
}

TEST_F(ClientTest, BadRequestsSayWhatIsWrong) {
  EXPECT_THAT(client_->Infer("", Tokens(2)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "empty"));
  EXPECT_THAT(client_->Infer("\xff", Tokens(2)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "UTF-8"));
  EXPECT_THAT(client_->Infer(kPrompt, Tokens(0)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "max-tokens"));
  EXPECT_THAT(client_->Infer(kPrompt, Tokens(1000)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "context of 256"));
}

TEST(ClientConfigTest, SaysWhichFileIsMissing) {
  EXPECT_THAT(Client::Create("/nowhere/gateway.yaml").status(),
              StatusIs(absl::StatusCode::kNotFound, "/nowhere/gateway.yaml"));
}

}  // namespace
}  // namespace tacit
