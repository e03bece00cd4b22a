#include "common/models/generate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "common/base/status_matchers.h"
#include "common/gates/testing.h"
#include "common/models/float_model.h"
#include "common/models/testing.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using Prompts = std::vector<std::vector<int64_t>>;

class GenerateTest : public testing::Test {
 protected:
  void SetUp() override {
    weights_ = RandomModel(Architecture::kLlama);
    const auto ranges = Calibrate(weights_, 32, 1);
    ASSERT_OK(ranges);
    auto plan = PlanDecoder(weights_.config, BoundsOf(*ranges), 32);
    ASSERT_OK(plan);
    plan_ = *std::move(plan);
    auto shares = ShareDecoder(plan_, weights_, WeightMode::kDealerHeld,
                               TestSeeds().gateway);
    ASSERT_OK(shares);
    shares_ = *std::move(shares);
  }

  absl::StatusOr<GenerateResult> Generate(const Prompts& prompts) {
    const auto embed = [this](int64_t token, size_t position,
                              std::span<int64_t> row) {
      EmbedToken(plan_, weights_, token, position, row);
    };
    return GenerateInProcess(
        plan_, shares_, {}, prompts, options_,
        [this](size_t sequence, int64_t token) {
          seen_[sequence].push_back(token);
          return true;
        },
        embed);
  }

  // Whether each token is float's choice, or one within 0.02 of it.
  void ExpectGreedy(std::vector<int64_t> tokens,
                    const std::vector<int64_t>& generated) {
    for (int64_t token : generated) {
      const auto logits = FloatForward(weights_, tokens);
      ASSERT_OK(logits);
      const auto last = logits->end() - 37;
      EXPECT_GE(last[token], *std::max_element(last, logits->end()) - 0.02);
      tokens.push_back(token);
    }
  }

  ModelWeights weights_;
  DecoderPlan plan_;
  DecoderShares shares_;
  GenerateOptions options_;
  std::map<size_t, std::vector<int64_t>> seen_;
};

TEST_F(GenerateTest, GreedyTokensAreTheFloatModels) {
  options_.max_tokens = 12;
  const std::vector<int64_t> prompt = SomeTokens(5, 37);
  const auto result = Generate({prompt});
  ASSERT_OK(result);
  ASSERT_EQ(result->sequences.size(), 1u);
  const GeneratedSequence& sequence = result->sequences[0];
  EXPECT_EQ(sequence.tokens.size(), 12u);
  EXPECT_EQ(seen_[0], sequence.tokens);
  ASSERT_EQ(sequence.first_step_top.size(), 5u);
  EXPECT_EQ(sequence.first_step_top[0].first, sequence.tokens[0]);
  EXPECT_GT(result->counted.rounds, 0u);
  EXPECT_GT(result->counted.material_bytes[1],
            result->counted.material_bytes[0]);
  ExpectGreedy(prompt, sequence.tokens);
}

TEST_F(GenerateTest, BatchesOfPromptsTakeNoMoreRoundsThanOne) {
  options_.max_tokens = 6;
  const Prompts prompts = {SomeTokens(5, 37), {4}, SomeTokens(20, 37)};
  const auto batch = Generate(prompts);
  ASSERT_OK(batch);
  ASSERT_EQ(batch->sequences.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(batch->sequences[i].tokens.size(), 6u);
    ExpectGreedy(prompts[i], batch->sequences[i].tokens);
  }
  const auto one = Generate({prompts[0]});
  ASSERT_OK(one);
  EXPECT_EQ(batch->counted.rounds, one->counted.rounds);
}

TEST_F(GenerateTest, SequencesOfABatchEndByThemselves) {
  options_.max_tokens = 8;
  const Prompts prompts = {SomeTokens(5, 37), SomeTokens(9, 37)};
  const auto all = Generate(prompts);
  ASSERT_OK(all);
  // A token that ends the first, and the second only if it draws it, too.
  options_.stop_tokens = {all->sequences[0].tokens[1]};
  seen_.clear();
  const auto stopped = Generate(prompts);
  ASSERT_OK(stopped);
  EXPECT_LE(stopped->sequences[0].tokens.size(), 2u);
  EXPECT_EQ(seen_[0], stopped->sequences[0].tokens);
  EXPECT_EQ(seen_[1], stopped->sequences[1].tokens);
}

TEST_F(GenerateTest, SecureSamplingAtTemperatureZeroIsGreedy) {
  options_.max_tokens = 5;
  options_.sampling_side = SamplingSide::kSecure;
  const std::vector<int64_t> prompt = SomeTokens(5, 37);
  const auto result = Generate({prompt});
  ASSERT_OK(result);
  EXPECT_TRUE(result->sequences[0].first_step_top.empty());
  ExpectGreedy(prompt, result->sequences[0].tokens);
}

TEST_F(GenerateTest, SecureSamplingDrawsFromTheDistribution) {
  options_.max_tokens = 3;
  options_.sampling_side = SamplingSide::kSecure;
  options_.sampling.temperature = 1;
  options_.sampling.top_k = 4;
  options_.sampling.top_p = 0.9;
  options_.sampling.seed = 7;
  const Prompts prompts = {SomeTokens(5, 37), SomeTokens(3, 37)};
  const auto result = Generate(prompts);
  ASSERT_OK(result);
  for (size_t i = 0; i < 2; ++i) {
    // Each is among the four largest, but for ties within the rounding.
    std::vector<int64_t> tokens = prompts[i];
    for (int64_t token : result->sequences[i].tokens) {
      const auto logits = FloatForward(weights_, tokens);
      ASSERT_OK(logits);
      std::vector<float> last(logits->end() - 37, logits->end());
      const float own = last[token];
      std::sort(last.begin(), last.end(), std::greater<>());
      EXPECT_GE(own, last[3] - 0.02);
      tokens.push_back(token);
    }
  }
}

TEST_F(GenerateTest, TokensLookedUpByTheUserGiveTheSameText) {
  options_.max_tokens = 8;
  options_.embedding_side = EmbeddingSide::kClient;
  const std::vector<int64_t> prompt = SomeTokens(5, 37);
  const auto result = Generate({prompt});
  ASSERT_OK(result);
  ExpectGreedy(prompt, result->sequences[0].tokens);
}

TEST_F(GenerateTest, StopsAtAStopTokenAndWhenTheCallerSaysSo) {
  options_.max_tokens = 12;
  const std::vector<int64_t> prompt = SomeTokens(5, 37);
  const auto all = Generate({prompt});
  ASSERT_OK(all);
  options_.stop_tokens = {all->sequences[0].tokens[2]};
  const auto stopped = Generate({prompt});
  ASSERT_OK(stopped);
  EXPECT_LE(stopped->sequences[0].tokens.size(), 3u);
  EXPECT_EQ(stopped->sequences[0].tokens.back(), options_.stop_tokens[0]);
  options_.stop_tokens.clear();
  int count = 0;
  const auto called =
      GenerateInProcess(plan_, shares_, {}, {prompt}, options_,
                        [&](size_t, int64_t) { return ++count < 4; });
  ASSERT_OK(called);
  EXPECT_EQ(called->sequences[0].tokens.size(), 4u);
}

TEST_F(GenerateTest, FillsTheContextToItsLastPosition) {
  options_.max_tokens = 28;
  EXPECT_OK(Generate({SomeTokens(5, 37)}));
  options_.max_tokens = 29;
  EXPECT_THAT(Generate({SomeTokens(5, 37)}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "5 tokens and 29 more exceed the context of 32"));
}

TEST_F(GenerateTest, RejectsBadPromptsAndOptionsBeforeAnythingIsDealt) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  options_.max_tokens = 4;
  EXPECT_THAT(Generate({}), StatusIs(kInvalid, "no prompt"));
  EXPECT_THAT(Generate({{}}), StatusIs(kInvalid, "no token"));
  EXPECT_THAT(Generate({{1, 37}}), StatusIs(kInvalid, "vocabulary of 37"));
  EXPECT_THAT(Generate({{1}, {-1}}), StatusIs(kInvalid, "vocabulary"));
  options_.sampling.temperature = -1;
  EXPECT_THAT(Generate({{1}}), StatusIs(kInvalid, "temperature"));
  options_.sampling.temperature = 1;
  options_.sampling.top_p = 0;
  EXPECT_THAT(Generate({{1}}), StatusIs(kInvalid, "top-p"));
  options_.sampling.top_p = 1;
  options_.sampling_side = SamplingSide::kSecure;
  options_.sampling.repetition_penalty = 2;
  EXPECT_THAT(Generate({{1}}), StatusIs(kInvalid, "no repetition penalty"));
  options_.sampling.repetition_penalty = 1;
  options_.sampling.top_k = 1025;
  EXPECT_THAT(Generate({{1}}), StatusIs(kInvalid, "at most 1024"));
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
