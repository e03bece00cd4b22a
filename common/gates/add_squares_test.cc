#include "common/gates/add_squares.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/multiply.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

using Values = std::vector<int64_t>;

Values DrawUpdate(size_t n, Range range, int bits, std::mt19937_64& rng) {
  const int64_t quarter = int64_t{1} << (bits - 2);
  return range == Range::kSigned ? RandomValues(n, -quarter, quarter - 1, rng)
                                 : RandomValues(n, 0, 2 * quarter - 1, rng);
}

// Rows' sums of (x + u)^2 modulo 2^bits.
Values SumsOfSquares(const Values& x, const Values& u, size_t rows, size_t d,
                     int bits) {
  Values sums(rows);
  for (size_t row = 0; row < rows; ++row) {
    uint64_t sum = 0;
    for (size_t e = row * d; e < (row + 1) * d; ++e) {
      const uint64_t s = static_cast<uint64_t>(x[e] + u[e]);
      sum += s * s;
    }
    sums[row] = ToSigned(sum, bits);
  }
  return sums;
}

struct Case {
  int wide, narrow, squares;
};

class AddSquaresTest : public testing::TestWithParam<Case> {
 protected:
  // Runs over [rows, d]; x as an input, or opened first, so that the parties
  // hold shares of its mask.
  void Check(size_t rows, size_t d, Range range, bool opened) {
    const int wide = GetParam().wide, narrow = GetParam().narrow;
    const int squares = GetParam().squares;
    SCOPED_TRACE(absl::StrCat(rows, " rows of ", d, ", opened ", opened));
    std::mt19937_64 rng(rows * 1000 + d);
    const Values u = DrawUpdate(rows * d, range, narrow, rng);
    // The squares' ring must hold their sum, the wide one x + u.
    const int bits =
        std::min(wide - 2, std::max(0, (squares - 1 - CeilLog(d)) / 2 - 1));
    const int64_t limit = (int64_t{1} << bits) - 1;
    Values x = RandomValues(rows * d, -limit, limit, rng);
    for (size_t i = 0; i < x.size(); ++i) x[i] -= u[i];
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          Wire a = ev.Input({rows, d}, wide, 5);
          const Wire b = ev.Input({rows, d}, narrow, 5);
          if (opened) a = ev.Open(ToShare(ev, a));
          const SumAndSquares y = AddSquares(ev, a, b, range, squares);
          EXPECT_EQ(y.sum.width, wide);
          EXPECT_EQ(y.squares.frac, 10);
          ev.Output(y.sum);
          ev.Output(y.squares);
        },
        {{x, wide}, {u, narrow}});
    ASSERT_EQ(out.size(), 2u);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(out[0][i], x[i] + u[i]);
    EXPECT_EQ(out[1], SumsOfSquares(x, u, rows, d, squares));
  }

  static int CeilLog(size_t d) {
    int bits = 0;
    while ((size_t{1} << bits) < d) ++bits;
    return bits;
  }
};

TEST_P(AddSquaresTest, IsExactInBothRangesAtEverySize) {
  for (Range range : {Range::kSigned, Range::kNonNegative}) {
    for (bool opened : {false, true}) {
      for (size_t rows : {0, 1, 2, 127, 128, 129, 1000}) {
        Check(rows, 3, range, opened);
      }
      // Blocks of elements that begin and end inside rows, and a row of none.
      Check(7, 300, range, opened);
      Check(1, 2500, range, opened);
      Check(3, 0, range, opened);
      Check(5, 1, range, opened);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Widths, AddSquaresTest,
    testing::Values(Case{64, 24, 56}, Case{64, 24, 64}, Case{54, 40, 54},
                    Case{40, 20, 30},
                    // No cross terms, from n + 1 bits down.
                    Case{48, 30, 31}, Case{48, 30, 32}, Case{48, 30, 25},
                    Case{64, 63, 64}, Case{30, 2, 30}, Case{3, 2, 3}),
    [](const auto& info) {
      return absl::StrCat(info.param.wide, "_", info.param.narrow, "_",
                          info.param.squares);
    });

// What it replaces: the update extended by an opening, then squares.
TEST(AddSquaresGateTest, EqualsAddThenSumSquaresOfATruncatedUpdate) {
  std::mt19937_64 rng(2);
  const size_t rows = 9, d = 64;
  const Values x = RandomValues(rows * d, -(1 << 20), 1 << 20, rng);
  const Values u = RandomValues(rows * d, -(1 << 29), 1 << 29, rng);
  for (Rounding rounding : {Rounding::kStochastic, Rounding::kFaithful}) {
    TwoPartyOptions options;
    options.rounding = rounding;
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          const Wire a = ev.Open(ToShare(ev, ev.Input({rows, d}, 60, 12)));
          const Wire b = ev.Open(ToShare(ev, ev.Input({rows, d}, 36, 24)));
          const SumAndSquares y =
              AddSquares(ev, a, TruncReduce(ev, b, 12), Range::kSigned, 52);
          ev.Output(y.squares);
          ev.Output(Narrow(ev, SumSquares(ev, ev.Open(y.sum), 60), 52));
        },
        {{x, 60}, {u, 36}}, options);
    ASSERT_EQ(out.size(), 2u);
    EXPECT_EQ(out[0], out[1]);
  }
}

TEST(AddSquaresGateTest, DealsThreeValuesAnElementAndOneARow) {
  const size_t rows = 8, d = 1024;
  auto bytes = [&](int squares) {
    const auto cost = DeclaredCost([&](Evaluator& ev) {
      const Wire x = ev.Open(ToShare(ev, ev.Input({rows, d}, 64, 12)));
      const Wire u = ev.Input({rows, d}, 24, 12);
      AddSquares(ev, x, u, Range::kSigned, squares);
    });
    const auto base = DeclaredCost([&](Evaluator& ev) {
      ev.Open(ToShare(ev, ev.Input({rows, d}, 64, 12)));
      ev.Input({rows, d}, 24, 12);
    });
    EXPECT_OK(cost);
    EXPECT_OK(base);
    EXPECT_EQ(cost->rounds, base->rounds);
    EXPECT_EQ(cost->material_bytes[0], base->material_bytes[0]);
    return cost->material_bytes[1] - base->material_bytes[1];
  };
  EXPECT_EQ(bytes(56), rows * d * (64 + 40 + 31) / 8 + rows * 56 / 8);
  EXPECT_EQ(bytes(24), rows * d * (64 + 40) / 8 + rows * 24 / 8);
}

TEST(AddSquaresGateTest, PlainRejectsUpdatesOutsideTheRange) {
  auto status = [](Range range, int64_t u) {
    return StatusOfPlain(
        [&](Evaluator& ev) {
          const Wire a = ev.Input({1, 1}, 40, 0), b = ev.Input({1, 1}, 10, 0);
          ev.Output(AddSquares(ev, a, b, range, 40).sum);
        },
        {{{5}, 40}, {{u}, 10}});
  };
  for (auto [range, u] :
       {std::pair{Range::kSigned, 256}, std::pair{Range::kSigned, -257},
        std::pair{Range::kNonNegative, -1}}) {
    EXPECT_THAT(status(range, u),
                StatusIs(absl::StatusCode::kOutOfRange, "AddSquares"));
  }
  EXPECT_OK(status(Range::kSigned, -256));
  EXPECT_OK(status(Range::kNonNegative, 511));
}

TEST(AddSquaresGateTest, RejectsShapesFractionsAndWidths) {
  auto status = [](const Shape& x, const Shape& u, int wide, int narrow,
                   int squares, int frac = 4) {
    return DeclaredCost([&](Evaluator& ev) {
             const Wire a = ev.Input(x, wide, 4), b = ev.Input(u, narrow, frac);
             AddSquares(ev, a, b, Range::kSigned, squares);
           })
        .status();
  };
  const auto invalid =
      StatusIs(absl::StatusCode::kInvalidArgument, "AddSquares");
  EXPECT_OK(status({2, 3}, {2, 3}, 40, 20, 40));
  EXPECT_THAT(status({2, 3}, {3, 2}, 40, 20, 40), invalid);
  EXPECT_THAT(status({}, {}, 40, 20, 40), invalid);
  EXPECT_THAT(status({2, 3}, {2, 3}, 40, 20, 40, 5), invalid);
  EXPECT_THAT(status({2, 3}, {2, 3}, 40, 40, 40), invalid);
  EXPECT_THAT(status({2, 3}, {2, 3}, 40, 41, 40), invalid);
  EXPECT_THAT(status({2, 3}, {2, 3}, 40, 1, 40), invalid);
  EXPECT_THAT(status({2, 3}, {2, 3}, 40, 20, 41), invalid);
  EXPECT_THAT(status({2, 3}, {2, 3}, 40, 20, 0), invalid);
}

}  // namespace
}  // namespace tacit
