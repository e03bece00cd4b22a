// A classifier served by dealer, parties and gateway as processes, with TLS: by
// the library, as a user's program calls the gateway, and when something goes
// wrong.
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "common/models/provision.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/cli/classify.h"
#include "services/cli/serve.h"
#include "services/cli/up.h"
#include "services/gateway/text_client.h"
#include "services/party/party_service.h"
#include "services/transport/status.h"
#include "tacit/v1/dealer.grpc.pb.h"
#include "tacit/v1/gateway.grpc.pb.h"
#include "tests/process_stats.h"
#include "tests/role_channels.h"
#include "tests/testing.h"

namespace tacit {
namespace {

using Json = nlohmann::json;

constexpr char kBert[] = TACIT_MODELS "/test-bert";
constexpr char kText[] = "a wonderful film with a warm heart .";
// Of private logits beside transformers', which reach 2.
constexpr double kTolerance = 0.03;

UpOptions BertDeployment() {
  UpOptions options = DemoDeployment(/*context=*/128);
  options.model = kBert;
  return options;
}

ClassifyRequest Texts(const std::vector<std::string>& texts) {
  ClassifyRequest request;
  for (const std::string& text : texts) request.texts.push_back({text, {}});
  return request;
}
v1::ClassifyRequest ProtoTexts(const std::vector<std::string>& texts) {
  v1::ClassifyRequest request;
  for (const std::string& text : texts) request.add_texts()->set_text(text);
  return request;
}
// As many tokens as the plan takes.
std::string LongText() {
  std::string text;
  for (int i = 0; i < 126; ++i) absl::StrAppend(&text, "dull ");
  return text;
}

// Sentences with the logits that transformers gives them.
Json Goldens() {
  return Json::parse(std::ifstream(absl::StrCat(kBert, "/golden.json")),
                     nullptr)["sentences"];
}

class ClassifyProcessTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    UpOptions options = BertDeployment();
    options.gateway = true;
    auto deployment = Deployment::Start(options);
    ASSERT_OK(deployment);
    deployment_ = deployment->release();
  }
  static void TearDownTestSuite() { delete deployment_; }

  void SetUp() override {
    ASSERT_NE(deployment_, nullptr);
    auto client = TextClient::Create(deployment_->gateway());
    ASSERT_OK(client);
    client_ = *std::move(client);
    stub_ = v1::GatewayService::NewStub(channels_.To(
        *deployment_, deployment_->gateway().listen, ServiceRole::kGateway));
  }

  absl::StatusOr<v1::ClassifyResponse> Classify(
      const v1::ClassifyRequest& request,
      absl::Duration timeout = absl::Minutes(1)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    v1::ClassifyResponse response;
    const absl::Status status =
        FromGrpcStatus(stub_->Classify(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  static inline Deployment* deployment_ = nullptr;
  RoleChannels channels_;
  std::unique_ptr<TextClient> client_;
  std::unique_ptr<v1::GatewayService::Stub> stub_;
};

TEST_F(ClassifyProcessTest, LabelsAndLogitsAreTheFloatModels) {
  EXPECT_OK(client_->CheckPlans(absl::Seconds(10)));
  const Json goldens = Goldens();
  ASSERT_GE(goldens.size(), 3u);
  std::vector<std::string> texts;
  for (const Json& golden : goldens) texts.push_back(golden["text"]);
  const auto result = client_->Classify(Texts(texts));
  ASSERT_OK(result);
  ASSERT_EQ(result->texts.size(), goldens.size());
  for (size_t i = 0; i < goldens.size(); ++i) {
    SCOPED_TRACE(texts[i]);
    const TextClass& got = result->texts[i];
    const std::vector<double> want = goldens[i]["logits"];
    ASSERT_EQ(got.logits.size(), want.size());
    for (size_t l = 0; l < want.size(); ++l) {
      EXPECT_NEAR(got.logits[l], want[l], kTolerance);
    }
    EXPECT_EQ(got.label, want[1] > want[0]);
    EXPECT_EQ(got.tokens, goldens[i]["ids"].size());
    EXPECT_NEAR(got.probabilities[0] + got.probabilities[1], 1, 1e-12);
    EXPECT_NEAR(got.probabilities[1],
                1 / (1 + std::exp(got.logits[0] - got.logits[1])), 1e-12);
  }
}

TEST_F(ClassifyProcessTest, TheGatewayGivesWhatTheLibraryGives) {
  const auto want = client_->Classify(Texts({kText}));
  ASSERT_OK(want);
  const auto got = Classify(ProtoTexts({kText}));
  ASSERT_OK(got);
  ASSERT_EQ(got->results_size(), 1);
  const v1::ClassifyResult& result = got->results(0);
  EXPECT_EQ(result.label(), "positive");
  EXPECT_EQ(result.tokens(), want->texts[0].tokens);
  ASSERT_EQ(result.scores_size(), 2);
  EXPECT_EQ(result.scores(0).label(), "negative");
  EXPECT_EQ(result.scores(1).label(), "positive");
  for (int l = 0; l < 2; ++l) {
    EXPECT_NEAR(result.scores(l).logit(), want->texts[0].logits[l], kTolerance);
  }
  EXPECT_GT(result.scores(1).probability(), 0.9);
  EXPECT_EQ(got->rounds(), want->cost.rounds);
  ASSERT_EQ(got->opened_bytes_size(), 2);
  EXPECT_EQ(got->opened_bytes(0), want->cost.opened_bytes[0]);
  ASSERT_EQ(got->material_bytes_size(), 2);
  EXPECT_EQ(got->material_bytes(1), want->cost.material_bytes[1]);
}

// Near what one process computes with fresh masks of its own, faithfully or
// not.
TEST_F(ClassifyProcessTest, PairsGiveWhatOneProcessGives) {
  RunOptions here;
  here.model = kBert;
  ClassifyRequest request;
  request.texts = {{"a wonderful film", "but dull"}, {"good", {}}};
  for (Rounding rounding : {Rounding::kStochastic, Rounding::kFaithful}) {
    request.rounding = rounding;
    const auto want = ClassifyModel(here, request, {});
    ASSERT_OK(want);
    const auto got = client_->Classify(request);
    ASSERT_OK(got);
    ASSERT_EQ(got->texts.size(), 2u);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(got->texts[i].tokens, want->texts[i].tokens);
      EXPECT_EQ(got->texts[i].label, want->texts[i].label);
      for (size_t l = 0; l < 2; ++l) {
        EXPECT_NEAR(got->texts[i].logits[l], want->texts[i].logits[l],
                    kTolerance);
      }
    }
  }
  // As a user's program sends it.
  v1::ClassifyRequest pair;
  pair.add_texts()->set_text("a wonderful film");
  pair.mutable_texts(0)->set_text_pair("but dull");
  const auto served = Classify(pair);
  ASSERT_OK(served);
  EXPECT_EQ(served->results(0).tokens(), 8u);
}

TEST_F(ClassifyProcessTest, SaysWhatIsServed) {
  grpc::ClientContext context;
  v1::GetModelResponse model;
  ASSERT_OK(FromGrpcStatus(stub_->GetModel(&context, {}, &model)));
  EXPECT_EQ(model.kind(), v1::MODEL_KIND_CLASSIFIER);
  EXPECT_EQ(model.context(), 128u);
  ASSERT_EQ(model.labels_size(), 2);
  EXPECT_EQ(model.labels(1), "positive");
  const auto status = DeploymentStatus(deployment_->gateway());
  ASSERT_OK(status);
  EXPECT_TRUE(absl::StrContains(*status, "BertForSequenceClassification"));
  EXPECT_TRUE(absl::StrContains(*status, "up to 128 tokens: negative, posi"))
      << *status;
  v1::PlanService::Stub plans(
      channels_.To(*deployment_, deployment_->gateway().dealer_address,
                   ServiceRole::kDealer));
  grpc::ClientContext plan_context;
  v1::GetPlanResponse plan;
  ASSERT_OK(FromGrpcStatus(plans.GetPlan(&plan_context, {}, &plan)));
  EXPECT_EQ(plan.plan().model_kind(), v1::MODEL_KIND_CLASSIFIER);
  EXPECT_EQ(plan.plan().labels_size(), 2);
  EXPECT_EQ(plan.plan().segment_width_bits(), 2u);
  EXPECT_GT(plan.plan().logit_width_bits(), 24u);
}

TEST_F(ClassifyProcessTest, AGenerationRequestSaysWhatToCall) {
  grpc::ClientContext context;
  v1::CompleteRequest request;
  request.set_prompt(kText);
  const auto reader = stub_->Complete(&context, request);
  v1::CompleteResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_THAT(FromGrpcStatus(reader->Finish()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "call Classify"));
  TextRequest text;
  text.prompts = {kText};
  EXPECT_THAT(client_->Infer(text, {}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "call Classify"));
}

TEST_F(ClassifyProcessTest, BadRequestsSayWhatIsWrong) {
  const auto expect = [&](const v1::ClassifyRequest& request,
                          const char* part) {
    EXPECT_THAT(Classify(request).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, part));
  };
  expect({}, "0 texts; 1 to 64");
  expect(ProtoTexts(std::vector<std::string>(65, "a")), "65 texts");
  expect(ProtoTexts({kText, ""}), "a text is empty");
  expect(ProtoTexts({LongText() + "dull"}), "a text of 129 tokens");
  v1::ClassifyRequest pair = ProtoTexts({kText});
  pair.mutable_texts(0)->set_text_pair("");
  expect(pair, "second text of a pair is empty");
  pair.mutable_texts(0)->set_text_pair(LongText());
  expect(pair, "the plan has 1 to 128");
  EXPECT_THAT(client_->Classify(Texts({"\xff"})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "UTF-8"));
  EXPECT_THAT(client_->Classify({}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "no text"));
}

// What a gateway of another make could send.
TEST_F(ClassifyProcessTest, TheDealerRefusesShapesThatAreNotThePlans) {
  const auto channel =
      channels_.To(*deployment_, deployment_->gateway().dealer_address,
                   ServiceRole::kDealer);
  v1::PlanService::Stub plans(channel);
  v1::DealerService::Stub dealer(channel);
  grpc::ClientContext plan_context;
  v1::GetPlanResponse plan;
  ASSERT_OK(FromGrpcStatus(plans.GetPlan(&plan_context, {}, &plan)));
  const auto open = [&](const v1::SessionShape& shape) {
    grpc::ClientContext context;
    v1::OpenSessionRequest request;
    request.set_plan_digest(plan.plan().digest());
    *request.mutable_shape() = shape;
    v1::OpenSessionResponse response;
    return FromGrpcStatus(dealer.OpenSession(&context, request, &response));
  };
  v1::SessionShape generation;
  generation.add_prompt_tokens(3);
  generation.set_max_tokens(4);
  generation.set_rounding(v1::ROUNDING_STOCHASTIC);
  generation.set_sampling_mode(v1::SAMPLING_MODE_CLIENT);
  generation.set_embedding_mode(v1::EMBEDDING_MODE_SECURE);
  EXPECT_THAT(open(generation),
              StatusIs(absl::StatusCode::kFailedPrecondition, "call Classify"));
  v1::SessionShape shape;
  shape.mutable_classification();
  shape.set_rounding(v1::ROUNDING_STOCHASTIC);
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(open(shape), StatusIs(kInvalid, "there is no text"));
  for (uint32_t length : {0u, 129u}) {
    shape.clear_prompt_tokens();
    shape.add_prompt_tokens(length);
    EXPECT_THAT(open(shape), StatusIs(kInvalid, "the plan has 1 to 128"));
  }
  shape.clear_prompt_tokens();
  shape.add_prompt_tokens(0xffffffffu);
  EXPECT_THAT(open(shape),
              StatusIs(absl::StatusCode::kResourceExhausted, "the limit is"));
  shape.clear_prompt_tokens();
  for (int i = 0; i < 65; ++i) shape.add_prompt_tokens(3);
  EXPECT_THAT(open(shape),
              StatusIs(absl::StatusCode::kResourceExhausted, "65 texts"));
}

TEST_F(ClassifyProcessTest, ADeadlineEndsARequestAtAStalledParty) {
  kill(deployment_->pid("party0"), SIGSTOP);
  const absl::Time start = absl::Now();
  const auto late = Classify(ProtoTexts({kText}), absl::Seconds(1));
  const absl::Duration took = absl::Now() - start;
  kill(deployment_->pid("party0"), SIGCONT);
  EXPECT_THAT(late.status(), StatusIs(absl::StatusCode::kDeadlineExceeded, ""));
  EXPECT_LT(took, absl::Seconds(5));
  EXPECT_OK(Classify(ProtoTexts({kText})));
}

TEST_F(ClassifyProcessTest, ACallerWhoLeavesFreesAllRoles) {
  kill(deployment_->pid("party1"), SIGSTOP);
  grpc::ClientContext context;
  std::thread leaver([&] {
    absl::SleepFor(absl::Milliseconds(300));
    context.TryCancel();
  });
  v1::ClassifyResponse response;
  const absl::Time start = absl::Now();
  const absl::Status status =
      FromGrpcStatus(stub_->Classify(&context, ProtoTexts({kText}), &response));
  leaver.join();
  kill(deployment_->pid("party1"), SIGCONT);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled, ""));
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  // The library likewise, from another thread.
  kill(deployment_->pid("party1"), SIGSTOP);
  Cancellation cancellation;
  std::thread canceller([&] {
    absl::SleepFor(absl::Milliseconds(300));
    cancellation.Cancel();
  });
  const auto cancelled =
      client_->Classify(Texts({kText}), {.cancellation = &cancellation});
  canceller.join();
  kill(deployment_->pid("party1"), SIGCONT);
  EXPECT_THAT(cancelled.status(),
              StatusIs(absl::StatusCode::kCancelled, "cancelled"));
  EXPECT_OK(Classify(ProtoTexts({kText})));
}

TEST_F(ClassifyProcessTest, ManyRequestsAtOnceGetTheirOwnResults) {
  constexpr int kRequests = 6;
  const char* const texts[] = {kText, "dull , slow and far too long ."};
  std::vector<std::thread> threads;
  for (int i = 0; i < kRequests; ++i) {
    threads.emplace_back([&, i] {
      const auto got = client_->Classify(Texts({texts[i % 2]}));
      ASSERT_OK(got);
      EXPECT_EQ(got->texts[0].label, i % 2 == 0 ? 1u : 0u);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// What a party admits a session by is what it takes, at most.
TEST_F(ClassifyProcessTest, ASessionsMemoryIsWithinItsBound) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer takes memory of its own";
#endif
  const auto folder = LoadGatewayFolder(deployment_->gateway().model);
  ASSERT_OK(folder);
  ASSERT_OK(client_->Classify(Texts({"good"})));
  for (size_t texts : {1, 6}) {
    const ProcessStats before[] = {StatsOf(deployment_->pid("party0")),
                                   StatsOf(deployment_->pid("party1"))};
    ASSERT_OK(
        client_->Classify(Texts(std::vector<std::string>(texts, LongText()))));
    ProgramShape shape =
        ClassificationShape{std::vector<size_t>(texts, 128), false};
    const uint64_t bound = SessionMemory(
        folder->plan.plan, shape,
        static_cast<uint64_t>(deployment_->gateway().limits.material_buffer));
    const auto limit = static_cast<int64_t>(bound >> 10);
    EXPECT_LT(StatsOf(deployment_->pid("party0")).peak_kib,
              before[0].resident_kib + limit)
        << texts;
    EXPECT_LT(StatsOf(deployment_->pid("party1")).peak_kib,
              before[1].resident_kib + limit)
        << texts;
  }
}

TEST_F(ClassifyProcessTest, KilledRolesEndTheRequestAndHealByRestart) {
  for (const char* role : {"dealer", "party0", "party1"}) {
    SCOPED_TRACE(role);
    std::thread killer([&] {
      absl::SleepFor(absl::Milliseconds(400));
      kill(deployment_->pid(role), SIGKILL);
    });
    const auto start = absl::Now();
    const auto result =
        client_->Classify(Texts(std::vector<std::string>(12, LongText())),
                          {.deadline = absl::Now() + absl::Minutes(1)});
    killer.join();
    EXPECT_FALSE(result.ok());
    EXPECT_LT(absl::Now() - start, absl::Seconds(30));
    ASSERT_OK(deployment_->Restart(role));
    EXPECT_OK(client_->Classify(Texts({kText})));
  }
}

TEST_F(ClassifyProcessTest, AGatewayOfAnotherRunOfProvisioningIsRefused) {
  const auto other = Deployment::Start(BertDeployment());
  ASSERT_OK(other);
  GatewayConfig config = deployment_->gateway();
  config.model = (*other)->gateway().model;
  const auto client = TextClient::Create(config);
  ASSERT_OK(client);
  EXPECT_THAT((*client)->CheckPlans(absl::Seconds(10)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "provision"));
  EXPECT_THAT((*client)->Classify(Texts({kText})).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "provision"));
}

TEST_F(ClassifyProcessTest, OtherRolesMayNotAsk) {
  stub_ = v1::GatewayService::NewStub(
      channels_.To(*deployment_, deployment_->gateway().listen,
                   ServiceRole::kGateway, ServiceRole::kParty0, "party0"));
  EXPECT_THAT(Classify(ProtoTexts({kText})).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, "may not call"));
}

// Last: the role ends.
TEST_F(ClassifyProcessTest, ZDrainsOnSigterm) {
  std::thread stopper([&] {
    absl::SleepFor(absl::Milliseconds(300));
    kill(deployment_->pid("gateway"), SIGTERM);
  });
  const auto answer =
      Classify(ProtoTexts(std::vector<std::string>(8, LongText())));
  stopper.join();
  ASSERT_OK(answer);
  EXPECT_EQ(answer->results_size(), 8);
  ASSERT_OK(deployment_->Restart("gateway"));
  EXPECT_OK(Classify(ProtoTexts({kText})));
}

}  // namespace
}  // namespace tacit
