#include "common/nn/softmax.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/mul_extend.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

using Values = std::vector<int64_t>;
using Mask = std::vector<uint8_t>;

constexpr int kFrac = 12;
constexpr int kWidth = 32;

SoftmaxParams Plan(size_t length, int64_t bound = 120, int precision = 11) {
  absl::StatusOr<SoftmaxParams> params = PlanSoftmax(length, bound, precision);
  EXPECT_OK(params);
  return params.ok() ? *std::move(params) : SoftmaxParams{};
}

Program SoftmaxProgram(const Shape& shape, const SoftmaxParams& params,
                       const Mask& mask = {}) {
  return [=](Evaluator& ev) {
    const Wire scores = ev.Input(shape, kWidth, kFrac);
    ev.Output(ToShare(ev, Softmax(ev, scores, params, mask)));
  };
}

bool Allowed(const Mask& mask, size_t e) {
  return mask.empty() || mask[e % mask.size()];
}

// In float64.
std::vector<double> Reference(const Values& scores, size_t keys,
                              const Mask& mask) {
  std::vector<double> p(scores.size(), 0);
  for (size_t row = 0; row < scores.size(); row += keys) {
    double top = -INFINITY, sum = 0;
    for (size_t e = row; e < row + keys; ++e) {
      if (Allowed(mask, e)) top = std::max(top, std::ldexp(scores[e], -kFrac));
    }
    for (size_t e = row; e < row + keys; ++e) {
      if (!Allowed(mask, e)) continue;
      p[e] = std::exp2(std::ldexp(scores[e], -kFrac) - top);
      sum += p[e];
    }
    for (size_t e = row; e < row + keys; ++e) p[e] /= sum;
  }
  return p;
}

double MaxError(const Values& got, const Values& scores, size_t keys,
                const SoftmaxParams& params, const Mask& mask = {}) {
  const std::vector<double> want = Reference(scores, keys, mask);
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double p = std::ldexp(got[i], -params.probability_frac);
    worst = std::max(worst, std::abs(p - want[i]));
    if (!Allowed(mask, i)) {
      EXPECT_EQ(got[i], 0) << i;
    }
  }
  return worst;
}

// Scores of all kinds of rows: constant, narrow, wide, one high, at the bound.
Values MixedScores(size_t rows, size_t keys, int64_t bound,
                   std::mt19937_64& rng) {
  Values scores(rows * keys);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-1, 1);
  const double limit = std::ldexp(static_cast<double>(bound), kFrac);
  for (size_t row = 0; row < rows; ++row) {
    const double center = uniform(rng) * limit;
    const double spread = std::exp2(uniform(rng) * 4 + 1 + kFrac);
    for (size_t i = 0; i < keys; ++i) {
      double s = center;
      switch (row % 5) {
        case 0:
          break;
        case 1:
          s += normal(rng) * spread;
          break;
        case 2:
          s = uniform(rng) * limit;
          break;
        case 3:
          s = i == row % keys ? limit : -limit;
          break;
        case 4:
          s += normal(rng) * spread / 16;
          break;
      }
      scores[row * keys + i] =
          static_cast<int64_t>(std::clamp(s, -limit, limit));
    }
  }
  return scores;
}

TEST(SoftmaxTest, SecureEqualsPlainAtEveryLength) {
  std::mt19937_64 rng(1);
  for (size_t keys : {1, 2, 3, 7, 8, 127, 128, 129, 1000}) {
    for (size_t rows : {1, 5}) {
      const SoftmaxParams params = Plan(keys);
      const Values scores = MixedScores(rows, keys, 120, rng);
      const auto out =
          RunAndCheck(SoftmaxProgram({rows, keys}, params), {{scores, kWidth}});
      ASSERT_EQ(out.size(), 1u);
      EXPECT_LE(MaxError(out[0], scores, keys, params), 1.2e-3) << keys;
    }
  }
}

TEST(SoftmaxTest, EmptyTensor) {
  const SoftmaxParams params = Plan(8);
  const auto out = RunAndCheck(SoftmaxProgram({0, 8}, params), {{{}, kWidth}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_TRUE(out[0].empty());
}

TEST(SoftmaxTest, FaithfulRounding) {
  std::mt19937_64 rng(2);
  const SoftmaxParams params = Plan(20);
  const Values scores = MixedScores(10, 20, 120, rng);
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  const auto out = RunAndCheck(SoftmaxProgram({10, 20}, params),
                               {{scores, kWidth}}, options);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_LE(MaxError(out[0], scores, 20, params), 1.2e-3);
}

// Over many rows and masks, with the plain evaluator, which the tests above
// show to give the same bits.
TEST(SoftmaxTest, AccuracyAgainstFloat64) {
  std::mt19937_64 rng(3);
  for (size_t keys : {1, 2, 16, 127, 128, 1000, 4096}) {
    const size_t rows = std::max<size_t>(40, 200000 / keys);
    const SoftmaxParams params = Plan(keys);
    const Values scores = MixedScores(rows, keys, 120, rng);
    const auto out =
        RunPlain({}, TestSeeds(2), SoftmaxProgram({rows, keys}, params),
                 {{scores, kWidth}});
    ASSERT_OK(out);
    const double error = MaxError((*out)[0], scores, keys, params);
    RecordProperty(absl::StrCat("max_error_", keys), absl::StrCat(error));
    EXPECT_LE(error, 1.2e-3) << keys;
  }
}

TEST(SoftmaxTest, OtherBoundsAndPrecisions) {
  std::mt19937_64 rng(4);
  for (int64_t bound : {1, 8, 24, 50, 200, 1000}) {
    for (int precision : {8, 12}) {
      const SoftmaxParams params = Plan(64, bound, precision);
      const Values scores = MixedScores(20, 64, bound, rng);
      const auto out =
          RunAndCheck(SoftmaxProgram({20, 64}, params), {{scores, kWidth}});
      ASSERT_EQ(out.size(), 1u);
      EXPECT_LE(MaxError(out[0], scores, 64, params),
                2.5 * std::ldexp(1.0, -precision))
          << bound;
    }
  }
}

TEST(SoftmaxTest, CausalAndPaddingMasks) {
  std::mt19937_64 rng(5);
  for (auto [heads, queries, keys, offset] :
       {std::array<size_t, 4>{2, 9, 9, 0}, std::array<size_t, 4>{1, 3, 20, 17},
        std::array<size_t, 4>{3, 1, 5, 4}}) {
    const SoftmaxParams params = Plan(keys);
    const Mask mask = CausalMask(queries, keys, offset);
    Values scores = MixedScores(heads * queries, keys, 120, rng);
    // Whatever stands where nothing is allowed does not matter.
    for (size_t e = 0; e < scores.size(); ++e) {
      if (!Allowed(mask, e)) scores[e] = 1 << 20;
    }
    const auto out =
        RunAndCheck(SoftmaxProgram({heads, queries, keys}, params, mask),
                    {{scores, kWidth}});
    ASSERT_EQ(out.size(), 1u);
    EXPECT_LE(MaxError(out[0], scores, keys, params, mask), 1.2e-3);
  }
  const std::vector<size_t> lengths = {3, 1, 10, 10};
  const Mask mask = PrefixMask(lengths, 10);
  const SoftmaxParams params = Plan(10);
  const Values scores = MixedScores(8, 10, 120, rng);
  const auto out =
      RunAndCheck(SoftmaxProgram({2, 4, 10}, params, mask), {{scores, kWidth}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_LE(MaxError(out[0], scores, 10, params, mask), 1.2e-3);
}

// Rows of different lengths that fill several chunks of the histogram.
TEST(SoftmaxTest, LongCausalRows) {
  std::mt19937_64 rng(6);
  const size_t n = 300;
  const SoftmaxParams params = Plan(n);
  const Mask mask = CausalMask(n, n, 0);
  const Values scores = MixedScores(n, n, 120, rng);
  const auto out =
      RunAndCheck(SoftmaxProgram({n, n}, params, mask), {{scores, kWidth}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_LE(MaxError(out[0], scores, n, params, mask), 1.2e-3);
}

TEST(SoftmaxTest, CostStaysWithinItsLimits) {
  for (size_t keys : {1, 2, 127, 128, 1000, 4096}) {
    const size_t rows = 64;
    const auto cost = DeclaredCost([&](Evaluator& ev) {
      Softmax(ev, ev.Input({rows, keys}, kWidth, kFrac), Plan(keys));
    });
    ASSERT_OK(cost);
    EXPECT_EQ(cost->rounds, 9u) << keys;
    if (keys < 127) continue;
    const double scores = rows * keys;
    EXPECT_LE(cost->material_bytes[1] / scores, 170) << keys;
    const double opened = cost->opened_bytes[0] + cost->opened_bytes[1];
    EXPECT_LE(opened / scores, keys <= 128 ? 40.6 : 44) << keys;
    RecordProperty(absl::StrCat("material_", keys),
                   absl::StrCat(cost->material_bytes[1] / scores));
    RecordProperty(absl::StrCat("opened_", keys),
                   absl::StrCat(opened / scores));
  }
}

// Attention: softmax(s) V with the normalisation last.
TEST(SoftmaxTest, AttentionWeightsShareRoundsWithTheValues) {
  std::mt19937_64 rng(7);
  constexpr size_t kHeads = 2, kQueries = 6, kKeys = 20, kDim = 16;
  const SoftmaxParams params = Plan(kKeys);
  const Mask mask = CausalMask(kQueries, kKeys, kKeys - kQueries);
  const Values scores = MixedScores(kHeads * kQueries, kKeys, 120, rng);
  const Values values =
      RandomValues(kHeads * kKeys * kDim, -4 << kFrac, 4 << kFrac, rng);
  // weights * V: |.| below 4 * 2^13, with both fraction counts.
  const int width = params.weight_frac + kFrac + 2 + 13 + 1;
  const int product_frac = 22;  // after truncation; outputs are below 4
  const int result = product_frac + params.inverse_frac + 4;
  const Program program = [&](Evaluator& ev) {
    const Wire s = ev.Input({kHeads, kQueries, kKeys}, kWidth, kFrac);
    const Wire v = ev.Input({kHeads, kKeys, kDim}, width, kFrac);
    Wire pv;
    const AttentionWeights attention = SoftmaxWeights(
        ev, s, params, width, result,
        [&](const Wire& weights) {
          pv = ev.Open(MatMul(ev, weights, v, Layout::kRowMajor, width));
        },
        mask);
    pv = TruncReduce(ev, pv, pv.frac - product_frac);
    const Share out =
        MulExtend(ev, pv, attention.inverse, Range::kSigned, result);
    ev.Output(ToShare(ev, TruncReduce(ev, ev.Open(out), out.frac - kFrac)));
  };
  const auto out = RunAndCheck(program, {{scores, kWidth}, {values, width}});
  ASSERT_EQ(out.size(), 1u);
  const auto cost = DeclaredCost(program);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 9u);
  const std::vector<double> p = Reference(scores, kKeys, mask);
  double worst = 0;
  for (size_t row = 0; row < kHeads * kQueries; ++row) {
    for (size_t j = 0; j < kDim; ++j) {
      double want = 0;
      for (size_t i = 0; i < kKeys; ++i) {
        want +=
            p[row * kKeys + i] *
            std::ldexp(values[(row / kQueries * kKeys + i) * kDim + j], -kFrac);
      }
      worst = std::max(
          worst, std::abs(std::ldexp(out[0][row * kDim + j], -kFrac) - want));
    }
  }
  EXPECT_LE(worst, 8e-3);  // values up to 4
}

TEST(SoftmaxTest, ToLog2UnitsScales) {
  std::mt19937_64 rng(8);
  const Values x = RandomValues(100, -1 << 20, 1 << 20, rng);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire wire = ev.Input({x.size()}, 48, 14);
        ev.Output(ToShare(ev, ToLog2Units(ev, wire, 0.125, kFrac)));
      },
      {{x, 48}});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = std::ldexp(x[i], -14) * 0.125 * std::numbers::log2e;
    EXPECT_NEAR(std::ldexp(out[0][i], -kFrac), want,
                2.5e-4 + std::abs(want) * 1.8e-4);
  }
}

TEST(SoftmaxTest, PlainRejectsScoresBeyondTheBound) {
  const SoftmaxParams params = Plan(3);
  auto status = [&](int64_t score) {
    return StatusOfPlain(SoftmaxProgram({1, 3}, params),
                         {{{0, score, 7}, kWidth}});
  };
  for (int sign : {-1, 1}) {
    EXPECT_OK(status(sign * (120 << kFrac)));
    EXPECT_THAT(status(sign * ((120 << kFrac) + 1)),
                StatusIs(absl::StatusCode::kOutOfRange, "Softmax"));
    EXPECT_THAT(status(sign * (int64_t{1} << 30)),
                StatusIs(absl::StatusCode::kOutOfRange, ""));
  }
}

TEST(SoftmaxTest, RejectsWhatThePlanDoesNotCover) {
  const SoftmaxParams params = Plan(8);
  auto status = [&](Shape shape, int width, int frac, Mask mask = {}) {
    return DeclaredCost([&](Evaluator& ev) {
             Softmax(ev, ev.Input(shape, width, frac), params, mask);
           })
        .status();
  };
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument, "Softmax");
  EXPECT_OK(status({2, 8}, kWidth, kFrac));
  EXPECT_THAT(status({}, kWidth, kFrac), invalid);
  EXPECT_THAT(status({2, 9}, kWidth, kFrac), invalid);
  EXPECT_THAT(status({2, 8}, params.score_bits - 1, kFrac), invalid);
  EXPECT_THAT(status({2, 8}, kWidth, kFrac + 1), invalid);
  EXPECT_THAT(status({2, 8}, kWidth, kFrac, Mask(7, 1)), invalid);
  EXPECT_THAT(status({2, 8}, kWidth, kFrac, Mask(24, 1)), invalid);
  EXPECT_THAT(status({2, 8}, kWidth, kFrac, Mask(8, 0)), invalid);
}

TEST(SoftmaxTest, PlanRejectsImpossibleSizes) {
  for (const auto& status :
       {PlanSoftmax(0, 120).status(),
        PlanSoftmax(size_t{1} << 21, 120).status(), PlanSoftmax(8, 0).status(),
        PlanSoftmax(8, 1 << 16).status(), PlanSoftmax(8, 120, 3).status(),
        PlanSoftmax(8, 120, 14).status(),
        PlanSoftmax(size_t{1} << 20, 120, 13).status()}) {
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kInvalidArgument, "Softmax"));
  }
}

}  // namespace
}  // namespace tacit
