#include "common/models/decoder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/testing.h"
#include "common/models/float_model.h"
#include "common/models/testing.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

constexpr size_t kContext = 64;

// A planned and shared model.
struct Model {
  DecoderPlan plan;
  DecoderShares shares;
};

absl::StatusOr<Model> MakeModel(const ModelWeights& weights,
                                const ModelRanges& ranges,
                                WeightMode mode = WeightMode::kDealerHeld,
                                size_t context = kContext,
                                Objective objective = Objective::kBytes) {
  ASSIGN_OR_RETURN(
      DecoderPlan plan,
      PlanDecoder(weights.config, BoundsOf(ranges), context, objective));
  ASSIGN_OR_RETURN(DecoderShares shares,
                   ShareDecoder(plan, weights, mode, TestSeeds().gateway));
  return Model{std::move(plan), std::move(shares)};
}

// Prefill of all tokens but the last `steps`, then a step for each: the logits
// of all positions.
Program Steps(const Model& model, size_t tokens, size_t steps) {
  return [&model, tokens, steps](Evaluator& ev) {
    const int width = TokenWidth(model.plan.config.vocab_size);
    const Wire ids = ev.Input({tokens}, width, 0);
    DecoderCache cache;
    size_t done = 0;
    for (size_t end = tokens - steps; end <= tokens; ++end) {
      std::vector<size_t> now(end - done);
      std::iota(now.begin(), now.end(), done);
      done = end;
      ev.Output(DecoderForward(ev, model.plan, Pick(ev, model.shares),
                               GatherRows(ev, ids, now), cache,
                               LogitsOf::kAll));
    }
  };
}

struct Checked {
  double largest_error = 0;
  size_t same_argmax = 0, positions = 0;
};

void Compare(const std::vector<int64_t>& got, const float* want,
             size_t vocabulary, Checked& checked) {
  for (size_t row = 0; row < got.size() / vocabulary; ++row) {
    const auto first = got.begin() + row * vocabulary;
    const float* reference = want + row * vocabulary;
    for (size_t v = 0; v < vocabulary; ++v) {
      const double logit = std::ldexp(static_cast<double>(first[v]), -24);
      checked.largest_error =
          std::max(checked.largest_error, std::abs(logit - reference[v]));
    }
    checked.same_argmax +=
        std::max_element(first, first + vocabulary) - first ==
        std::max_element(reference, reference + vocabulary) - reference;
    ++checked.positions;
  }
}

// Runs it with all roles and compares with the float model.
Checked RunModel(const ModelWeights& weights,
                 const std::vector<int64_t>& tokens, size_t steps,
                 WeightMode mode = WeightMode::kDealerHeld,
                 const TwoPartyOptions& options = {}) {
  Checked checked;
  ModelRanges ranges;
  const auto logits = FloatForward(weights, tokens, &ranges);
  EXPECT_OK(logits);
  if (!logits.ok()) return checked;
  const auto model =
      MakeModel(weights, ranges, mode, std::max(kContext, tokens.size()));
  EXPECT_OK(model);
  if (!model.ok()) return checked;
  const size_t vocabulary = weights.config.vocab_size;
  const auto out = RunAndCheck(Steps(*model, tokens.size(), steps),
                               {{tokens, TokenWidth(vocabulary)}}, options);
  EXPECT_EQ(out.size(), steps + 1);
  size_t row = 0;
  for (const std::vector<int64_t>& rows : out) {
    Compare(rows, logits->data() + row * vocabulary, vocabulary, checked);
    row += rows.size() / vocabulary;
  }
  return checked;
}

using Case = std::tuple<Architecture, size_t, WeightMode>;
class DecoderTest : public testing::TestWithParam<Case> {};

TEST_P(DecoderTest, SecureEqualsPlainAndIsNearFloat) {
  const auto& [architecture, length, mode] = GetParam();
  ModelWeights weights = RandomModel(architecture);
  // GPT-2's positions are learned for 64.
  const size_t tokens =
      std::min(length, static_cast<size_t>(weights.config.max_positions));
  const size_t steps = std::min<size_t>(3, tokens - 1);
  const Checked checked = RunModel(
      weights, SomeTokens(tokens, weights.config.vocab_size), steps, mode);
  EXPECT_EQ(checked.positions, tokens);
  EXPECT_LT(checked.largest_error, 0.1);
}

INSTANTIATE_TEST_SUITE_P(
    Lengths, DecoderTest,
    testing::Combine(testing::Values(Architecture::kLlama, Architecture::kQwen2,
                                     Architecture::kGpt2),
                     testing::Values(1, 2, 17, 64),
                     testing::Values(WeightMode::kDealerHeld,
                                     WeightMode::kBlind)));

TEST(DecoderRoundingTest, FaithfulRoundingRunsToo) {
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  for (Architecture architecture :
       {Architecture::kLlama, Architecture::kGpt2}) {
    const ModelWeights weights = RandomModel(architecture);
    const Checked checked =
        RunModel(weights, SomeTokens(5, weights.config.vocab_size), 2,
                 WeightMode::kDealerHeld, options);
    EXPECT_LT(checked.largest_error, 0.1);
  }
}

TEST(DecoderRoundsTest, ALayerTakesTwentyFourOrTwentyTwo) {
  const ModelWeights weights = RandomModel(Architecture::kLlama);
  const std::vector<int64_t> tokens = SomeTokens(9, 37);
  ModelRanges ranges;
  const auto want = FloatForward(weights, tokens, &ranges);
  ASSERT_OK(want);
  for (const auto& [objective, rounds] : {std::pair(Objective::kBytes, 24u),
                                          std::pair(Objective::kRounds, 22u)}) {
    const auto model = MakeModel(weights, ranges, WeightMode::kDealerHeld,
                                 kContext, objective);
    ASSERT_OK(model);
    const auto cost = DeclaredCost(Steps(*model, 9, 0));
    ASSERT_OK(cost);
    // The embedding 2, with the first norm's opening; the final norm 4.
    EXPECT_EQ(cost->rounds, 2u + 2 * rounds + 4);
    const auto out =
        RunAndCheck(Steps(*model, 9, 0), {{tokens, TokenWidth(37)}});
    ASSERT_EQ(out.size(), 1u);
    Checked checked;
    Compare(out[0], want->data(), 37, checked);
    EXPECT_LT(checked.largest_error, 0.1);
  }
}

// Sequences of a batch do not see each other, and take no more rounds than one.
TEST(DecoderBatchTest, EqualsItsSequencesOneByOne) {
  const ModelWeights weights = RandomModel(Architecture::kLlama);
  const size_t vocabulary = weights.config.vocab_size;
  const std::vector<size_t> lengths = {3, 40, 1};
  const std::vector<int64_t> tokens = SomeTokens(44, vocabulary);
  ModelRanges ranges;
  ASSERT_OK(FloatForward(weights, tokens, &ranges));
  const auto model = MakeModel(weights, ranges);
  ASSERT_OK(model);
  std::vector<int64_t> next = {5, 6, 7};
  const Program program = [&](Evaluator& ev) {
    const int width = TokenWidth(vocabulary);
    const Wire prompts = ev.Input({44}, width, 0);
    const Wire steps = ev.Input({3}, width, 0);
    DecoderCache cache;
    const DecoderMatrices& matrices = Pick(ev, model->shares);
    ev.Output(
        DecoderForward(ev, model->plan, matrices, prompts, lengths, cache));
    // The second sequence has ended.
    const std::vector<size_t> some = {0, 2}, one = {1, 0, 1};
    ev.Output(DecoderForward(ev, model->plan, matrices,
                             GatherRows(ev, steps, some), one, cache));
  };
  const auto out = RunAndCheck(program, {{tokens, TokenWidth(vocabulary)},
                                         {next, TokenWidth(vocabulary)}});
  ASSERT_EQ(out.size(), 2u);
  ASSERT_EQ(out[0].size(), 3 * vocabulary);
  ASSERT_EQ(out[1].size(), 2 * vocabulary);
  size_t begin = 0;
  for (size_t s = 0; s < 3; ++s) {
    std::vector<int64_t> own(tokens.begin() + begin,
                             tokens.begin() + begin + lengths[s]);
    begin += lengths[s];
    own.push_back(next[s]);
    const auto want = FloatForward(weights, own);
    ASSERT_OK(want);
    Checked checked;
    const auto row = [&](const std::vector<int64_t>& rows, size_t index) {
      return std::vector<int64_t>(rows.begin() + index * vocabulary,
                                  rows.begin() + (index + 1) * vocabulary);
    };
    Compare(row(out[0], s), want->data() + (lengths[s] - 1) * vocabulary,
            vocabulary, checked);
    if (s != 1) {
      Compare(row(out[1], s / 2), want->data() + lengths[s] * vocabulary,
              vocabulary, checked);
    }
    EXPECT_LT(checked.largest_error, 0.1) << s;
  }
}

TEST(DecoderWindowTest, ContextsMayExceedASlidingWindow) {
  for (int64_t first_layer : {0, 1}) {
    ModelWeights weights = RandomModel(Architecture::kMistral);
    weights.config.sliding_window = 7;
    weights.config.first_sliding_layer = first_layer;
    const Checked checked = RunModel(weights, SomeTokens(60, 37), 9);
    EXPECT_EQ(checked.positions, 60u);
    EXPECT_LT(checked.largest_error, 0.1);
  }
}

// The user looks the tokens up and sends masked rows.
TEST(DecoderEmbeddingTest, UsersSideGivesTheSameLogits) {
  for (Architecture architecture :
       {Architecture::kLlama, Architecture::kGpt2}) {
    const ModelWeights weights = RandomModel(architecture);
    const size_t hidden = weights.config.hidden_size;
    const std::vector<int64_t> tokens = SomeTokens(6, 37);
    ModelRanges ranges;
    const auto want = FloatForward(weights, tokens, &ranges);
    ASSERT_OK(want);
    const auto model = MakeModel(weights, ranges);
    ASSERT_OK(model);
    std::vector<int64_t> rows;
    for (size_t t = 0; t < tokens.size(); ++t) {
      std::vector<int64_t> row(hidden);
      EmbedToken(model->plan, weights, tokens[t], t, row);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          DecoderCache cache;
          const Wire input =
              ev.Input({tokens.size(), hidden}, EmbeddedWidth(model->plan),
                       model->plan.residual_frac);
          ev.Output(DecoderForward(ev, model->plan, Pick(ev, model->shares),
                                   input, cache, LogitsOf::kAll));
        },
        {{rows, EmbeddedWidth(model->plan)}});
    ASSERT_EQ(out.size(), 1u);
    Checked checked;
    Compare(out[0], want->data(), 37, checked);
    EXPECT_LT(checked.largest_error, 0.1);
  }
}

TEST(DecoderPlanTest, RejectsWhatDoesNotFit) {
  const ModelWeights weights = RandomModel(Architecture::kLlama);
  ModelRanges ranges;
  ASSERT_OK(FloatForward(weights, SomeTokens(9, 37), &ranges));
  EXPECT_THAT(PlanDecoder(weights.config, BoundsOf(ranges), 65),
              StatusIs(absl::StatusCode::kInvalidArgument, "context 65"));
  ModelBounds bounds = BoundsOf(ranges);
  bounds.layers[1].attention_out = 30;
  EXPECT_THAT(PlanDecoder(weights.config, bounds, 64),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "layer 1: attention: normalised results need"));
  EXPECT_THAT(PlanDecoder(RandomModel(Architecture::kBertClassifier).config,
                          BoundsOf(ranges), 64),
              StatusIs(absl::StatusCode::kUnimplemented, "is no decoder"));
}

TEST(DecoderPlanTest, MoreTokensThanTheContextAreRejected) {
  const ModelWeights weights = RandomModel(Architecture::kLlama);
  ModelRanges ranges;
  ASSERT_OK(FloatForward(weights, SomeTokens(9, 37), &ranges));
  const auto model =
      MakeModel(weights, ranges, WeightMode::kDealerHeld, /*context=*/8);
  ASSERT_OK(model);
  EXPECT_THAT(DeclaredCost(Steps(*model, 9, 1)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "context is 8"));
}

// Residual values of 1,000 in a dimension, as trained LLaMAs have them: nothing
// overflows, and accuracy stays.
TEST(DecoderOutlierTest, ResidualValuesOfAThousandKeepAccuracy) {
  ModelWeights weights = RandomModel(Architecture::kLlama);
  const size_t hidden = weights.config.hidden_size;
  // Token 3 meets them always, the others half.
  for (int64_t v = 0; v < weights.config.vocab_size; ++v) {
    weights.embedding[v * hidden + 5] = v == 3 ? 1500.0f : v % 2 ? 300.0f : 1;
  }
  // As training does: small gains there, large ones elsewhere.
  for (LayerWeights& layer : weights.layers) {
    for (NormWeights* norm : {&layer.attention_norm, &layer.mlp_norm}) {
      for (float& g : norm->gain) g *= 8;
      norm->gain[5] = 0.02f;
    }
  }
  std::vector<int64_t> tokens = SomeTokens(40, 37);
  tokens[0] = 3;
  const Checked checked = RunModel(weights, tokens, 4);
  EXPECT_EQ(checked.same_argmax, checked.positions);
  EXPECT_LT(checked.largest_error, 0.1);
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
  const auto weights = LoadModelWeights(*config, *checkpoint);
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
  EXPECT_EQ(checked.positions, 48u);
  EXPECT_EQ(checked.same_argmax, 48u);
  EXPECT_LT(checked.largest_error, 0.1);
}

}  // namespace
}  // namespace tacit
