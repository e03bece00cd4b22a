// Every gate at every size and width: secure equals plain bit for bit, plain
// equals arithmetic, declared cost equals counted cost.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "common/gates/compare.h"
#include "common/gates/exp2.h"
#include "common/gates/extend.h"
#include "common/gates/interpolated.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/multiply.h"
#include "common/gates/one_hot.h"
#include "common/gates/segmented.h"
#include "common/gates/select.h"
#include "common/gates/shuffle.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"
#include "common/gates/windowed_lut.h"

namespace tacit {
namespace {

using Values = std::vector<int64_t>;

// 2^(bits-1) for bits < 64.
int64_t Bound(int bits) { return int64_t{1} << (bits - 1); }
// The largest signed value of a ring; the smallest is -Largest - 1.
int64_t Largest(int bits) { return static_cast<int64_t>(LowMask(bits - 1)); }

// Opens x's share and outputs it, so that openings are tested with everything.
void OutputOpened(Evaluator& ev, const Share& x) {
  ev.Output(ToShare(ev, ev.Open(x)));
}

class GateTest : public testing::TestWithParam<std::tuple<size_t, int>> {
 protected:
  size_t n() const { return std::get<0>(GetParam()); }
  int width() const { return std::get<1>(GetParam()); }
  // Random x with |x| < 2^(bits-1), the ends included.
  Values Draw(int bits) {
    return RandomValues(n(), -Largest(bits) - 1, Largest(bits), rng_);
  }
  Wire Input(Evaluator& ev, int frac = 0) {
    return ev.Input({n()}, width(), frac);
  }
  std::vector<std::vector<int64_t>> Run(const Program& program,
                                        const std::vector<Values>& inputs) {
    std::vector<InputValue> values;
    for (const Values& v : inputs) values.push_back({v, width()});
    return RunAndCheck(program, values);
  }

  std::mt19937_64 rng_{7};  // test data, never key material
};

TEST_P(GateTest, OpenAndOutputReturnTheInput) {
  const Values x = Draw(width());
  const auto out = Run(
      [&](Evaluator& ev) { OutputOpened(ev, ToShare(ev, Input(ev))); }, {x});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], x);
}

TEST_P(GateTest, LinearMapsAreExact) {
  const Values x = Draw(width() - 3), y = Draw(width() - 3);
  const auto out = Run(
      [&](Evaluator& ev) {
        const Wire a = Input(ev), b = Input(ev);
        Wire c = Sub(ev, Add(ev, a, a), Negate(ev, b));
        c = AddPublic(ev, MulPublic(ev, c, -1), 1);
        ev.Output(AddPublic(ev, ToShare(ev, c), 1));
      },
      {x, y});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < n(); ++i) {
    EXPECT_EQ(out[0][i], -(2 * x[i] + y[i]) + 2);
  }
}

TEST_P(GateTest, MulSquareAndSumSquares) {
  const int half = width() / 2 - 1;
  const Values x = Draw(half), y = Draw(half);
  const auto out = Run(
      [&](Evaluator& ev) {
        const Wire a = Input(ev), b = Input(ev);
        OutputOpened(ev, Mul(ev, a, b, width()));
        OutputOpened(ev, Square(ev, a, width()));
      },
      {x, y});
  ASSERT_EQ(out.size(), 2u);
  for (size_t i = 0; i < n(); ++i) {
    EXPECT_EQ(out[0][i], x[i] * y[i]);
    EXPECT_EQ(out[1][i], x[i] * x[i]);
  }
}

TEST_P(GateTest, RowsOfProducts) {
  if (width() < 24) GTEST_SKIP() << "a sum of squares needs more bits";
  const Values x = Draw(7), y = RandomValues(n() / 3, -60, 60, rng_);
  const Values xs(x.begin(), x.begin() + n() / 3 * 3);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a = ev.Input({n() / 3, 3}, width(), 0);
        const Wire b = ev.Input({n() / 3}, width(), 0);
        OutputOpened(ev, Mul(ev, a, b, width()));
        OutputOpened(ev, SumSquares(ev, a, width()));
        ev.Output(ToShare(ev, SumLast(ev, a)));
        ev.Output(ToShare(ev, RepeatLast(ev, b, 2)));
      },
      {{xs, width()}, {y, width()}});
  ASSERT_EQ(out.size(), 4u);
  for (size_t i = 0; i < n() / 3; ++i) {
    int64_t squares = 0, sum = 0;
    for (size_t j = 0; j < 3; ++j) {
      EXPECT_EQ(out[0][3 * i + j], xs[3 * i + j] * y[i]);
      squares += xs[3 * i + j] * xs[3 * i + j];
      sum += xs[3 * i + j];
    }
    EXPECT_EQ(out[1][i], squares);
    EXPECT_EQ(out[2][i], sum);
    EXPECT_EQ(out[3][2 * i + 1], y[i]);
  }
}

TEST_P(GateTest, TruncReduceIsFloorPlusCarry) {
  const int f = width() / 3;
  const Values x = Draw(width() - 1);
  const auto out = Run(
      [&](Evaluator& ev) {
        ev.Output(ToShare(ev, TruncReduce(ev, Input(ev, f), f)));
      },
      {x});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < n(); ++i) {
    const int64_t carry = out[0][i] - (x[i] >> f);
    EXPECT_TRUE(carry == 0 || carry == 1) << carry;
    if ((x[i] & static_cast<int64_t>(LowMask(f))) == 0) {
      EXPECT_EQ(carry, 0);
    }
  }
}

TEST_P(GateTest, FaithfulTruncReduceIsFloor) {
  const int f = width() / 3;
  const Values x = Draw(width() - 1);
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        ev.Output(ToShare(ev, TruncReduce(ev, Input(ev, f), f)));
      },
      {{x, width()}}, options);
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < n(); ++i) EXPECT_EQ(out[0][i], x[i] >> f);
}

TEST_P(GateTest, ExtendKeepsTheValue) {
  const Values x = Draw(width() - 1);
  for (int to : {width(), width() + 1, width() + 13, 64}) {
    if (to > 64) continue;
    const auto out =
        Run([&](Evaluator& ev) { OutputOpened(ev, Extend(ev, Input(ev), to)); },
            {x});
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0], x) << to;
  }
}

TEST_P(GateTest, ComparisonsAreExact) {
  const int m = width() - 1;
  Values x = Draw(m);
  if (n() > 2) x[2] = 0;
  if (n() > 3) x[3] = -1;
  const int64_t low = -Bound(m), mid = Bound(m) / 2;
  const auto out = Run(
      [&](Evaluator& ev) {
        const Wire a = Input(ev);
        ev.Output(BitToShare(ev, IsNegative(ev, a, m), 8));
        ev.Output(BitToShare(ev, Not(ev, IsZero(ev, a, m)), 9));
        const std::vector<int64_t> ends = {low, -1, mid, Bound(m)};
        ev.Output(BitToShare(ev, InIntervals(ev, a, m, ends), 4));
      },
      {x});
  ASSERT_EQ(out.size(), 3u);
  for (size_t i = 0; i < n(); ++i) {
    EXPECT_EQ(out[0][i], x[i] < 0);
    EXPECT_EQ(out[1][i], x[i] != 0);
    EXPECT_EQ(out[2][3 * i], x[i] < -1);
    EXPECT_EQ(out[2][3 * i + 1], x[i] >= -1 && x[i] < mid);
    EXPECT_EQ(out[2][3 * i + 2], x[i] >= mid);
  }
}

TEST_P(GateTest, SelectIsABitTimesAValue) {
  const Values x = Draw(width());
  const auto out = Run(
      [&](Evaluator& ev) {
        const Wire a = Input(ev);
        const BitShare negative = IsNegative(ev, a, width());
        OutputOpened(ev, Select(ev, Not(ev, negative), a, width()));
        // A wire whose mask the parties hold shares of takes another schema.
        const Wire b = ev.Open(ToShare(ev, a));
        OutputOpened(ev, Select(ev, negative, b, width()));
      },
      {x});
  ASSERT_EQ(out.size(), 2u);
  for (size_t i = 0; i < n(); ++i) {
    EXPECT_EQ(out[0][i], std::max<int64_t>(x[i], 0));
    EXPECT_EQ(out[1][i], std::min<int64_t>(x[i], 0));
  }
}

TEST_P(GateTest, WindowedLutIsZeroOutsideItsWindow) {
  // Direct keys (m <= 9) and trees; windows at the domain's ends.
  for (int m : {4, 7, 9, 10, 13}) {
    if (m > width()) continue;
    const Values x = Draw(m);
    for (const auto& [low, length] : std::vector<std::pair<int64_t, size_t>>{
             {-3, 7},
             {-Bound(m), 2},
             {Bound(m) - 5, 5},
             {-Bound(m), size_t{2} << (m - 1)}}) {
      Values table(length);
      for (size_t i = 0; i < length; ++i) {
        table[i] = static_cast<int64_t>(rng_() % 64) - 32;
      }
      const auto out = Run(
          [&, low = low](Evaluator& ev) {
            ev.Output(WindowedLut(ev, Input(ev), m, low, table, 7, 0));
          },
          {x});
      ASSERT_EQ(out.size(), 1u);
      for (size_t i = 0; i < n(); ++i) {
        const int64_t at = x[i] - low;
        const bool inside = at >= 0 && at < static_cast<int64_t>(length);
        EXPECT_EQ(out[0][i], inside ? table[at] : 0) << m << ' ' << low;
      }
    }
  }
}

TEST_P(GateTest, InterpolatedIsPiecewiseLinear) {
  if (width() < 16) GTEST_SKIP() << "too narrow for steps and a domain";
  // |x| with a step of 8 between -64 and 64, x above.
  const int k = 3, m = 8, frac = 2;
  InterpolatedTable table;
  table.step_bits = k;
  table.domain_bits = m;
  table.low = -8;
  for (int64_t u = -8; u < 8; ++u) {
    table.value.push_back(std::abs(u) * 8);
    table.slope.push_back(u < 0 ? -1 : 1);
  }
  table.value_shift = 0;
  table.out_frac = frac;
  for (bool above : {false, true}) {
    table.identity_above = above;
    const Values x = RandomValues(n(), -900, 900, rng_);
    const auto out = Run(
        [&](Evaluator& ev) {
          OutputOpened(ev, Interpolated(ev, Input(ev, frac), table, 12));
        },
        {x});
    ASSERT_EQ(out.size(), 1u);
    for (size_t i = 0; i < n(); ++i) {
      if (x[i] < -72) {
        EXPECT_EQ(out[0][i], 0);
      }
      if (x[i] > 64) {
        EXPECT_EQ(out[0][i], above ? x[i] : 0);
      }
      if (x[i] >= -56 && x[i] <= 48 && (x[i] <= -8 || x[i] >= 8)) {
        EXPECT_EQ(out[0][i], std::abs(x[i])) << x[i];
      }
    }
  }
}

TEST_P(GateTest, Exp2IsAccurateAndExactlyReproduced) {
  if (width() < 18) GTEST_SKIP() << "too narrow";
  const int f = 8;
  const Exp2Params params{.domain_bits = 9,
                          .min_exponent = -20,
                          .max_exponent = 4,
                          .mask_bits = 12,
                          .public_bits = 12};
  const Values x = RandomValues(n(), -200 << f, (5 << f) - 1, rng_);
  const auto out = Run(
      [&](Evaluator& ev) { OutputOpened(ev, Exp2(ev, Input(ev, f), params)); },
      {x});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < n(); ++i) {
    const double got = std::ldexp(out[0][i], -params.out_frac());
    const double want = std::exp2(std::ldexp(x[i], -f));
    EXPECT_NEAR(got, want, 3e-4 * want + std::ldexp(1.0, -19)) << x[i];
  }
}

TEST_P(GateTest, SegmentedPicksTheRightTable) {
  if (width() < 16) GTEST_SKIP() << "too narrow";
  // floor(x / 2^shift) * 2^shift, up to the stochastic carry.
  SegmentedTable table;
  table.domain_bits = 13;
  table.boundaries = {1, 8, 64, 1024, 4096};
  table.shift = {0, 1, 4, 7};
  table.out_frac = 0;
  for (size_t s = 0; s < 4; ++s) {
    Values& entries = table.table.emplace_back();
    const int64_t low = table.boundaries[s] >> table.shift[s];
    const int64_t high = (table.boundaries[s + 1] - 1) >> table.shift[s];
    for (int64_t u = low; u <= high + 1; ++u) {
      entries.push_back(u << table.shift[s]);
    }
  }
  const Values x = RandomValues(n(), 1, 4095, rng_);
  const auto out = Run(
      [&](Evaluator& ev) {
        OutputOpened(ev, Segmented(ev, Input(ev), table, 14));
      },
      {x});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < n(); ++i) {
    const int shift = x[i] < 8 ? 0 : x[i] < 64 ? 1 : x[i] < 1024 ? 4 : 7;
    const int64_t floor = x[i] >> shift << shift;
    EXPECT_TRUE(out[0][i] == floor || out[0][i] == floor + (1 << shift))
        << x[i] << " -> " << out[0][i];
  }
}

TEST_P(GateTest, OneHotAndHistogramCount) {
  const int m = std::min(width() - 1, 6);
  const size_t size = (size_t{1} << m) - 3;
  const Values t = RandomValues(n(), 0, static_cast<int64_t>(size) - 1, rng_);
  const auto out = Run(
      [&](Evaluator& ev) {
        const Wire a = Input(ev);
        ev.Output(OneHot(ev, a, m, size, width()));
        if (n() > 0) ev.Output(Histogram(ev, a, size_t{1} << m, 10));
      },
      {t});
  ASSERT_EQ(out.size(), n() > 0 ? 2u : 1u);
  Values counts(size_t{1} << m);
  for (size_t i = 0; i < n(); ++i) {
    for (size_t v = 0; v < size; ++v) {
      EXPECT_EQ(out[0][i * size + v], v == static_cast<size_t>(t[i]));
    }
    ++counts[t[i]];
  }
  // Ten bits, read as signed.
  for (int64_t& c : counts) c = ToSigned(c, 10);
  if (n() > 0) {
    EXPECT_EQ(out[1], counts);
  }
}

TEST_P(GateTest, ShufflePermutesRows) {
  const Values x = Draw(width());
  Values rows;
  for (int64_t v : x) rows.insert(rows.end(), {v, v / 2});
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        ev.Output(Shuffle(ev, ToShare(ev, ev.Input({n(), 2}, width(), 0))));
      },
      {{rows, width()}});
  ASSERT_EQ(out.size(), 1u);
  Values first;
  for (size_t i = 0; i < n(); ++i) {
    first.push_back(out[0][2 * i]);
    EXPECT_EQ(out[0][2 * i + 1], out[0][2 * i] / 2);
  }
  Values sorted = x;
  if (n() > 30) {
    EXPECT_NE(first, x);
  }
  std::sort(sorted.begin(), sorted.end());
  std::sort(first.begin(), first.end());
  EXPECT_EQ(first, sorted);
}

std::string GateName(
    const testing::TestParamInfo<std::tuple<size_t, int>>& info) {
  return absl::StrCat("n", std::get<0>(info.param), "_w",
                      std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Sizes, GateTest,
                         testing::Combine(testing::Values(0, 1, 2, 127, 128,
                                                          129, 1000),
                                          testing::Values(8, 13, 16, 24, 31, 32,
                                                          33, 40, 48, 63, 64)),
                         GateName);

// ---- Products of matrices ----

struct MatMulCase {
  size_t m, k, n;
  int width;
};

class MatMulTest : public testing::TestWithParam<
                       std::tuple<MatMulCase, Layout, WeightMode>> {};

Values Product(const Values& a, const Values& b, size_t m, size_t k, size_t n,
               Layout layout) {
  Values c(m * n);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t p = 0; p < k; ++p) {
        c[i * n + j] +=
            a[i * k + p] *
            (layout == Layout::kRowMajor ? b[p * n + j] : b[j * k + p]);
      }
    }
  }
  return c;
}

TEST_P(MatMulTest, StaticWeightsMultiplyExactly) {
  const auto& [c, layout, mode] = GetParam();
  std::mt19937_64 rng(11);
  const int64_t bound = Bound(c.width / 2 - 3);
  const Values x = RandomValues(c.m * c.k, -bound, bound, rng);
  const Values w = RandomValues(c.k * c.n, -bound / 8, bound / 8, rng);
  const Values row = RandomValues(c.k, -bound / 8, bound / 8, rng);
  const StaticMatrixShares weights = TestMatrix(w, c.k, c.n, 2, layout, mode);
  const StaticMatrixShares gamma =
      TestMatrix(row, 1, c.k, 2, Layout::kRowMajor, mode);
  const int width = c.width;
  const size_t m = c.m, k = c.k;
  const auto out = RunAndCheck(
      [&, m, k, width](Evaluator& ev) {
        const Wire a = ev.Input({m, k}, width, 0);
        OutputOpened(ev, MatMulStatic(ev, a, Pick(ev, weights), width));
        Share scaled = MulStatic(ev, a, Pick(ev, gamma), width);
        OutputOpened(ev, AddStatic(ev, scaled, Pick(ev, gamma)));
      },
      {{x, width}});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0], Product(x, w, c.m, c.k, c.n, layout));
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(out[1][i], x[i] * row[i % k] + row[i % k]);
  }
}

TEST_P(MatMulTest, RowsOfAStaticMatrixAreShares) {
  const auto& [c, layout, mode] = GetParam();
  if (layout != Layout::kRowMajor) GTEST_SKIP() << "rows are not contiguous";
  std::mt19937_64 rng(12);
  const Values w = RandomValues(c.k * c.n, -100, 100, rng);
  const StaticMatrixShares weights = TestMatrix(w, c.k, c.n, 3, layout, mode);
  std::vector<std::vector<size_t>> choices = {{}};
  if (c.k > 0) {
    choices.push_back({c.k - 1});
    choices.push_back({0, c.k - 1, 0, c.k / 2});
  }
  const size_t n = c.n;
  const Program program = [&](Evaluator& ev) {
    for (const std::vector<size_t>& rows : choices) {
      const Share share = FromStatic(ev, Pick(ev, weights), rows, 12);
      EXPECT_EQ(share.frac, 3);
      EXPECT_EQ(share.shape, Shape({rows.size(), n}));
      ev.Output(share);
    }
  };
  const auto out = RunAndCheck(program, {});
  ASSERT_EQ(out.size(), choices.size());
  for (size_t j = 0; j < choices.size(); ++j) {
    Values want;
    for (size_t row : choices[j]) {
      want.insert(want.end(), w.begin() + row * n, w.begin() + (row + 1) * n);
    }
    EXPECT_EQ(out[j], want);
  }
  const auto cost = DeclaredCost(program);
  ASSERT_OK(cost);
  const auto nothing = DeclaredCost([](Evaluator&) {});
  ASSERT_OK(nothing);
  EXPECT_EQ(*cost, *nothing);
}

class WireMatMulTest
    : public testing::TestWithParam<std::tuple<MatMulCase, Layout>> {};

TEST_P(WireMatMulTest, WiresMultiplyExactly) {
  const auto& [c, layout] = GetParam();
  std::mt19937_64 rng(13);
  const int64_t bound = Bound(c.width / 2 - 3);
  const Values x = RandomValues(2 * c.m * c.k, -bound, bound, rng);
  const Values y = RandomValues(2 * c.k * c.n, -bound / 8, bound / 8, rng);
  const Shape right =
      layout == Layout::kRowMajor ? Shape{2, c.k, c.n} : Shape{2, c.n, c.k};
  const Layout order = layout;
  const int width = c.width;
  const Shape left = {2, c.m, c.k};
  const auto out = RunAndCheck(
      [&, order, width](Evaluator& ev) {
        const Wire a = ev.Input(left, width, 0);
        const Wire b = ev.Open(ToShare(ev, ev.Input(right, width, 0)));
        OutputOpened(ev, MatMul(ev, a, b, order, width));
      },
      {{x, width}, {y, width}});
  ASSERT_EQ(out.size(), 1u);
  Values want;
  for (size_t i = 0; i < 2; ++i) {
    const Values part = Product(
        Values(x.begin() + i * c.m * c.k, x.begin() + (i + 1) * c.m * c.k),
        Values(y.begin() + i * c.k * c.n, y.begin() + (i + 1) * c.k * c.n), c.m,
        c.k, c.n, layout);
    want.insert(want.end(), part.begin(), part.end());
  }
  EXPECT_EQ(out[0], want);
}

const auto kMatMulCases = testing::Values(
    MatMulCase{1, 1, 1, 16}, MatMulCase{1, 7, 13, 24}, MatMulCase{5, 3, 2, 20},
    MatMulCase{12, 17, 33, 32}, MatMulCase{127, 64, 65, 40},
    MatMulCase{3, 129, 5, 48}, MatMulCase{16, 100, 1, 63},
    MatMulCase{2, 16, 31, 64}, MatMulCase{0, 4, 4, 24}, MatMulCase{3, 4, 0, 24},
    MatMulCase{3, 0, 4, 24});
const auto kLayouts = testing::Values(Layout::kRowMajor, Layout::kTransposed);

INSTANTIATE_TEST_SUITE_P(
    Shapes, MatMulTest,
    testing::Combine(kMatMulCases, kLayouts,
                     testing::Values(WeightMode::kDealerHeld,
                                     WeightMode::kBlind)));
INSTANTIATE_TEST_SUITE_P(Shapes, WireMatMulTest,
                         testing::Combine(kMatMulCases, kLayouts));

// ---- Programs ----

TEST(ProgramTest, OpeningsThatDoNotDependOnEachOtherShareARound) {
  const Program program = [](Evaluator& ev) {
    const Wire x = ev.Input({5}, 20, 0);
    const Wire a = ev.Open(Square(ev, x, 20));
    const Wire b = ev.Open(ToShare(ev, x));
    const Wire c = ev.Open(Mul(ev, a, b, 20));
    ev.Output(ToShare(ev, c));
  };
  const auto out = RunAndCheck(program, {{{0, 1, -2, 3, 9}, 20}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], (Values{0, 1, -8, 27, 729}));
  const absl::StatusOr<Cost> cost = DeclaredCost(program);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 2u);
}

TEST(ProgramTest, LayoutMapsActOnValues) {
  const auto out = RunAndCheck(
      [](Evaluator& ev) {
        const Wire x = ev.Input({2, 3}, 16, 0);
        const std::vector<int> axes = {1, 0};
        ev.Output(ToShare(ev, Transpose(ev, x, axes)));
        ev.Output(ToShare(ev, SliceLast(ev, x, 1, 2)));
        const std::vector<size_t> rows = {1, 1, 0};
        ev.Output(ToShare(ev, GatherRows(ev, x, rows)));
        const std::vector<Wire> parts = {x, x};
        ev.Output(ToShare(ev, Concat(ev, std::span<const Wire>(parts))));
        ev.Output(Rescale(ev, ToShare(ev, x), 4));
        const Values constants = {7, -7};
        ev.Output(ToShare(ev, Constant(ev, {2}, 16, 0, constants)));
        const Values factors = {1, 2, 3};
        ev.Output(ToShare(ev, MulPublic(ev, x, factors, 0)));
        ev.Output(ToShare(ev, Narrow(ev, Reshape(ev, x, {6}), 4)));
      },
      {{{1, 2, 3, 4, 5, 6}, 16}});
  ASSERT_EQ(out.size(), 8u);
  EXPECT_EQ(out[0], (Values{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(out[1], (Values{2, 3, 5, 6}));
  EXPECT_EQ(out[2], (Values{4, 5, 6, 4, 5, 6, 1, 2, 3}));
  EXPECT_EQ(out[3], (Values{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(out[4], (Values{16, 32, 48, 64, 80, 96}));
  EXPECT_EQ(out[5], (Values{7, -7}));
  EXPECT_EQ(out[6], (Values{1, 4, 9, 4, 10, 18}));
  EXPECT_EQ(out[7], (Values{1, 2, 3, 4, 5, 6}));
}

TEST(ProgramTest, RevealTellsBothPartiesInOneRound) {
  const Values x = {5, 0, 7, 1, 3};
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Share share = ToShare(ev, ev.Input({5}, 4, 0));
        const Words learnt = ev.Reveal(share);
        if (ev.is_dealer() || ev.is_cost()) {
          EXPECT_TRUE(learnt.empty());
        } else {
          EXPECT_EQ(Values(learnt.begin(), learnt.end()), x);
        }
        ev.Output(share);
      },
      {{x, 4}});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], x);
}

TEST(ProgramTest, ThreadsAndPrefetchChangeNothing) {
  const Program program = [](Evaluator& ev) {
    const Wire x = ev.Input({5000}, 40, 12);
    const Share y = Select(ev, Not(ev, IsNegative(ev, x, 30)), x, 40);
    ev.Output(ToShare(ev, TruncReduce(ev, ev.Open(y), 3)));
  };
  std::mt19937_64 rng(17);
  const std::vector<InputValue> inputs = {
      {RandomValues(5000, -Bound(30), Bound(30) - 1, rng), 40}};
  TwoPartyOptions options;
  const auto one = RunAndCheck(program, inputs, options);
  options.threads = 4;
  EXPECT_EQ(RunAndCheck(program, inputs, options), one);
  options.prefetch = true;
  EXPECT_EQ(RunAndCheck(program, inputs, options), one);
}

TEST(ProgramTest, StochasticRoundingIsUnbiased) {
  // 3/8 rounds up in 3 of 8 cases; over 2^16 masks within 5 sigma.
  const size_t n = size_t{1} << 16;
  const auto out = RunAndCheck(
      [n](Evaluator& ev) {
        ev.Output(ToShare(ev, TruncReduce(ev, ev.Input({n}, 32, 8), 8)));
      },
      {{Values(n, 96), 32}});
  ASSERT_EQ(out.size(), 1u);
  const double ups = std::accumulate(out[0].begin(), out[0].end(), 0.0);
  EXPECT_NEAR(ups / n, 0.375, 5 * std::sqrt(0.375 * 0.625 / n));
}

TEST(PowerOfTwoFractionTest, IsTheRoundedPower) {
  for (int frac : {0, 1, 5, 12, 16}) {
    for (uint64_t i = 0; i<uint64_t{1} << frac; i += frac> 12 ? 97 : 1) {
      for (int sign : {-1, 1}) {
        const double power = std::exp2(sign * std::ldexp(i, -frac));
        EXPECT_NEAR(PowerOfTwoFraction(i, frac, sign, 24),
                    std::ldexp(power, 24), 0.5001)
            << frac << ' ' << i;
      }
    }
  }
}

}  // namespace
}  // namespace tacit
