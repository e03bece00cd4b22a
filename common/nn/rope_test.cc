#include "common/nn/rope.h"

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

using ::testing::HasSubstr;

std::vector<double> Frequencies(size_t pairs) {
  std::vector<double> f(pairs);
  for (size_t i = 0; i < pairs; ++i) {
    f[i] = std::pow(10000.0, -static_cast<double>(i) / pairs);
  }
  return f;
}

// x [batch, positions, heads, d] in double precision.
std::vector<double> Reference(const std::vector<double>& x, size_t heads,
                              size_t d, const RopeParams& params,
                              const std::vector<int64_t>& positions) {
  std::vector<double> y = x;
  const size_t pairs = params.inverse_frequency.size();
  for (size_t row = 0; row < x.size() / d; ++row) {
    const int64_t position = positions[row / heads % positions.size()];
    for (size_t i = 0; i < pairs; ++i) {
      const double angle = position * params.inverse_frequency[i];
      const double c = std::cos(angle) * params.scale;
      const double s = std::sin(angle) * params.scale;
      const size_t a = row * d + (params.interleaved ? 2 * i : i);
      const size_t b = params.interleaved ? a + 1 : a + pairs;
      y[a] = x[a] * c - x[b] * s;
      y[b] = x[b] * c + x[a] * s;
    }
  }
  return y;
}

TEST(RopeTest, RotationsMatchTheMathematicalLibrary) {
  std::mt19937_64 rng(1);
  for (int i = 0; i < 100000; ++i) {
    uint64_t turn = rng();
    if (i < 8) turn = static_cast<uint64_t>(i) << 61;
    const long double angle = std::ldexp(static_cast<long double>(turn), -63) *
                              std::numbers::pi_v<long double>;
    const Rotation r = RotationOf(turn, 40);
    ASSERT_NEAR(static_cast<double>(r.cos), std::ldexp(std::cos(angle), 40),
                0.51);
    ASSERT_NEAR(static_cast<double>(r.sin), std::ldexp(std::sin(angle), 40),
                0.51);
  }
}

TEST(RopeTest, RotatesAsHuggingFaceDoes) {
  std::mt19937_64 rng(2);
  struct Case {
    size_t batch, positions, heads, d, pairs;
    int64_t first;
    bool interleaved;
    double scale;
    int frac;
  };
  for (const Case& c : {Case{1, 0, 2, 8, 4, 0, false, 1, 12},
                        Case{1, 1, 1, 2, 1, 5, false, 1, 12},
                        Case{1, 1, 4, 64, 32, 127, true, 1, 12},
                        Case{2, 127, 3, 16, 8, 0, false, 1, 14},
                        Case{1, 128, 2, 16, 8, 4000, true, 1, 12},
                        Case{1, 129, 2, 20, 8, 0, false, 1.2, 12},
                        Case{2, 10, 2, 20, 0, 0, false, 1, 12},
                        Case{1, 1000, 1, 4, 2, 100000, false, 1, 16}}) {
    SCOPED_TRACE(absl::StrCat("positions ", c.positions, " pairs ", c.pairs));
    const RopeParams params{Frequencies(c.pairs), c.interleaved, c.frac,
                            c.scale};
    const std::vector<int64_t> positions =
        ConsecutivePositions(c.first, c.positions);
    const size_t n = c.batch * c.positions * c.heads * c.d;
    const std::vector<int64_t> x = RandomValues(n, -(16 << 12), 16 << 12, rng);
    const auto y = RunAndCheck(
        [&](Evaluator& ev) {
          const Wire in =
              ev.Input({c.batch, c.positions, c.heads, c.d}, 40, 12);
          const Wire out = Rope(ev, in, params, positions);
          EXPECT_EQ(out.frac, 12);
          EXPECT_EQ(out.width, 40 - c.frac);
          ev.Output(ToShare(ev, out));
        },
        {{x, 40}});
    ASSERT_EQ(y.size(), 1);
    std::vector<double> real(n);
    for (size_t i = 0; i < n; ++i) real[i] = x[i] / 4096.0;
    const std::vector<double> want =
        Reference(real, c.heads, c.d, params, positions);
    // 16 * 2^-frac from the coefficients, 2^-12 from rounding.
    const double tolerance = std::ldexp(20, -c.frac) + std::ldexp(1, -12);
    for (size_t i = 0; i < n; ++i) {
      ASSERT_NEAR(y[0][i] / 4096.0, want[i], tolerance) << i;
    }
  }
}

TEST(RopeTest, PositionsInAnyOrderAndWiderDrop) {
  std::mt19937_64 rng(3);
  const RopeParams params{Frequencies(4)};
  const std::vector<int64_t> positions = {7, 0, 7, 3};
  const std::vector<int64_t> x =
      RandomValues(4 * 2 * 8, -(4 << 24), 4 << 24, rng);
  const auto y = RunAndCheck(
      [&](Evaluator& ev) {
        // Straight from a product: 24 fraction bits, rounded once.
        const Wire out =
            Rope(ev, ev.Input({4, 2, 8}, 48, 24), params, positions, 24);
        EXPECT_EQ(out.frac, 12);
        ev.Output(ToShare(ev, out));
      },
      {{x, 48}});
  ASSERT_EQ(y.size(), 1);
  std::vector<double> real(x.size());
  for (size_t i = 0; i < x.size(); ++i) real[i] = std::ldexp(x[i], -24);
  const std::vector<double> want = Reference(real, 2, 8, params, positions);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(y[0][i] / 4096.0, want[i], 2.5e-3);
  }
}

// The share's rotation, opened, is the wire's before it is rounded.
TEST(RopeTest, RotatesSharesWithoutRounding) {
  std::mt19937_64 rng(4);
  for (bool interleaved : {false, true}) {
    for (size_t count : {0, 1, 2, 127, 128, 129, 1000}) {
      SCOPED_TRACE(absl::StrCat(count, " positions"));
      const RopeParams params{Frequencies(3), interleaved, 10};
      const std::vector<int64_t> positions = ConsecutivePositions(3, count);
      const std::vector<int64_t> x =
          RandomValues(count * 2 * 8, -(16 << 12), 16 << 12, rng);
      const auto y = RunAndCheck(
          [&](Evaluator& ev) {
            const Wire in = ev.Input({count, 2, 8}, 40, 12);
            const Share out = Rope(ev, ToShare(ev, in), params, positions);
            EXPECT_EQ(out.frac, 22);
            EXPECT_EQ(out.width, 40);
            ev.Output(out);
            ev.Output(ToShare(ev, Rope(ev, in, params, positions, 0)));
          },
          {{x, 40}});
      ASSERT_EQ(y.size(), 2);
      EXPECT_EQ(y[0], y[1]);
      std::vector<double> real(x.size());
      for (size_t i = 0; i < x.size(); ++i) real[i] = x[i] / 4096.0;
      const std::vector<double> want = Reference(real, 2, 8, params, positions);
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_NEAR(std::ldexp(y[0][i], -22), want[i], 20.0 / 1024) << i;
      }
    }
  }
}

TEST(RopeTest, CostsNothing) {
  const auto cost = DeclaredCost([](Evaluator& ev) {
    Rope(ev, ev.Input({128, 32, 128}, 40, 12), {Frequencies(64)},
         ConsecutivePositions(0, 128));
  });
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 0);
  EXPECT_EQ(cost->opened_bytes[0], 0);
  const auto input = DeclaredCost([](Evaluator& ev) {
    ev.Input({128, 32, 128}, 40, 12);
  });
  ASSERT_OK(input);
  EXPECT_EQ(*cost, *input);
}

TEST(RopeTest, TooNarrowAWireIsOutOfRange) {
  const absl::Status status = StatusOfPlain(
      [](Evaluator& ev) {
        Rope(ev, ev.Input({1, 1, 2}, 20, 12), {{1.0}},
             ConsecutivePositions(1, 1));
      },
      {{{100 << 12, 0}, 20}});
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("Rope"));
}

TEST(RopeTest, RejectsParametersThatDoNotFit) {
  auto expect_invalid = [](const Shape& shape, const RopeParams& params,
                           size_t positions, int drop) {
    const absl::Status status =
        DeclaredCost([&](Evaluator& ev) {
          Rope(ev, ev.Input(shape, 40, 12), params,
               ConsecutivePositions(0, positions), drop);
        }).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("Rope"));
    if (drop != params.frac) return;  // a share has nothing to drop
    const absl::Status share = DeclaredCost([&](Evaluator& ev) {
                                 Rope(ev, Share{shape, 40, 12}, params,
                                      ConsecutivePositions(0, positions));
                               }).status();
    EXPECT_EQ(share.code(), absl::StatusCode::kInvalidArgument) << share;
    EXPECT_THAT(std::string(share.message()), HasSubstr("Rope"));
  };
  const RopeParams good{{1.0, 0.1}};
  expect_invalid({4, 8}, good, 4, 12);     // no heads
  expect_invalid({4, 2, 8}, good, 3, 12);  // positions
  expect_invalid({4, 2, 3}, good, 4, 12);  // more pairs than dimensions
  expect_invalid({4, 2, 8}, good, 4, 40);  // all bits dropped
  expect_invalid({4, 2, 8}, good, 4, -1);
  expect_invalid({4, 2, 8}, {{1.0, -0.1}}, 4, 12);
  expect_invalid({4, 2, 8}, {{NAN}}, 4, 12);
  expect_invalid({4, 2, 8}, {{1.0}, false, 30}, 4, 12);
  expect_invalid({4, 2, 8}, {{1.0}, false, 12, INFINITY}, 4, 12);
}

}  // namespace
}  // namespace tacit
