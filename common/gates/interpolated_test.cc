// Interpolated at every size is in gates_test.cc; here are its tails in wider
// rings and its product with a wire.
#include "common/gates/interpolated.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/mul_extend.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

using Values = std::vector<int64_t>;

enum class Tail { kZero, kIdentity, kConstant };

// x^2 / 8 in units of 2^-frac on [-8, 8), steps of 2^-1, `extra` more fraction
// bits than x.
InterpolatedTable Parabola(int frac, int extra, int domain_bits, Tail tail) {
  InterpolatedTable table;
  table.step_bits = frac - 1;
  table.domain_bits = domain_bits;
  table.low = -16;
  table.out_frac = frac + extra;
  table.value_shift = std::min(3, frac + extra);
  for (int u = -16; u < 16; ++u) {
    const double x = u / 2.0;
    table.value.push_back(std::llround(
        std::ldexp(x * x / 8, table.out_frac - table.value_shift)));
    table.slope.push_back(std::llround(std::ldexp(x / 4, extra)));
  }
  table.identity_above = tail == Tail::kIdentity;
  // With two zeros at its end.
  if (tail == Tail::kConstant) table.constant_above = 20;
  return table;
}

struct Case {
  int x_width, frac, domain_bits, extra, y_width, width;
};
std::string Name(const testing::TestParamInfo<std::tuple<Case, Tail>>& info) {
  const auto& [c, tail] = info.param;
  return absl::StrCat("x", c.x_width, "_y", c.y_width, "_z", c.width, "_extra",
                      c.extra, "_tail", static_cast<int>(tail));
}

class InterpolatedTimesTest
    : public testing::TestWithParam<std::tuple<Case, Tail>> {
 protected:
  InterpolatedTable Table() const {
    const auto& [c, tail] = GetParam();
    return Parabola(c.frac, c.extra, c.domain_bits, tail);
  }
};

// Modulo 2^width, whatever the values: both results of the same masks.
TEST_P(InterpolatedTimesTest, IsTheFunctionTimesTheWireAtEverySize) {
  const Case c = std::get<0>(GetParam());
  const InterpolatedTable table = Table();
  std::mt19937_64 rng(3);
  // One step less than the domain, since the index is rounded up or down.
  const int64_t limit = (int64_t{1} << (c.domain_bits + table.step_bits - 1)) -
                        (int64_t{1} << table.step_bits);
  const int64_t y_limit =
      c.y_width == 64 ? INT64_MAX : (int64_t{1} << (c.y_width - 1)) - 1;
  for (size_t n : {0, 1, 2, 127, 128, 129, 1000}) {
    Values x = RandomValues(n, -limit, limit - 1, rng);
    const Values near =
        RandomValues(n, -(int64_t{9} << c.frac), int64_t{9} << c.frac, rng);
    for (size_t i = 2; i < n; i += 2) x[i] = near[i];
    const Values y = RandomValues(n, -y_limit, y_limit, rng);
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          const Wire a = ev.Input({n}, c.x_width, c.frac);
          const Wire b = ev.Input({n}, c.y_width, 5);
          const Share f = Interpolated(ev, a, table, 64);
          const Share z = InterpolatedTimes(ev, a, b, table, c.width);
          EXPECT_EQ(z.frac, table.out_frac + 5);
          ev.Output(f);
          // Products overflow the ring, which the plain evaluator would refuse
          // as an output: moved to the top of a word they do not.
          const Share wide = Share{z.shape, 64, z.frac, z.part};
          ev.Output(MulPublic(ev, wide, int64_t{1} << (64 - c.width)));
        },
        {{x, c.x_width}, {y, c.y_width}});
    ASSERT_EQ(out.size(), 2u);
    for (size_t i = 0; i < n; ++i) {
      const uint64_t want =
          static_cast<uint64_t>(out[0][i]) * static_cast<uint64_t>(y[i]);
      ASSERT_EQ(
          ToSigned(static_cast<uint64_t>(out[1][i]) >> (64 - c.width), c.width),
          ToSigned(want, c.width))
          << n << " " << i << " x=" << x[i];
    }
  }
}

TEST_P(InterpolatedTimesTest, FollowsTheFunctionInDoublePrecision) {
  const Case c = std::get<0>(GetParam());
  const Tail tail = std::get<1>(GetParam());
  const InterpolatedTable table = Table();
  std::mt19937_64 rng(4);
  const int64_t limit = int64_t{12} << c.frac;
  if (c.width < table.out_frac + 10) GTEST_SKIP() << "too narrow for values";
  const Values x = RandomValues(1000, -limit, limit, rng);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a = ev.Input({x.size()}, c.x_width, c.frac);
        const Wire b = ev.Input({x.size()}, c.y_width, 0);
        ev.Output(InterpolatedTimes(ev, a, b, table, c.width));
      },
      {{x, c.x_width}, {Values(x.size(), -3), c.y_width}});
  ASSERT_EQ(out.size(), 1u);
  const double above =
      tail == Tail::kConstant ? std::ldexp(20, -table.out_frac) : 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = std::ldexp(double(x[i]), -c.frac);
    const double z = std::ldexp(double(out[0][i]), -table.out_frac);
    // The index is off by one step at most, and so are the window's ends.
    if (std::abs(std::abs(v) - 8) <= 0.5) continue;
    const double want = v < -8                    ? 0
                        : v < 8                   ? v * v / 8
                        : tail == Tail::kIdentity ? v
                                                  : above;
    // (step^2 / 8) of a line, a step's slope and value rounded.
    const double tolerance = 3 * (0.25 / 8 + std::ldexp(0.25, -c.extra) +
                                  std::ldexp(4, -table.out_frac));
    ASSERT_NEAR(z, -3 * want, tolerance) << v;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rings, InterpolatedTimesTest,
    testing::Combine(
        testing::Values(
            // Narrow x, as in a gated MLP; its domain all of it, then less.
            Case{24, 8, 17, 10, 60, 54}, Case{24, 12, 12, 10, 54, 54},
            // The identity just needs no extension; by one bit it does.
            Case{24, 8, 10, 6, 30, 30}, Case{24, 8, 10, 6, 31, 31},
            // No bits are left to extend by; x's whole word.
            Case{40, 10, 10, 0, 40, 20}, Case{64, 10, 12, 4, 64, 64},
            // Steps of a unit: nothing to interpolate.
            Case{12, 1, 12, 0, 64, 64}, Case{13, 4, 10, 0, 20, 12}),
        testing::Values(Tail::kZero, Tail::kIdentity, Tail::kConstant)),
    Name);

TEST(InterpolatedTest, AnIdentityReachesIntoAWiderRing) {
  std::mt19937_64 rng(5);
  const InterpolatedTable table = Parabola(8, 6, 17, Tail::kIdentity);
  // To the end of what the wire holds.
  const int64_t limit = (int64_t{1} << 23) - 128;
  const Values x = RandomValues(1000, -limit, limit - 1, rng);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        ev.Output(Interpolated(ev, ev.Input({x.size()}, 24, 8), table, 50));
      },
      {{x, 24}});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] > 9 << 8) {
      EXPECT_EQ(out[0][i], x[i] << 6);
    }
    if (x[i] < -(9 << 8)) {
      EXPECT_EQ(out[0][i], 0);
    }
  }
}

TEST(InterpolatedTest, AConstantThatVanishesInTheRingIsZero) {
  InterpolatedTable table = Parabola(8, 4, 12, Tail::kConstant);
  for (auto [constant, want] : {std::pair<int64_t, int64_t>{1 << 20, 0},
                                {(1 << 20) + 3, 3},
                                {-4, -4},
                                {INT64_MIN, 0}}) {
    table.constant_above = constant;
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          const Share z = Interpolated(ev, ev.Input({2}, 20, 8), table, 20);
          // To the top of a word: see above.
          ev.Output(MulPublic(ev, Share{z.shape, 64, z.frac, z.part},
                              int64_t{1} << 44));
        },
        {{{9 << 8, 12 << 8}, 20}});
    ASSERT_EQ(out.size(), 1u);
    for (int64_t z : out[0]) EXPECT_EQ(z >> 44, want);
  }
}

// The opened sums hold the slope's part, too: here it is nearly all there is.
TEST(InterpolatedTest, SumsHoldSlopesThatAreLargerThanValues) {
  InterpolatedTable table = Parabola(8, 4, 12, Tail::kZero);
  for (int u = 0; u < 32; ++u) {
    table.value[u] = 0;
    table.slope[u] = u % 2 == 0 ? 1000 : -1000;
  }
  std::mt19937_64 rng(9);
  const Values x = RandomValues(1000, -16 << 7, 16 << 7, rng);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a = ev.Input({x.size()}, 20, 8);
        ev.Output(Interpolated(ev, a, table, 40));
        ev.Output(
            InterpolatedTimes(ev, a, ev.Input({x.size()}, 40, 0), table, 40));
      },
      {{x, 20}, {Values(x.size(), 5), 40}});
  ASSERT_EQ(out.size(), 2u);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(out[1][i], 5 * out[0][i]);
}

// Masks with the low bits set or not, wraps or not: one element each, under
// many seeds.
TEST(InterpolatedTest, HoldsUnderManyMasks) {
  const InterpolatedTable table = Parabola(4, 2, 10, Tail::kIdentity);
  for (int tag = 1; tag < 60; ++tag) {
    const int64_t x = (tag % 3 - 1) * 200 + tag;
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          const Wire a = ev.Input({1}, 13, 4), b = ev.Input({1}, 40, 0);
          ev.Output(Interpolated(ev, a, table, 30));
          ev.Output(InterpolatedTimes(ev, a, b, table, 40));
        },
        {{{x}, 13}, {{-7}, 40}}, {}, tag);
    ASSERT_EQ(out.size(), 2u);
    EXPECT_EQ(out[1][0], -7 * out[0][0]);
    if (x > 9 << 4) {
      EXPECT_EQ(out[0][0], 4 * x);
    }
  }
}

// All combinations of opened, truncated and input wires; y goes out with the
// tables' sums.
TEST(InterpolatedTimesGateTest, TakesOneRoundWithYsOpening) {
  const InterpolatedTable table = Parabola(12, 10, 12, Tail::kIdentity);
  std::mt19937_64 rng(6);
  const Values x =
      RandomValues(300, -(int64_t{16} << 20), int64_t{16} << 20, rng);
  const Values y = RandomValues(300, -100000, 100000, rng);
  const Program program = [&](Evaluator& ev) {
    const Wire gate = ev.Open(ToShare(ev, ev.Input({3, 100}, 32, 20)));
    const Wire a = TruncReduce(ev, gate, 8);
    const Wire b = ev.Open(ToShare(ev, ev.Input({3, 100}, 60, 8)));
    ev.Output(InterpolatedTimes(ev, a, b, table, 54));
  };
  RunAndCheck(program, {{x, 32}, {y, 60}});
  TwoPartyOptions faithful;
  faithful.rounding = Rounding::kFaithful;
  RunAndCheck(program, {{x, 32}, {y, 60}}, faithful);
  const auto cost = DeclaredCost(program);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 2);  // the gate, then y with the sums
}

TEST(InterpolatedTimesGateTest, TakesAYWhoseMaskIsNotShared) {
  const InterpolatedTable table = Parabola(8, 4, 12, Tail::kIdentity);
  std::mt19937_64 rng(7);
  const Values x = RandomValues(129, -1 << 14, 1 << 14, rng);
  const Values y = RandomValues(129, -1 << 20, 1 << 20, rng);
  RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a = ev.Input({129}, 20, 8);
        const Wire b = TruncReduce(ev, ev.Input({129}, 50, 10), 6);
        ev.Output(InterpolatedTimes(ev, a, b, table, 44));
      },
      {{x, 20}, {y, 50}});
}

TEST(InterpolatedTimesGateTest, DealsTheFormTwice) {
  constexpr size_t kElements = 1 << 13;
  const InterpolatedTable table = Parabola(12, 10, 12, Tail::kIdentity);
  auto cost = [&](bool times) {
    const auto total = DeclaredCost([&](Evaluator& ev) {
      const Wire x = ev.Input({kElements}, 24, 12);
      if (!times) {
        Interpolated(ev, x, table, 54);
        return;
      }
      InterpolatedTimes(ev, x, ev.Open(Share{{kElements}, 54, 12}), table, 54);
    });
    EXPECT_OK(total);
    return *total;
  };
  // Sums of 8 and of 2 units, in units of 2^-22 and of 2^-10.
  const int p = 22 + 4 + 2, w = 10 + 2 + 2, t = 10, n = 24;
  const int form =
      3 * 54 + (54 - p) + (54 - w) + 2 * (54 - t) + 2 * (54 - t - n);
  const Cost single = cost(false), twice = cost(true);
  EXPECT_EQ(twice.material_bytes[1] - single.material_bytes[1],
            kElements * form / 8);
  EXPECT_EQ(twice.material_bytes[0], single.material_bytes[0]);
  EXPECT_EQ(twice.rounds, 1);
  EXPECT_EQ(single.opened_bytes[0],
            kElements * (p + w + 1) / 8 + kMessageHeaderBytes);
}

TEST(InterpolatedTimesGateTest, RejectsWhatDoesNotFit) {
  auto status = [](const InterpolatedTable& table, const Shape& shape,
                   int width) {
    return DeclaredCost([&](Evaluator& ev) {
             const Wire x = ev.Input({4, 2}, 20, 8);
             InterpolatedTimes(ev, x, ev.Input(shape, 40, 8), table, width);
           })
        .status();
  };
  const InterpolatedTable good = Parabola(8, 4, 12, Tail::kIdentity);
  const auto invalid =
      StatusIs(absl::StatusCode::kInvalidArgument, "InterpolatedTimes");
  EXPECT_OK(status(good, {4, 2}, 40));
  EXPECT_THAT(status(good, {4}, 40), invalid);
  EXPECT_THAT(status(good, {2, 4}, 40), invalid);
  EXPECT_THAT(status(good, {4, 2}, 41), invalid);
  EXPECT_THAT(status(good, {4, 2}, 0), invalid);
  EXPECT_THAT(status(good, {4, 2}, 4), invalid);  // the identity's shift
  InterpolatedTable bad = good;
  bad.slope.pop_back();
  EXPECT_THAT(status(bad, {4, 2}, 40), invalid);
  bad = good;
  bad.constant_above = 1;
  EXPECT_THAT(status(bad, {4, 2}, 40), invalid);
  bad = good;
  bad.value_shift = 40;
  EXPECT_THAT(status(bad, {4, 2}, 40), invalid);
  bad = good;
  bad.domain_bits = 14;
  EXPECT_THAT(status(bad, {4, 2}, 40), invalid);
  bad = good;
  bad.out_frac = 7;  // less than x's
  EXPECT_THAT(status(bad, {4, 2}, 40), invalid);
  // The identity begins at -1 step: exact in x's own ring only.
  bad = good;
  bad.low = -33;
  EXPECT_THAT(status(bad, {4, 2}, 25), invalid);
  EXPECT_OK(status(bad, {4, 2}, 24));
}

TEST(InterpolatedTest, AnIdentityBelowZeroIsExactInTheWiresRing) {
  InterpolatedTable table = Parabola(8, 4, 12, Tail::kIdentity);
  table.low = -40;  // up to -8 steps
  std::mt19937_64 rng(8);
  const Values x = RandomValues(500, -600, 5000, rng);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        ev.Output(Interpolated(ev, ev.Input({x.size()}, 20, 8), table, 24));
      },
      {{x, 20}});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(out[0][i], x[i] << 4);
}

TEST(InterpolatedTimesGateTest, PlainRejectsValuesOutsideTheDomain) {
  const InterpolatedTable table = Parabola(8, 4, 8, Tail::kIdentity);
  auto status = [&](int64_t x) {
    return StatusOfPlain(
        [&](Evaluator& ev) {
          const Wire a = ev.Input({1}, 20, 8), b = ev.Input({1}, 40, 0);
          ev.Output(InterpolatedTimes(ev, a, b, table, 40));
        },
        {{{x}, 20}, {{1}, 40}});
  };
  EXPECT_OK(status(int64_t{63} << 8));
  EXPECT_THAT(status(int64_t{66} << 8),
              StatusIs(absl::StatusCode::kOutOfRange, "InterpolatedTimes"));
}

}  // namespace
}  // namespace tacit
