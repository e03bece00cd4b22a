#include "common/models/classify.h"

#include <cmath>

#include "common/base/status_macros.h"
#include "common/gates/testing.h"
#include "common/gates/two_party.h"
#include "common/models/float_model.h"
#include "common/models/testing.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

constexpr size_t kMaxTokens = 16;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class ClassifyTest : public testing::Test {
 protected:
  void SetUp() override { Make(RandomModel(Architecture::kBertClassifier)); }
  void Make(const ModelWeights& weights) {
    weights_ = weights;
    const auto ranges = Calibrate(weights_, kMaxTokens, 1);
    ASSERT_OK(ranges);
    auto plan = PlanEncoder(weights_.config, BoundsOf(*ranges), kMaxTokens);
    ASSERT_OK(plan);
    plan_ = *std::move(plan);
    auto shares = ShareEncoder(plan_, weights_, WeightMode::kDealerHeld,
                               TestSeeds().gateway);
    ASSERT_OK(shares);
    shares_ = *std::move(shares);
  }
  // Every text's logits are near the float model's.
  void ExpectFloats(const TextBatch& texts, const ClassifyResult& result) {
    ASSERT_EQ(result.logits.size(), texts.tokens.size());
    for (size_t i = 0; i < texts.tokens.size(); ++i) {
      const auto want = FloatEncode(
          weights_, texts.tokens[i],
          texts.segments.empty() ? std::vector<int64_t>{} : texts.segments[i]);
      ASSERT_OK(want);
      ASSERT_EQ(result.logits[i].size(), 3u);
      for (size_t l = 0; l < 3; ++l) {
        EXPECT_NEAR(result.logits[i][l], want->logits[l], 0.05) << i;
      }
    }
  }

  ModelWeights weights_;
  EncoderPlan plan_;
  EncoderShares shares_;
};

TEST_F(ClassifyTest, GivesEachTextItsLogitsAtTheDeclaredCost) {
  const TextBatch texts = {{{1, 2, 3}, {36}, SomeTokens(16, 37)}, {}};
  for (Rounding rounding : {Rounding::kStochastic, Rounding::kFaithful}) {
    const auto result = ClassifyInProcess(plan_, shares_, PlanDigest{}, texts,
                                          {rounding, /*threads=*/2});
    ASSERT_OK(result);
    ExpectFloats(texts, *result);
    const auto declared = DeclaredCost(
        [&](Evaluator& ev) {
          Classify(ev, plan_, Pick(ev, shares_), ShapeOf(texts));
        },
        rounding);
    ASSERT_OK(declared);
    EXPECT_EQ(result->counted.rounds, declared->rounds);
    EXPECT_EQ(result->counted.material_bytes[1], declared->material_bytes[1]);
    EXPECT_GT(result->seconds, 0);
  }
}

// Through the user's side, with the masks that the plain evaluator has.
TEST_F(ClassifyTest, LogitsAreThePlainOnesBitForBit) {
  const TextBatch texts = {{{1, 2, 3}, {36, 5}}, {{0, 1, 1}, {0, 0}}};
  const ClassificationShape shape = ShapeOf(texts);
  const SessionSeeds seeds = TestSeeds();
  const Program program = [&](Evaluator& ev) {
    Classify(ev, plan_, Pick(ev, shares_), shape);
  };
  auto masks = GatewayStream(seeds.gateway);
  ASSERT_OK(masks);
  const auto user =
      ClassificationGateway::Create(plan_, texts, *std::move(masks));
  ASSERT_OK(user);
  UserLink link0(0, **user), link1(1, **user);
  const auto run = RunRoles({}, seeds, program, link0, link1);
  ASSERT_OK(run);
  ASSERT_OK(run->FirstError());
  const auto plain = RunPlain(
      {}, seeds, program,
      {{{1, 2, 3, 36, 5}, TokenWidth(37)}, {{0, 1, 1, 0, 0}, TokenWidth(2)}});
  ASSERT_OK(plain);
  const auto logits = (*user)->TakeLogits();
  ASSERT_EQ(logits.size(), 2u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(
        logits[i / 3][i % 3],
        std::ldexp(static_cast<double>((*plain)[0][i]), -kEncoderLogitFrac));
  }
}

TEST_F(ClassifyTest, TheUsersSideRefusesWhatTheProgramHasNot) {
  const TextBatch texts = {{{1, 2, 3}}, {}};
  const auto user = [&] {
    auto masks = GatewayStream(TestSeeds().gateway);
    return ClassificationGateway::Create(plan_, texts, *std::move(masks));
  };
  constexpr auto kInternal = absl::StatusCode::kInternal;
  const int width = TokenWidth(37);
  auto one = user();
  ASSERT_OK(one);
  EXPECT_THAT((*one)->Receive(0, 4, width).status(),
              StatusIs(kInternal, "asks for 4 words"));
  EXPECT_OK((*one)->Receive(1, 3, width));
  EXPECT_THAT((*one)->Send(0, Words(2), plan_.logit_ring),
              StatusIs(kInternal, "an output of 2 words"));
  EXPECT_OK((*one)->Send(0, Words::Zeroed(3), plan_.logit_ring));
  EXPECT_THAT((*one)->Send(0, Words::Zeroed(3), plan_.logit_ring),
              StatusIs(kInternal, "party 0"));
  EXPECT_OK((*one)->Send(1, Words::Zeroed(3), plan_.logit_ring));
  EXPECT_THAT((*one)->Send(1, Words::Zeroed(3), plan_.logit_ring),
              StatusIs(kInternal, "step 1 of 1"));
  // Nothing follows: who asks gets what ended it.
  (*one)->End(absl::UnavailableError("gone"));
  EXPECT_THAT((*one)->Receive(1, 3, width).status(),
              StatusIs(absl::StatusCode::kUnavailable, "gone"));
}

TEST_F(ClassifyTest, SegmentsCount) {
  const TextBatch texts = {{{1, 2, 3}, {4, 5}}, {{0, 1, 1}, {1, 0}}};
  const auto result = ClassifyInProcess(plan_, shares_, PlanDigest{}, texts);
  ASSERT_OK(result);
  ExpectFloats(texts, *result);
}

TEST_F(ClassifyTest, RejectsTextsThatAreNotTheModels) {
  const auto status = [&](const TextBatch& texts) {
    return ClassifyInProcess(plan_, shares_, PlanDigest{}, texts).status();
  };
  EXPECT_THAT(status({}), StatusIs(kInvalid, "there is no text"));
  EXPECT_THAT(status({{{1}, {}}, {}}),
              StatusIs(kInvalid, "a text of 0 tokens"));
  EXPECT_THAT(status({{SomeTokens(17, 37)}, {}}),
              StatusIs(kInvalid, "17 tokens; the plan has 1 to 16"));
  EXPECT_THAT(status({{{37}}, {}}), StatusIs(kInvalid, "a token lies outside"));
  EXPECT_THAT(status({{{-1}}, {}}), StatusIs(kInvalid, "a token lies outside"));
  EXPECT_THAT(status({{{1}}, {{2}}}), StatusIs(kInvalid, "a segment id lies"));
  EXPECT_THAT(status({{{1, 2}}, {{0}}}),
              StatusIs(kInvalid, "1 segment ids for 2 tokens"));
  EXPECT_THAT(status({{{1}, {2}}, {{0}}}),
              StatusIs(kInvalid, "segments of 1 texts for 2"));
}

TEST_F(ClassifyTest, RejectsAModelWithoutClassifier) {
  Make(RandomModel(Architecture::kBert));
  EXPECT_THAT(
      ClassifyInProcess(plan_, shares_, PlanDigest{}, {{{1}}, {}}).status(),
      StatusIs(kInvalid, "BertModel has no classifier"));
}

}  // namespace
}  // namespace tacit
