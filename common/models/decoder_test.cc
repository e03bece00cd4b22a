#include "common/models/decoder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "common/gates/linear.h"
#include "common/gates/testing.h"
#include "common/models/testing.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

// Prefill of all tokens but the last `steps`, then a step for each: the logits
// of the last prefill position and of every step.
Program Steps(const DecoderPlan& plan, const DecoderShares& shares,
              size_t tokens, size_t steps) {
  return [&plan, &shares, tokens, steps](Evaluator& ev) {
    const int width = TokenWidth(plan.config.vocab_size);
    const Wire ids = ev.Input({tokens}, width, 0);
    DecoderCache cache;
    for (size_t end = tokens - steps; end <= tokens; ++end) {
      std::vector<size_t> now;
      for (size_t i = cache.positions; i < end; ++i) now.push_back(i);
      ev.Output(DecoderForward(ev, plan, Pick(ev, shares),
                               GatherRows(ev, ids, now), cache));
    }
  };
}

struct Checked {
  double largest_error = 0;
  size_t same_argmax = 0, positions = 0;
};

// Runs it with all roles and compares with the float model.
Checked RunModel(const DecoderWeights& weights,
                 const std::vector<int64_t>& tokens, size_t steps,
                 WeightMode mode = WeightMode::kDealerHeld,
                 const TwoPartyOptions& options = {}) {
  Checked checked;
  DecoderRanges ranges;
  const auto logits = FloatForward(weights, tokens, &ranges);
  EXPECT_OK(logits);
  const auto plan = PlanDecoder(weights.config, ranges, 64);
  EXPECT_OK(plan);
  const auto shares = ShareDecoder(weights, mode, TestSeeds().gateway);
  EXPECT_OK(shares);
  if (!logits.ok() || !plan.ok() || !shares.ok()) return checked;
  const auto out =
      RunAndCheck(Steps(*plan, *shares, tokens.size(), steps),
                  {{tokens, TokenWidth(weights.config.vocab_size)}}, options);
  EXPECT_EQ(out.size(), steps + 1);
  const size_t vocabulary = weights.config.vocab_size;
  for (size_t step = 0; step < out.size(); ++step) {
    const float* want =
        logits->data() + (tokens.size() - steps - 1 + step) * vocabulary;
    for (size_t v = 0; v < vocabulary; ++v) {
      const double got = std::ldexp(static_cast<double>(out[step][v]), -24);
      checked.largest_error =
          std::max(checked.largest_error, std::abs(got - want[v]));
    }
    checked.same_argmax +=
        std::max_element(out[step].begin(), out[step].end()) -
            out[step].begin() ==
        std::max_element(want, want + vocabulary) - want;
    ++checked.positions;
  }
  return checked;
}

class DecoderTest
    : public testing::TestWithParam<std::tuple<size_t, WeightMode>> {};

TEST_P(DecoderTest, SecureEqualsPlainAndIsNearFloat) {
  const auto& [length, mode] = GetParam();
  const DecoderWeights weights = RandomModel(length % 2 == 0);
  const size_t steps = std::min<size_t>(3, length - 1);
  const Checked checked = RunModel(
      weights, SomeTokens(length, weights.config.vocab_size), steps, mode);
  EXPECT_EQ(checked.positions, steps + 1);
  EXPECT_LT(checked.largest_error, 0.1);
}

INSTANTIATE_TEST_SUITE_P(
    Lengths, DecoderTest,
    testing::Combine(testing::Values(1, 2, 17, 64),
                     testing::Values(WeightMode::kDealerHeld,
                                     WeightMode::kBlind)));

TEST(DecoderRoundingTest, FaithfulRoundingRunsToo) {
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  const DecoderWeights weights = RandomModel(false);
  const Checked checked =
      RunModel(weights, SomeTokens(5, weights.config.vocab_size), 2,
               WeightMode::kDealerHeld, options);
  EXPECT_LT(checked.largest_error, 0.1);
}

TEST(DecoderPlanTest, RejectsWhatDoesNotFit) {
  const DecoderWeights weights = RandomModel(false);
  DecoderRanges ranges;
  ASSERT_OK(FloatForward(weights, SomeTokens(9, 37), &ranges));
  EXPECT_THAT(PlanDecoder(weights.config, ranges, 65),
              StatusIs(absl::StatusCode::kInvalidArgument, "context 65"));
  ModelConfig sliding = weights.config;
  sliding.sliding_window = 32;
  EXPECT_OK(PlanDecoder(sliding, ranges, 32));
  EXPECT_THAT(PlanDecoder(sliding, ranges, 33),
              StatusIs(absl::StatusCode::kUnimplemented, "window of 32"));
  ranges.layers[1].attention_out = 1e6;
  EXPECT_THAT(PlanDecoder(weights.config, ranges, 64),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "layer 1: attention needs a ring of"));
}

TEST(DecoderPlanTest, MoreTokensThanTheContextAreRejected) {
  const DecoderWeights weights = RandomModel(false);
  DecoderRanges ranges;
  ASSERT_OK(FloatForward(weights, SomeTokens(9, 37), &ranges));
  const auto plan = PlanDecoder(weights.config, ranges, 8);
  ASSERT_OK(plan);
  const auto shares =
      ShareDecoder(weights, WeightMode::kDealerHeld, TestSeeds().gateway);
  ASSERT_OK(shares);
  EXPECT_THAT(DeclaredCost(Steps(*plan, *shares, 9, 1)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "context is 8"));
}

TEST(FloatForwardTest, RejectsBadTokens) {
  const DecoderWeights weights = RandomModel(false);
  EXPECT_THAT(FloatForward(weights, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "0 tokens after 0"));
  const std::vector<int64_t> outside = {3, 37};
  EXPECT_THAT(FloatForward(weights, outside),
              StatusIs(absl::StatusCode::kInvalidArgument, "token 37"));
}

// A trained checkpoint, where the folder with test data is there.
TEST(TrainedDecoderTest, Stories260KKeepsItsGreedyTokens) {
  const std::string folder = TACIT_TEST_DATA "/stories260K";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << "no " << folder;
  }
  const auto config = LoadModelConfig(folder);
  ASSERT_OK(config);
  const auto checkpoint = Checkpoint::Open(folder);
  ASSERT_OK(checkpoint);
  const auto weights = LoadDecoderWeights(*config, *checkpoint);
  ASSERT_OK(weights);
  // Greedy in floats from the beginning of a story.
  std::vector<int64_t> tokens = {1};
  while (tokens.size() < 48) {
    const auto logits = FloatForward(*weights, tokens);
    ASSERT_OK(logits);
    const auto last = logits->end() - config->vocab_size;
    tokens.push_back(std::max_element(last, logits->end()) - last);
  }
  const Checked checked = RunModel(*weights, tokens, 30);
  EXPECT_EQ(checked.positions, 31u);
  EXPECT_EQ(checked.same_argmax, 31u);
  EXPECT_LT(checked.largest_error, 0.1);
}

}  // namespace
}  // namespace tacit
