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

TEST_F(ClientTest, AClassificationSaysWhatToCall) {
  EXPECT_TRUE(client_->labels().empty());
  EXPECT_THAT(
      client_->Classify(kPrompt).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition, "Infer of the SDK"));
}

// The same of a classifier.
class ClassifierTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    UpOptions options = DemoDeployment(/*context=*/128);
    options.model = TACIT_MODELS "/test-bert";
    auto deployment = Deployment::Start(options);
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

constexpr char kReview[] = "a wonderful film with a warm heart .";

TEST_F(ClassifierTest, GivesEveryLabelItsScore) {
  EXPECT_OK(client_->Check());
  EXPECT_EQ(client_->labels(),
            (std::vector<std::string>{"negative", "positive"}));
  const auto got = client_->Classify(kReview);
  ASSERT_OK(got);
  EXPECT_EQ(got->label, "positive");
  EXPECT_EQ(got->tokens, 10u);
  ASSERT_EQ(got->scores.size(), 2u);
  EXPECT_EQ(got->scores[0].label, "negative");
  // As transformers has them, see golden.json.
  EXPECT_NEAR(got->scores[0].logit, -1.617746, 0.03);
  EXPECT_NEAR(got->scores[1].logit, 1.310312, 0.03);
  EXPECT_NEAR(got->scores[0].probability + got->scores[1].probability, 1, 1e-9);
  EXPECT_GT(got->rounds, 0u);
  for (int b = 0; b < 2; ++b) {
    EXPECT_GT(got->opened_bytes[b], 0u);
    EXPECT_GT(got->material_bytes[b], 0u);
  }
}

TEST_F(ClassifierTest, PairsAndBatches) {
  const auto pair = client_->Classify("good", "bad");
  ASSERT_OK(pair);
  EXPECT_EQ(pair->tokens, 5u);
  ClassificationOptions faithful;
  faithful.faithful_rounding = true;
  const auto batch = client_->ClassifyBatch(
      {{kReview, {}}, {"dull , slow", {}}, {"good", "bad"}}, faithful);
  ASSERT_OK(batch);
  ASSERT_EQ(batch->size(), 3u);
  EXPECT_EQ((*batch)[0].label, "positive");
  EXPECT_EQ((*batch)[1].label, "negative");
  EXPECT_EQ((*batch)[2].tokens, 5u);
  EXPECT_NEAR((*batch)[2].scores[0].logit, pair->scores[0].logit, 0.03);
  EXPECT_GT((*batch)[0].rounds, pair->rounds) << "faithful rounding is dearer";
}

TEST_F(ClassifierTest, BadRequestsSayWhatIsWrong) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(client_->Classify("").status(), StatusIs(kInvalid, "empty"));
  EXPECT_THAT(client_->Classify("a", "").status(),
              StatusIs(kInvalid, "second text"));
  EXPECT_THAT(client_->Classify("\xff").status(), StatusIs(kInvalid, "UTF-8"));
  std::string words;
  for (int i = 0; i < 130; ++i) words += "dull ";
  EXPECT_THAT(client_->Classify(words).status(),
              StatusIs(kInvalid, "1 to 128"));
  EXPECT_THAT(client_->ClassifyBatch({}).status(),
              StatusIs(kInvalid, "no text"));
  const std::vector<ClassificationInput> many(65, {"a", {}});
  EXPECT_THAT(
      client_->ClassifyBatch(many).status(),
      StatusIs(absl::StatusCode::kResourceExhausted, "the limit is 64"));
  EXPECT_THAT(client_->Infer(kReview, Tokens(2)).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "Classify"));
}

TEST_F(ClassifierTest, ADeadlineEndsARequestAtAStalledParty) {
  kill(deployment_->pid("party1"), SIGSTOP);
  ClassificationOptions options;
  options.deadline = absl::Now() + absl::Seconds(1);
  const absl::Time start = absl::Now();
  const auto got = client_->Classify(kReview, std::nullopt, options);
  const absl::Duration took = absl::Now() - start;
  kill(deployment_->pid("party1"), SIGCONT);
  EXPECT_THAT(got.status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "too long"));
  EXPECT_LT(took, absl::Seconds(5));
  EXPECT_OK(client_->Classify(kReview));
}

TEST(ClientConfigTest, SaysWhichFileIsMissing) {
  EXPECT_THAT(Client::Create("/nowhere/gateway.yaml").status(),
              StatusIs(absl::StatusCode::kNotFound, "/nowhere/gateway.yaml"));
}

}  // namespace
}  // namespace tacit
