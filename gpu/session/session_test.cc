// Programs whose roles compute on a device, every thread of every kernel on the
// host, in memory that host code cannot touch: outputs equal the plain
// evaluator's bit for bit, and the counted cost is the declared one, as for
// roles on the host.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "common/gates/add_squares.h"
#include "common/gates/compare.h"
#include "common/gates/exp2.h"
#include "common/gates/extend.h"
#include "common/gates/interpolated.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/mul_extend.h"
#include "common/gates/multiply.h"
#include "common/gates/one_hot.h"
#include "common/gates/segmented.h"
#include "common/gates/select.h"
#include "common/gates/shuffle.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"
#include "common/gates/windowed_lut.h"
#include "gpu/session/host_device_testing.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

InputValue Values(size_t n, int width, int bits, bool non_negative = false) {
  std::mt19937_64 rng(n * 64 + width);
  const int64_t bound = int64_t{1} << bits;
  return {tacit::RandomValues(n, non_negative ? 0 : -bound, bound - 1, rng),
          width};
}

// Roles on devices, in all mixtures: they talk to each other as roles on hosts
// do. With one of them every record is a block of its own.
void Check(const Program& program, const std::vector<InputValue>& inputs,
           Rounding rounding = Rounding::kStochastic) {
  for (const std::vector<int>& roles :
       {std::vector<int>{-1, 0, 1}, {-1}, {0}, {1}}) {
    HostDevices devices(roles, size_t{1} << 30,
                        roles.size() == 1 ? 1 : Session::kBlockBytes);
    TwoPartyOptions options;
    options.rounding = rounding;
    options.accelerator = devices.factory();
    tacit::RunAndCheck(program, inputs, options);
    EXPECT_EQ(devices.bytes_left(), 0);
  }
}

// Element counts of one record, of several, none.
constexpr size_t kCounts[] = {0, 1, 129, 2500};

TEST(SessionTest, LinearMaps) {
  Check(
      [](Evaluator& ev) {
        const Wire x = ev.Input({6, 5, 4}, 40, 8);
        const Wire y = ev.Input({6, 5, 4}, 40, 8);
        const Wire z = Add(ev, Sub(ev, x, y), Negate(ev, MulPublic(ev, y, 3)));
        const Share s = ToShare(ev, AddPublic(ev, z, 77));
        const std::vector<int64_t> factors = {1, -2, 3, -4};
        const Wire scaled = MulPublic(ev, x, factors, 0);
        const std::vector<size_t> rows = {5, 0, 3, 3};
        const Share gathered = GatherRows(ev, s, rows);
        const std::vector<int> axes = {2, 0, 1};
        ev.Output(Transpose(ev, gathered, axes));
        ev.Output(SumLast(ev, s));
        ev.Output(RepeatLast(ev, SliceLast(ev, s, 1, 2), 3));
        ev.Output(ToShare(ev, Concat(ev, std::vector<Wire>{scaled, x})));
        ev.Output(Concat(ev, std::vector<Share>{s, gathered}));
        ev.Output(Rescale(ev, MulPublic(ev, Add(ev, s, s), -5), 3));
        const std::vector<int64_t> constants = {9, -9};
        const Wire c = Constant(ev, {2}, 40, 8, constants);
        ev.Output(AddPublic(ev, ToShare(ev, c), -3));
      },
      {Values(120, 40, 20), Values(120, 40, 20)});
}

TEST(SessionTest, OpeningsOfWordsAndBitsShareAMessage) {
  for (size_t n : kCounts) {
    Check(
        [n](Evaluator& ev) {
          const Wire x = ev.Input({n}, 33, 0);
          const Wire again = ev.Open(ToShare(ev, x));
          const BitShare negative = IsNegative(ev, x, 20);
          const BitWire bit = ev.Open(negative);
          (void)bit;
          ev.Output(ToShare(ev, again));
          ev.Output(BitToShare(ev, Not(ev, Xor(ev, negative, negative)), 17));
          if (n > 0) ev.Reveal(SliceLast(ev, ToShare(ev, again), 0, 1));
        },
        {Values(n, 33, 18)});
  }
}

TEST(SessionTest, Products) {
  for (size_t rows : {size_t{0}, size_t{3}, size_t{25}}) {
    for (size_t d : {size_t{1}, size_t{100}}) {
      const size_t n = rows * d;
      Check(
          [=](Evaluator& ev) {
            const Wire x = ev.Input({rows, d}, 50, 4);
            const Wire y = ev.Input({rows}, 50, 4);
            const Wire narrow = ev.Input({rows, d}, 21, 4);
            ev.Output(Mul(ev, x, y, 48));
            ev.Output(Square(ev, x, 44));
            ev.Output(SumSquares(ev, x, 50));
            ev.Output(Extend(ev, narrow, 50));
            ev.Output(MulExtend(ev, narrow, y, Range::kSigned, 50));
            ev.Output(MulExtend(ev, narrow, y, Range::kSigned, 20));
            std::vector<uint32_t> order(n);
            for (size_t i = 0; i < n; ++i) order[i] = (i * 7) % rows;
            if (n > 0) {
              ev.Output(MulExtend(ev, narrow, y, Range::kSigned, 49, order));
            }
            for (int width : {18, 23, 30, 60}) {
              ev.Output(MulExtendBoth(ev, narrow, Range::kSigned, narrow,
                                      Range::kSigned, width));
            }
            for (int bits : {22, 50}) {
              const SumAndSquares s =
                  AddSquares(ev, x, narrow, Range::kSigned, bits);
              ev.Output(s.sum);
              ev.Output(s.squares);
            }
            const BitShare negative = IsNegative(ev, x, 24);
            ev.Output(Select(ev, negative, x, 40));
            ev.Output(Select(ev, IsNegative(ev, y, 12), x, 40));
            ev.Output(Select(ev, negative, ev.Open(ToShare(ev, x)), 40));
          },
          {Values(n, 50, 6), Values(rows, 50, 6), Values(n, 21, 6)});
    }
  }
}

TEST(SessionTest, Matrices) {
  std::mt19937_64 rng(5);
  constexpr size_t kInner = 70, kColumns = 19;
  for (WeightMode mode : {WeightMode::kDealerHeld, WeightMode::kBlind}) {
    for (Layout layout : {Layout::kRowMajor, Layout::kTransposed}) {
      for (int64_t bound : {int64_t{1000}, int64_t{1} << 30}) {
        const StaticMatrixShares w = tacit::TestMatrix(
            tacit::RandomValues(kInner * kColumns, -bound, bound, rng), kInner,
            kColumns, 3, layout, mode);
        const StaticMatrixShares row =
            tacit::TestMatrix(tacit::RandomValues(kInner, -bound, bound, rng),
                              1, kInner, 3, Layout::kRowMajor, mode);
        for (size_t m : {size_t{0}, size_t{1}, size_t{20}}) {
          Check(
              [&](Evaluator& ev) {
                const Wire x = ev.Input({m, kInner}, 56, 3);
                ev.Output(MatMulStatic(ev, x, Pick(ev, w), 53));
                ev.Output(MulStatic(ev, x, Pick(ev, row), 56));
                if (mode == WeightMode::kBlind) return;
                ev.Output(AddStatic(ev, ToShare(ev, x), Pick(ev, row)));
                if (layout == Layout::kTransposed) return;
                const std::vector<size_t> rows = {4, 69, 0};
                ev.Output(FromStatic(ev, Pick(ev, w), rows, 40));
              },
              {Values(m * kInner, 56, 10)});
        }
      }
    }
  }
}

TEST(SessionTest, ProductsOfWires) {
  for (Layout layout : {Layout::kRowMajor, Layout::kTransposed}) {
    Check(
        [=](Evaluator& ev) {
          const Wire x = ev.Input({3, 18, 7}, 40, 3);
          const Wire y =
              ev.Input(layout == Layout::kRowMajor ? tacit::Shape{3, 7, 11}
                                                   : tacit::Shape{3, 11, 7},
                       40, 3);
          ev.Output(MatMul(ev, x, y, layout, 37));
        },
        {Values(3 * 18 * 7, 40, 12), Values(3 * 7 * 11, 40, 12)});
  }
}

TEST(SessionTest, Comparisons) {
  for (size_t n : kCounts) {
    Check(
        [n](Evaluator& ev) {
          const Wire x = ev.Input({n}, 30, 0);
          for (int m : {21, 30}) {
            ev.Output(BitToShare(ev, IsNegative(ev, x, m), 9));
            ev.Output(BitToShare(ev, IsZero(ev, x, m), 9));
          }
          const std::vector<int64_t> boundaries = {-500, 0, 1, 300};
          ev.Output(BitToShare(ev, InIntervals(ev, x, 21, boundaries), 5));
          const Wire bit = ev.Open(Narrow(ev, ToShare(ev, x), 9));
          ev.Output(BitToShare(ev, IsZero(ev, bit, 4), 3));
        },
        {Values(n, 30, 7)});
  }
}

TEST(SessionTest, FaithfulRounding) {
  Check(
      [](Evaluator& ev) {
        const Wire x = ev.Open(ToShare(ev, ev.Input({700}, 40, 12)));
        ev.Output(ToShare(ev, TruncReduce(ev, x, 12)));
        ev.Output(ToShare(ev, TruncReduce(ev, x, 5)));
      },
      {Values(700, 40, 30)}, Rounding::kFaithful);
}

std::vector<int64_t> Table(size_t length, int64_t bound, uint64_t seed) {
  std::mt19937_64 rng(seed);
  return tacit::RandomValues(length, -bound, bound, rng);
}

TEST(SessionTest, Tables) {
  for (size_t n : kCounts) {
    Check(
        [n](Evaluator& ev) {
          const Wire x = ev.Input({n}, 20, 0);
          for (int m : {8, 12}) {
            ev.Output(WindowedLut(ev, x, m, -60, Table(150, 1000, 1), 45, 0));
          }
          ev.Output(WindowedLut(ev, x, 12, -60,
                                Table(150, (int64_t{1} << 44) - 1, 1), 45, 0));
          Wire exponent = x;
          exponent.frac = 5;
          ev.Output(Exp2(ev, exponent, {6, -12, 4, 12, 12}));
        },
        {Values(n, 20, 6)});
  }
}

TEST(SessionTest, Interpolation) {
  for (bool identity : {false, true}) {
    for (int64_t constant : {int64_t{0}, int64_t{96} << 10}) {
      if (identity && constant != 0) continue;
      for (int width : {23, 40}) {
        InterpolatedTable table;
        table.step_bits = 4;
        table.domain_bits = 10;
        table.low = -40;
        table.value = Table(90, 200, 2);
        table.slope = Table(90, 30, 3);
        table.value_shift = 3;
        table.out_frac = 14;
        table.identity_above = identity;
        table.constant_above = constant;
        Check(
            [=](Evaluator& ev) {
              const Wire x = ev.Input({1500}, 17, 8);
              const Wire y = ev.Input({1500}, 44, 8);
              ev.Output(Interpolated(ev, x, table, width));
              ev.Output(
                  InterpolatedTimes(ev, x, y, table, width == 23 ? 32 : 44));
            },
            {Values(1500, 17, 12), Values(1500, 44, 10)});
      }
    }
  }
}

TEST(SessionTest, SegmentsAndOneHot) {
  SegmentedTable table{24, {1, 64, 4096, 1 << 20}, {0, 4, 12}, {}, 0};
  for (size_t i = 0; i < 3; ++i) {
    const int64_t entries = ((table.boundaries[i + 1] - 1) >> table.shift[i]) -
                            (table.boundaries[i] >> table.shift[i]) + 2;
    table.table.push_back(Table(entries, 1 << 20, i));
  }
  std::mt19937_64 rng(9);
  const InputValue positive = {tacit::RandomValues(700, 1, (1 << 20) - 1, rng),
                               26};
  Check(
      [&](Evaluator& ev) {
        ev.Output(Segmented(ev, ev.Input({700}, 26, 0), table, 40));
        const Wire t = ev.Input({5}, 12, 0);
        ev.Output(OneHot(ev, t, 11, 1500, 13));
        const Wire k = ev.Input({37, 19}, 9, 0);
        ev.Output(Histogram(ev, k, 32, 6));
      },
      {positive,
       {tacit::RandomValues(5, 0, 1499, rng), 12},
       Values(37 * 19, 9, 6)});
}

TEST(SessionTest, Shuffles) {
  HostDevices devices({-1, 0, 1});
  TwoPartyOptions options;
  options.accelerator = devices.factory();
  const auto out = tacit::RunAndCheck(
      [](Evaluator& ev) {
        const Wire x = ev.Input({50, 2}, 30, 0);
        ev.Output(Shuffle(ev, ToShare(ev, x)));
      },
      {Values(100, 30, 20)}, options);
  ASSERT_EQ(out.size(), 1);
}

TEST(SessionTest, TooLittleMemoryIsAnErrorOfTheSession) {
  HostDevices devices({0}, /*capacity=*/size_t{1} << 16);
  TwoPartyOptions options;
  options.accelerator = devices.factory();
  const absl::Status status = tacit::StatusOfRun(
      [](Evaluator& ev) {
        const Wire x = ev.Input({20000}, 30, 0);
        ev.Output(ToShare(ev, x));
      },
      {Values(20000, 30, 20)}, options);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(status.message(), testing::HasSubstr("device memory"));
  EXPECT_EQ(devices.bytes_left(), 0);
}

TEST(SessionDeathTest, HostCodeCannotTouchDeviceMemory) {
  HostDevices devices({0});
  auto device = devices.factory()(0);
  ASSERT_OK(device);
  const Words words = (*device)->NewWords(4);
  EXPECT_FALSE(words.on_host());
  EXPECT_DEATH((void)*static_cast<volatile const uint64_t*>(words.data()), "");
}

}  // namespace
}  // namespace tacit::gpu
