#include "common/gates/mul_extend.h"

#include <vector>

#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

using Values = std::vector<int64_t>;

Values Draw(size_t n, Range range, int bits, std::mt19937_64& rng) {
  return range == Range::kSigned
             ? RandomValues(n, -(int64_t{1} << (bits - 2)),
                            (int64_t{1} << (bits - 2)) - 1, rng)
             : RandomValues(n, 0, (int64_t{1} << (bits - 1)) - 1, rng);
}

TEST(MulExtendTest, IsExactInBothRangesAtEverySize) {
  std::mt19937_64 rng(1);
  for (Range range : {Range::kSigned, Range::kNonNegative}) {
    for (int bits : {2, 9, 20, 40}) {
      for (int width : {20, 40, 60}) {
        if (width < bits) continue;
        for (size_t rows : {0, 1, 2, 129}) {
          const size_t d = 8;
          const Values x = Draw(rows * d, range, bits, rng);
          const int64_t limit = int64_t{1} << std::max(0, width - bits - 2);
          const Values y = RandomValues(rows, -limit, limit, rng);
          const auto out = RunAndCheck(
              [&](Evaluator& ev) {
                const Wire a = ev.Input({rows, d}, bits, 3);
                const Wire b = ev.Input({rows}, width, 4);
                ev.Output(MulExtend(ev, a, b, range, width));
              },
              {{x, bits}, {y, width}});
          ASSERT_EQ(out.size(), 1u);
          for (size_t i = 0; i < x.size(); ++i) {
            ASSERT_EQ(out[0][i], ToSigned(x[i] * y[i / d], width)) << bits;
          }
        }
      }
    }
  }
}

TEST(MulExtendTest, FollowsRowNumbers) {
  std::mt19937_64 rng(2);
  const std::vector<uint32_t> rows = {2, 0, 0, 1, 2, 2, 2};
  const Values x = Draw(rows.size(), Range::kSigned, 12, rng);
  const Values y = RandomValues(3, -1000, 1000, rng);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a = ev.Input({rows.size()}, 12, 0);
        const Wire b = ev.Input({3}, 30, 0);
        ev.Output(MulExtend(ev, a, b, Range::kSigned, 30, rows));
      },
      {{x, 12}, {y, 30}});
  ASSERT_EQ(out.size(), 1u);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(out[0][i], x[i] * y[rows[i]]);
}

TEST(MulExtendTest, ExtendsBothRanges) {
  std::mt19937_64 rng(3);
  for (Range range : {Range::kSigned, Range::kNonNegative}) {
    const Values x = Draw(1000, range, 17, rng);
    const auto out = RunAndCheck(
        [&](Evaluator& ev) {
          ev.Output(ExtendRange(ev, ev.Input({x.size()}, 17, 0), range, 48));
        },
        {{x, 17}});
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0], x);
  }
}

TEST(MulExtendTest, PlainRejectsValuesOutsideTheRange) {
  auto status = [](Range range, int64_t x) {
    return StatusOfPlain(
        [&](Evaluator& ev) {
          const Wire a = ev.Input({1, 1}, 10, 0), b = ev.Input({1}, 30, 0);
          ev.Output(MulExtend(ev, a, b, range, 30));
        },
        {{{x}, 10}, {{5}, 30}});
  };
  for (auto [range, x] :
       {std::pair{Range::kSigned, 256}, std::pair{Range::kSigned, -257},
        std::pair{Range::kNonNegative, -1}}) {
    EXPECT_THAT(status(range, x),
                StatusIs(absl::StatusCode::kOutOfRange, "MulExtend"));
  }
  EXPECT_OK(status(Range::kSigned, -256));
  EXPECT_OK(status(Range::kNonNegative, 511));
}

TEST(MulExtendTest, RejectsShapesAndWidths) {
  auto status = [](Shape x, Shape y, int width,
                   std::vector<uint32_t> rows = {}) {
    return DeclaredCost([&](Evaluator& ev) {
             const Wire a = ev.Input(x, 10, 0), b = ev.Input(y, 30, 0);
             MulExtend(ev, a, b, Range::kSigned, width, rows);
           })
        .status();
  };
  const auto invalid =
      StatusIs(absl::StatusCode::kInvalidArgument, "MulExtend");
  EXPECT_THAT(status({2, 3}, {3}, 30), invalid);
  EXPECT_THAT(status({2, 3}, {2}, 31), invalid);
  EXPECT_THAT(status({2}, {2}, 30, {0, 2}), invalid);
  EXPECT_THAT(status({2}, {2}, 30, {0}), invalid);
  EXPECT_OK(status({2}, {2}, 30, {0, 1}));
}

TEST(MulExtendBothTest, IsExactAtEverySizeAndWidth) {
  std::mt19937_64 rng(4);
  constexpr Range kRanges[] = {Range::kSigned, Range::kNonNegative};
  for (int x_bits : {2, 9, 20, 44}) {
    for (int y_bits : {2, 13, 20, 44}) {
      for (int width : {20, 42, 64}) {
        const Range x_range = kRanges[x_bits % 2], y_range = kRanges[width % 2];
        for (size_t n : {0, 1, 2, 127, 128, 129, 1000}) {
          const Values x = Draw(n, x_range, x_bits, rng);
          const Values y = Draw(n, y_range, y_bits, rng);
          // The plain evaluator holds values that were never wrapped.
          if (x_bits + y_bits - 3 > width) continue;
          const auto out = RunAndCheck(
              [&](Evaluator& ev) {
                const Wire a = ev.Input({n}, x_bits, 3);
                const Wire b = ev.Input({n}, y_bits, 4);
                ev.Output(MulExtendBoth(ev, a, x_range, b, y_range, width));
              },
              {{x, x_bits}, {y, y_bits}});
          ASSERT_EQ(out.size(), 1u);
          for (size_t i = 0; i < n; ++i) {
            ASSERT_EQ(out[0][i], ToSigned(x[i] * y[i], width));
          }
        }
      }
    }
  }
}

TEST(MulExtendBothTest, RejectsBadShapesAndWidths) {
  const auto run = [](Shape left, Shape right, int bits, int width) {
    return DeclaredCost([=](Evaluator& ev) {
             const Wire x = ev.Input(left, bits, 0);
             const Wire y = ev.Input(right, 8, 0);
             ev.Output(MulExtendBoth(ev, x, Range::kSigned, y, Range::kSigned,
                                     width));
           })
        .status();
  };
  EXPECT_OK(run({3}, {3}, 8, 16));
  EXPECT_THAT(run({3}, {4}, 8, 16),
              StatusIs(absl::StatusCode::kInvalidArgument, "[3] and [4]"));
  EXPECT_THAT(run({3}, {3}, 1, 16),
              StatusIs(absl::StatusCode::kInvalidArgument, "1 and 8 bits"));
  EXPECT_THAT(run({3}, {3}, 8, 65),
              StatusIs(absl::StatusCode::kInvalidArgument, "to 65"));
}

TEST(MulExtendBothTest, ValuesOutsideTheirRangeAreFound) {
  EXPECT_THAT(StatusOfPlain(
                  [](Evaluator& ev) {
                    const Wire x = ev.Input({1}, 8, 0), y = ev.Input({1}, 8, 0);
                    ev.Output(MulExtendBoth(ev, x, Range::kSigned, y,
                                            Range::kSigned, 16));
                  },
                  {{{3}, 8}, {{64}, 8}}),
              StatusIs(absl::StatusCode::kOutOfRange, "MulExtendBoth"));
}

}  // namespace
}  // namespace tacit
