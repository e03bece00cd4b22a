#include "common/nn/tables.h"

#include <cmath>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

PowerTableSpec WideSpec(bool centered) {
  PowerTableSpec spec{};
  spec.frac = 30;
  spec.lo = -20;
  spec.hi = 20;
  spec.out_frac = 24;
  spec.index_bits = 11;
  spec.centered = centered;
  return spec;
}

// The largest relative error of the table, either neighbouring entry of every
// index, at the ends and the middle of what the index stands for.
double WorstError(const PowerTableSpec& spec, const SegmentedTable& table,
                  double power) {
  double worst = 0;
  const long double offset =
      spec.centered ? std::ldexp(1.0L, spec.hi + spec.frac - 1) : 0;
  for (size_t i = 0; i < table.table.size(); ++i) {
    const int k = table.shift[i];
    const long double low = table.boundaries[i] + offset;
    const std::vector<int64_t>& entries = table.table[i];
    for (size_t u = 0; u + 1 < entries.size(); ++u) {
      for (double part : {0.0, 0.5, 0.999}) {
        const double x = static_cast<double>(std::ldexp(
            low + std::ldexp(
                      u + std::floor(std::ldexp(part, k)) / std::ldexp(1.0, k),
                      k),
            -spec.frac));
        const double want = spec.scale * std::pow(x, power);
        // With shift 0 there is no carry.
        for (size_t carry = 0; carry <= (k > 0 && part > 0 ? 1 : 0); ++carry) {
          const double got = std::ldexp(entries[u + carry], -spec.out_frac);
          // Less what rounding the entry may add.
          const double error =
              std::abs(got - want) - std::ldexp(1.0, -spec.out_frac - 1);
          worst = std::max(worst, error / want);
        }
      }
    }
  }
  return worst;
}

TEST(TablesTest, EntriesKeepTheirRelativeErrorOverFortyOctaves) {
  for (bool centered : {false, true}) {
    const PowerTableSpec spec = WideSpec(centered);
    const auto reciprocal = ReciprocalTable(spec);
    const auto rsqrt = RsqrtTable(spec);
    ASSERT_OK(reciprocal);
    ASSERT_OK(rsqrt);
    EXPECT_LE(WorstError(spec, *reciprocal, -1), std::ldexp(1.0, -10));
    EXPECT_LE(WorstError(spec, *rsqrt, -0.5), std::ldexp(1.0, -11));
    EXPECT_EQ(reciprocal->domain_bits, centered ? 50 : 51);
  }
}

TEST(TablesTest, SmallInputsAreExact) {
  PowerTableSpec spec{};
  spec.frac = 4;
  spec.lo = -8;  // below the smallest input, 2^-4
  spec.hi = 12;
  spec.out_frac = 20;
  const auto table = ReciprocalTable(spec);
  ASSERT_OK(table);
  EXPECT_EQ(table->shift[0], 0);
  EXPECT_EQ(table->boundaries[0], 1);
  EXPECT_EQ(table->boundaries[1], 1 << spec.index_bits);
  for (int x = 1; x < (1 << spec.index_bits); ++x) {
    EXPECT_EQ(table->table[0][x - 1], std::llround(std::ldexp(16.0 / x, 20)));
  }
}

TEST(TablesTest, LookupAgreesWithTheFunctionInEverySegment) {
  for (bool centered : {false, true}) {
    const PowerTableSpec spec = WideSpec(centered);
    const auto table = RsqrtTable(spec);
    ASSERT_OK(table);
    // Every power of two and its neighbours, the ends included.
    std::vector<int64_t> x;
    for (int i = 10; i < 50; ++i) {
      for (int64_t delta : {-1, 0, 1}) {
        const int64_t v = (int64_t{1} << i) + delta;
        if (v >= (1 << 10)) x.push_back(v);
      }
    }
    x.push_back((int64_t{1} << 50) - 1);
    std::vector<int64_t> input = x;
    for (int64_t& v : input) v -= CenterOffset(spec);
    const int width = TableDomainBits(spec);
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          const Wire wire = ev.Input({x.size()}, width, spec.frac);
          ev.Output(Segmented(ev, wire, *table, 44));
        },
        {{input, width}});
    ASSERT_EQ(out.size(), 1u);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = 1 / std::sqrt(std::ldexp(x[i], -spec.frac));
      EXPECT_NEAR(std::ldexp(out[0][i], -spec.out_frac) / want, 1, 5.2e-4)
          << x[i];
    }
  }
}

TEST(TablesTest, CoversSixtyFourBits) {
  PowerTableSpec spec{};
  spec.frac = 24;
  spec.lo = 0;
  spec.hi = 40;
  spec.out_frac = 34;
  spec.centered = true;
  const auto table = RsqrtTable(spec);
  ASSERT_OK(table);
  const std::vector<uint64_t> x = {uint64_t{1} << 24, uint64_t{1} << 63,
                                   (uint64_t{1} << 63) - 1, ~uint64_t{0} - 1};
  std::vector<int64_t> input;
  for (uint64_t v : x) {
    input.push_back(
        static_cast<int64_t>(v - static_cast<uint64_t>(CenterOffset(spec))));
  }
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        ev.Output(Segmented(ev, ev.Input({x.size()}, 64, 24), *table, 50));
      },
      {{input, 64}});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < x.size(); ++i) {
    const double want =
        1 / std::sqrt(std::ldexp(static_cast<double>(x[i]), -24));
    EXPECT_NEAR(std::ldexp(out[0][i], -34) / want, 1, 5.2e-4) << x[i];
  }
}

TEST(TablesTest, PlainRejectsInputsOutsideTheTable) {
  const PowerTableSpec spec = WideSpec(false);
  const auto table = ReciprocalTable(spec);
  ASSERT_OK(table);
  for (int64_t x : {int64_t{0}, int64_t{1023}, int64_t{1} << 50}) {
    EXPECT_THAT(
        StatusOfPlain(
            [&](Evaluator& ev) {
              ev.Output(Segmented(ev, ev.Input({1}, 60, 30), *table, 50));
            },
            {{{x}, 60}}),
        StatusIs(absl::StatusCode::kOutOfRange, "Segmented"))
        << x;
  }
}

TEST(TablesTest, RejectsImpossibleSpecs) {
  auto code = [](auto change) {
    PowerTableSpec spec = WideSpec(false);
    change(spec);
    return RsqrtTable(spec).status().code();
  };
  using S = PowerTableSpec;
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code([](S& s) { s.lo = s.hi; }), kInvalid);
  EXPECT_EQ(code([](S& s) { s.frac = 44; }), kInvalid);
  EXPECT_EQ(code([](S& s) { s.frac = -20; }), kInvalid);
  EXPECT_EQ(code([](S& s) { s.octaves = 0; }), kInvalid);
  EXPECT_EQ(code([](S& s) { s.index_bits = 17; }), kInvalid);
  EXPECT_EQ(code([](S& s) { s.out_frac = 60; }), kInvalid);
  EXPECT_EQ(code([](S&) {}), absl::StatusCode::kOk);
}

// The full range that a real model shows, in one table.
TEST(PowerLayerTest, ReciprocalAndRsqrtHoldOverTwelveDecades) {
  PowerTableSpec spec{};
  spec.frac = 24;
  spec.lo = -20;  // 1e-6
  spec.hi = 20;   // 1e6
  spec.out_frac = 22;
  PowerTableSpec inverse = spec;
  inverse.out_frac = 32;
  std::mt19937_64 rng(21);
  std::uniform_real_distribution<double> exponent(-19.99, 19.99);
  std::vector<int64_t> x;
  for (int i = 0; i < 129; ++i) {
    x.push_back(std::llround(std::exp2(exponent(rng) + spec.frac)));
  }
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a = ev.Input({x.size()}, 48, spec.frac);
        ev.Output(ToShare(ev, Rsqrt(ev, a, spec, 40)));
        ev.Output(ToShare(ev, Reciprocal(ev, a, inverse, 60)));
      },
      {{x, 48}});
  ASSERT_EQ(out.size(), 2u);
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = std::ldexp(static_cast<double>(x[i]), -spec.frac);
    // Small inputs and small results have fewer bits than the table's 11.
    const double input = std::ldexp(1.0, -spec.frac) / v;
    EXPECT_NEAR(std::ldexp(out[0][i], -22) * std::sqrt(v), 1,
                2e-3 + input + std::ldexp(std::sqrt(v), -22));
    EXPECT_NEAR(std::ldexp(out[1][i], -32) * v, 1,
                2e-3 + 2 * input + std::ldexp(v, -32));
  }
}

TEST(PowerLayerTest, AnInputOfAnotherFractionCountIsRejected) {
  PowerTableSpec spec{};
  spec.frac = 12;
  spec.lo = -4;
  spec.hi = 4;
  spec.out_frac = 12;
  EXPECT_THAT(DeclaredCost([&](Evaluator& ev) {
                Rsqrt(ev, ev.Input({3}, 32, 10), spec, 20);
              }).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "Rsqrt: input with fraction count 10"));
}

}  // namespace
}  // namespace tacit
