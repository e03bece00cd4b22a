#include "common/models/generate.h"

#include <algorithm>

#include "common/base/status_matchers.h"
#include "common/gates/testing.h"
#include "common/models/testing.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

class GenerateTest : public testing::Test {
 protected:
  void SetUp() override {
    weights_ = RandomModel(false);
    const auto ranges = Calibrate(weights_, 32, 1);
    ASSERT_OK(ranges);
    auto plan = PlanDecoder(weights_.config, *ranges, 32);
    ASSERT_OK(plan);
    plan_ = *std::move(plan);
    auto shares =
        ShareDecoder(weights_, WeightMode::kDealerHeld, TestSeeds().gateway);
    ASSERT_OK(shares);
    shares_ = *std::move(shares);
  }

  absl::StatusOr<GenerateResult> Generate(const std::vector<int64_t>& prompt) {
    return GenerateInProcess(plan_, shares_, prompt, options_,
                             [](int64_t) { return true; });
  }

  DecoderWeights weights_;
  DecoderPlan plan_;
  DecoderShares shares_;
  GenerateOptions options_;
};

TEST_F(GenerateTest, GreedyTokensAreTheFloatModels) {
  options_.max_tokens = 12;
  const std::vector<int64_t> prompt = SomeTokens(5, 37);
  std::vector<int64_t> seen;
  const auto result =
      GenerateInProcess(plan_, shares_, prompt, options_, [&](int64_t token) {
        seen.push_back(token);
        return true;
      });
  ASSERT_OK(result);
  EXPECT_EQ(result->tokens.size(), 12u);
  EXPECT_EQ(seen, result->tokens);
  ASSERT_EQ(result->first_step_top.size(), 5u);
  EXPECT_EQ(result->first_step_top[0].first, result->tokens[0]);
  EXPECT_GT(result->counted.rounds, 0u);
  EXPECT_GT(result->counted.material_bytes[1],
            result->counted.material_bytes[0]);
  // Float's choice, or one within 0.02 of it.
  std::vector<int64_t> tokens = prompt;
  for (int64_t token : result->tokens) {
    const auto logits = FloatForward(weights_, tokens);
    ASSERT_OK(logits);
    const auto last = logits->end() - 37;
    EXPECT_GE(last[token], *std::max_element(last, logits->end()) - 0.02);
    tokens.push_back(token);
  }
}

TEST_F(GenerateTest, StopsAtAStopTokenAndWhenTheCallerSaysSo) {
  options_.max_tokens = 12;
  const std::vector<int64_t> prompt = SomeTokens(5, 37);
  const auto all = Generate(prompt);
  ASSERT_OK(all);
  options_.stop_tokens = {all->tokens[2]};
  const auto stopped = Generate(prompt);
  ASSERT_OK(stopped);
  EXPECT_LE(stopped->tokens.size(), 3u);
  EXPECT_EQ(stopped->tokens.back(), all->tokens[2]);
  options_.stop_tokens.clear();
  int count = 0;
  const auto called = GenerateInProcess(plan_, shares_, prompt, options_,
                                        [&](int64_t) { return ++count < 4; });
  ASSERT_OK(called);
  EXPECT_EQ(called->tokens.size(), 4u);
}

TEST_F(GenerateTest, FillsTheContextToItsLastPosition) {
  options_.max_tokens = 28;
  EXPECT_OK(Generate(SomeTokens(5, 37)));
  options_.max_tokens = 29;
  EXPECT_THAT(Generate(SomeTokens(5, 37)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "5 tokens and 29 more exceed the context of 32"));
}

TEST_F(GenerateTest, RejectsBadPromptsAndOptionsBeforeAnythingIsDealt) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  options_.max_tokens = 4;
  EXPECT_THAT(Generate({}), StatusIs(kInvalid, "no token"));
  EXPECT_THAT(Generate({1, 37}), StatusIs(kInvalid, "vocabulary of 37"));
  EXPECT_THAT(Generate({-1}), StatusIs(kInvalid, "vocabulary"));
  options_.sampling.temperature = -1;
  EXPECT_THAT(Generate({1}), StatusIs(kInvalid, "temperature"));
  options_.sampling.temperature = 1;
  options_.sampling.top_p = 0;
  EXPECT_THAT(Generate({1}), StatusIs(kInvalid, "top-p"));
}

TEST(TokenSamplerTest, TakesTheLargestAtTemperatureZero) {
  auto sampler = TokenSampler::Create({});
  ASSERT_OK(sampler);
  const std::vector<double> logits = {0.5, 2, -1, 2};
  EXPECT_EQ(sampler->Next(logits, {}), 1);
  SamplingOptions penalised;
  penalised.repetition_penalty = 10;
  sampler = TokenSampler::Create(penalised);
  ASSERT_OK(sampler);
  const std::vector<int64_t> history = {1, 3};
  EXPECT_EQ(sampler->Next(logits, history), 0);
}

TEST(TokenSamplerTest, FrequenciesFollowTheDistribution) {
  SamplingOptions options;
  options.temperature = 2;
  options.top_k = 3;
  options.top_p = 0.9;
  auto sampler = TokenSampler::Create(options);
  ASSERT_OK(sampler);
  // exp(logit / 2): 8, 4, 1, and one that top-k drops; 8 + 4 of 13 reach 0.9.
  const std::vector<double> logits = {2 * std::log(4.0), 2 * std::log(8.0), 0,
                                      -1};
  int counts[4] = {0, 0, 0, 0};
  for (int i = 0; i < 30000; ++i) ++counts[sampler->Next(logits, {})];
  EXPECT_NEAR(counts[1] / 30000.0, 2.0 / 3, 0.02);
  EXPECT_NEAR(counts[0] / 30000.0, 1.0 / 3, 0.02);
  EXPECT_EQ(counts[2] + counts[3], 0);
}

TEST(TokenSamplerTest, TheSameSeedGivesTheSameTokens) {
  SamplingOptions options;
  options.temperature = 1;
  options.seed = 42;
  auto a = TokenSampler::Create(options), b = TokenSampler::Create(options);
  ASSERT_OK(a);
  ASSERT_OK(b);
  const std::vector<double> logits(20, 0.0);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(a->Next(logits, {}), b->Next(logits, {}));
  }
}

}  // namespace
}  // namespace tacit
