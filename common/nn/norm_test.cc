#include "common/nn/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

using Values = std::vector<int64_t>;

NormParams Plan(const NormSpec& spec) {
  absl::StatusOr<NormParams> params = PlanNorm(spec);
  EXPECT_OK(params);
  return params.ok() ? *std::move(params) : NormParams{};
}

NormSpec Spec(NormKind kind, size_t d, bool affine) {
  NormSpec spec{};
  spec.kind = kind;
  spec.dim = d;
  spec.gamma = affine;
  spec.beta = affine && kind == NormKind::kLayer;
  return spec;
}

struct Affine {
  Values gamma, beta;
  StaticMatrixShares gamma_shares, beta_shares;
};

Affine MakeAffine(const NormSpec& spec, WeightMode mode, std::mt19937_64& rng) {
  auto draw = [&](double bound, int frac) {
    const int64_t limit = std::llround(std::ldexp(bound, frac)) - 1;
    return RandomValues(spec.dim, -limit, limit, rng);
  };
  Affine a;
  a.gamma = draw(spec.gamma_bound, spec.gamma_frac);
  a.beta = draw(spec.beta_bound, spec.beta_frac);
  a.gamma_shares = TestMatrix(a.gamma, 1, spec.dim, spec.gamma_frac,
                              Layout::kRowMajor, mode);
  a.beta_shares =
      TestMatrix(a.beta, 1, spec.dim, spec.beta_frac, Layout::kRowMajor, mode);
  return a;
}

Program NormProgram(const Shape& shape, const NormParams& params,
                    const Affine& affine, bool shared = false) {
  return [&params, &affine, shape, shared](Evaluator& ev) {
    Wire x = ev.Input(shape, params.spec.width, params.spec.frac);
    if (shared) x = ev.Open(ToShare(ev, x));
    ev.Output(ToShare(
        ev, Norm(ev, x, params,
                 params.spec.gamma ? &Pick(ev, affine.gamma_shares) : nullptr,
                 params.spec.beta ? &Pick(ev, affine.beta_shares) : nullptr)));
  };
}

// Rows whose mean square (about their mean) runs through [low, high] on a
// logarithmic scale. LayerNorm's have a mean of up to twice their deviation.
Values RowsOverRange(const NormSpec& spec, size_t rows, double low, double high,
                     std::mt19937_64& rng) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-2, 2);
  Values x;
  for (size_t row = 0; row < rows; ++row) {
    const double t = rows > 1 ? double(row) / (rows - 1) : 1;
    const double deviation = std::sqrt(low * std::pow(high / low, t));
    const double mean =
        spec.kind == NormKind::kLayer ? uniform(rng) * deviation : 0;
    std::vector<double> z(spec.dim);
    double center = 0, square = 0;
    for (double& v : z) center += (v = normal(rng)) / spec.dim;
    if (spec.kind == NormKind::kRms || spec.dim == 1) center = 0;
    for (double v : z) square += (v - center) * (v - center) / spec.dim;
    for (double v : z) {
      const double value = (v - center) / std::sqrt(square) * deviation + mean;
      x.push_back(std::llround(std::ldexp(value, spec.frac)));
    }
  }
  return x;
}

// The largest error against float64, relative to the largest of 1, |y| and,
// with gamma, |gamma|, for rows that lie within the range.
double MaxError(const Values& got, const Values& x, const NormSpec& spec,
                const Affine& affine) {
  const size_t d = spec.dim;
  double worst = 0;
  for (size_t row = 0; row < x.size(); row += d) {
    double mean = 0, square = 0;
    auto value = [&](size_t j) { return std::ldexp(x[row + j], -spec.frac); };
    if (spec.kind == NormKind::kLayer) {
      for (size_t j = 0; j < d; ++j) mean += value(j) / d;
    }
    for (size_t j = 0; j < d; ++j) {
      square += (value(j) - mean) * (value(j) - mean) / d;
    }
    const double root = 1 / std::sqrt(square + spec.epsilon);
    for (size_t j = 0; j < d; ++j) {
      double want = (value(j) - mean) * root;
      if (spec.gamma) want *= std::ldexp(affine.gamma[j], -spec.gamma_frac);
      if (spec.beta) want += std::ldexp(affine.beta[j], -spec.beta_frac);
      const double y = std::ldexp(got[row + j], -spec.out_frac);
      worst =
          std::max(worst, std::abs(y - want) / std::max(1.0, std::abs(want)));
    }
  }
  return worst;
}

TEST(NormTest, SecureEqualsPlainAtEveryShape) {
  std::mt19937_64 rng(1);
  for (NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
    for (bool affine : {false, true}) {
      for (WeightMode mode : {WeightMode::kDealerHeld, WeightMode::kBlind}) {
        if (!affine && mode == WeightMode::kBlind) continue;
        for (size_t d : {1, 2, 16, 127, 768}) {
          for (size_t rows : {0, 1, 3, 17}) {
            const NormParams params = Plan(Spec(kind, d, affine));
            const Affine weights = MakeAffine(params.spec, mode, rng);
            const Values x = RowsOverRange(params.spec, rows, 1e-4, 1e4, rng);
            const auto out =
                RunAndCheck(NormProgram({rows, d}, params, weights, rows == 3),
                            {{x, params.spec.width}});
            ASSERT_EQ(out.size(), 1u);
            EXPECT_LE(MaxError(out[0], x, params.spec, weights), 2e-3)
                << d << " " << affine;
          }
        }
      }
    }
  }
}

// Mean squares from 1e-6 to 1e6, with the plain evaluator, which the test
// above shows to give the same bits.
TEST(NormTest, AccuracyAgainstFloat64OverTheFullRange) {
  std::mt19937_64 rng(2);
  for (NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
    for (bool affine : {false, true}) {
      for (double epsilon : {1e-5, 1e-6, 0.0}) {
        for (size_t d : {64, 768, 1024}) {
          NormSpec spec = Spec(kind, d, affine);
          spec.epsilon = epsilon;
          spec.min_mean_square = 0.8e-6;  // rounding the inputs lowers it
          const NormParams params = Plan(spec);
          const Affine weights = MakeAffine(spec, WeightMode::kDealerHeld, rng);
          const Values x = RowsOverRange(spec, 300, 1e-6, 0.99e6, rng);
          const auto out =
              RunPlain({}, TestSeeds(4), NormProgram({300, d}, params, weights),
                       {{x, spec.width}});
          ASSERT_OK(out);
          const double error = MaxError((*out)[0], x, spec, weights);
          RecordProperty(
              absl::StrCat(kind == NormKind::kRms ? "rms" : "layer",
                           affine ? "_affine_" : "_", d, "_eps", epsilon),
              absl::StrCat(error));
          EXPECT_LE(error, 2e-3) << d << " " << affine << " " << epsilon;
        }
      }
    }
  }
}

TEST(NormTest, LargeRmsNorm) {
  std::mt19937_64 rng(3);
  const NormParams params = Plan(Spec(NormKind::kRms, 4096, true));
  const Affine weights = MakeAffine(params.spec, WeightMode::kBlind, rng);
  const Values x = RowsOverRange(params.spec, 8, 1e-6, 0.99e6, rng);
  const auto out = RunAndCheck(NormProgram({8, 4096}, params, weights),
                               {{x, params.spec.width}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_LE(MaxError(out[0], x, params.spec, weights), 2e-3);
}

// One entry far above the others: the largest result that there can be.
TEST(NormTest, OutliersFitTheProduct) {
  std::mt19937_64 rng(4);
  for (NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
    for (bool affine : {false, true}) {
      const size_t d = 768;
      const NormParams params = Plan(Spec(kind, d, affine));
      const Affine weights =
          MakeAffine(params.spec, WeightMode::kDealerHeld, rng);
      Values x(2 * d, 0);
      const double top = std::sqrt(0.99e6 * d);
      x[5] = std::llround(std::ldexp(top, params.spec.frac));
      x[d] = -std::llround(std::ldexp(top, params.spec.frac));
      const auto out = RunAndCheck(NormProgram({2, d}, params, weights),
                                   {{x, params.spec.width}});
      ASSERT_EQ(out.size(), 1u);
      EXPECT_LE(MaxError(out[0], x, params.spec, weights), 2e-3);
    }
  }
}

TEST(NormTest, FaithfulRounding) {
  std::mt19937_64 rng(5);
  const NormParams params = Plan(Spec(NormKind::kLayer, 32, true));
  const Affine weights = MakeAffine(params.spec, WeightMode::kBlind, rng);
  const Values x = RowsOverRange(params.spec, 6, 1e-3, 1e3, rng);
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  const auto out = RunAndCheck(NormProgram({6, 32}, params, weights),
                               {{x, params.spec.width}}, options);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_LE(MaxError(out[0], x, params.spec, weights), 2e-3);
}

TEST(NormTest, OtherWidths) {
  std::mt19937_64 rng(6);
  NormSpec spec = Spec(NormKind::kRms, 64, false);
  spec.width = 40;
  spec.frac = 8;
  spec.max_mean_square = 1e4;
  spec.out_frac = 8;
  spec.out_width = 38;
  const NormParams params = Plan(spec);
  EXPECT_EQ(params.out_width, 38);
  const Affine none;
  const Values x = RowsOverRange(spec, 20, 1e-2, 0.99e4, rng);
  const auto out =
      RunAndCheck(NormProgram({20, 64}, params, none), {{x, spec.width}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_LE(MaxError(out[0], x, spec, none), 8e-3);
}

TEST(NormTest, CostStaysWithinItsLimits) {
  std::mt19937_64 rng(7);
  const size_t rows = 128, d = 768;
  for (NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
    for (bool affine : {false, true}) {
      const NormParams params = Plan(Spec(kind, d, affine));
      const Affine weights = MakeAffine(params.spec, WeightMode::kBlind, rng);
      const auto cost = DeclaredCost([&](Evaluator& ev) {
        NormProgram({rows, d}, params, weights)(ev);
      });
      ASSERT_OK(cost);
      EXPECT_EQ(cost->rounds, 4u);
      const uint64_t opened = cost->opened_bytes[0] + cost->opened_bytes[1];
      EXPECT_LE(opened, affine ? 2500000 : 1300000);
      RecordProperty(
          absl::StrCat(kind == NormKind::kRms ? "rms" : "layer",
                       affine ? "_affine_opened" : "_opened"),
          absl::StrCat(opened, " material ", cost->material_bytes[1]));
    }
  }
}

TEST(NormTest, PlainRejectsMeanSquaresOutsideTheTable) {
  const NormParams params = Plan(Spec(NormKind::kRms, 4, false));
  const Affine none;
  auto status = [&](double value) {
    return StatusOfPlain(
        NormProgram({1, 4}, params, none),
        {{Values(4, std::llround(std::ldexp(value, 12))), 64}});
  };
  EXPECT_OK(status(0));
  EXPECT_OK(status(999));
  EXPECT_THAT(status(2000), StatusIs(absl::StatusCode::kOutOfRange, ""));
}

TEST(NormTest, RejectsWhatThePlanDoesNotCover) {
  std::mt19937_64 rng(8);
  const NormParams params = Plan(Spec(NormKind::kLayer, 16, true));
  const Affine weights = MakeAffine(params.spec, WeightMode::kBlind, rng);
  auto status = [&](Shape shape, int width, int frac, bool gamma, bool beta) {
    return DeclaredCost([&](Evaluator& ev) {
             const Wire x = ev.Input(shape, width, frac);
             Norm(ev, x, params,
                  gamma ? &Pick(ev, weights.gamma_shares) : nullptr,
                  beta ? &Pick(ev, weights.beta_shares) : nullptr);
           })
        .status();
  };
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument, "Norm");
  EXPECT_OK(status({3, 16}, 64, 12, true, true));
  EXPECT_THAT(status({3, 15}, 64, 12, true, true), invalid);
  EXPECT_THAT(status({}, 64, 12, true, true), invalid);
  EXPECT_THAT(status({3, 16}, 63, 12, true, true), invalid);
  EXPECT_THAT(status({3, 16}, 64, 13, true, true), invalid);
  EXPECT_THAT(status({3, 16}, 64, 12, false, true), invalid);
  EXPECT_THAT(status({3, 16}, 64, 12, true, false), invalid);
}

TEST(NormTest, PlanRejectsRingsThatOverflow) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument, "Norm");
  EXPECT_THAT(PlanNorm(Spec(NormKind::kLayer, 4096, false)), invalid);
  EXPECT_THAT(PlanNorm(Spec(NormKind::kLayer, 0, false)), invalid);
  NormSpec narrow = Spec(NormKind::kRms, 768, false);
  narrow.width = 40;
  EXPECT_THAT(PlanNorm(narrow), invalid);
  NormSpec lower = Spec(NormKind::kLayer, 4096, false);
  lower.max_mean_square = 6e4;
  EXPECT_OK(PlanNorm(lower));
}

}  // namespace
}  // namespace tacit
