// The ops of gates, every thread of their launches on the host: parties' shares
// and the dealer's records equal those of common/gates, bit for bit.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "common/gates/add_squares.h"
#include "common/gates/compare.h"
#include "common/gates/extend.h"
#include "common/gates/mul_extend.h"
#include "common/gates/multiply.h"
#include "common/gates/select.h"
#include "common/gates/trunc_reduce.h"
#include "common/nn/rope.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/gate_testing.h"
#include "gpu/elementwise/row_sum-inl.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

TEST(GateOpsTest, Compare) {
  for (int m : {1, 2, 8, 10, 11, 33, 40}) {
    for (size_t n : kCounts) {
      GateRun run(
          [&](Evaluator& ev, Kept& kept) {
            const Wire x = Opened(ev, kept, "x", {n}, 40);
            kept.Keep("s", IsNegative(ev, x, m));
          },
          {SmallValues(n, 40, n)});
      DealOpened(run, "x", n, 40);
      std::vector<Field> schema;
      if (m > 1) schema.push_back(DpfField(m - 1, 1));
      schema.push_back(BitsField());
      const auto fields = run.Next(Schema(schema), n);
      const Vec& r = run.dealer().mask.at("x");
      if (m > 1) DealKeys(run, fields[0], {r.data()});
      Bits msb(n);
      RunHost(MsbBitOp{r.data(), m, msb.data()}, n);
      run.DealBit(fields.back(), msb);
      run.ExpectAllDealt();
      for (int b = 0; b < 2; ++b) {
        const Vec& hat = run.party(b).hat.at("x");
        Bits below, out(n);
        if (m > 1) below = EvalPath(run, fields[0], b, {hat.data()});
        const Bits dealt = run.TakeBit(fields.back(), b);
        RunHost(CompareOp{b, m, hat.data(), m > 1 ? below.data() : nullptr,
                          dealt.data(), out.data()},
                n);
        EXPECT_EQ(out, run.party(b).bits.at("s")) << m << " " << n;
      }
    }
  }
}

TEST(GateOpsTest, EqualityAndIntervals) {
  const std::vector<int64_t> boundaries = {-300, -5, 17, 512};
  const int m = 10;
  for (size_t n : kCounts) {
    GateRun run(
        [&](Evaluator& ev, Kept& kept) {
          const Wire x = Opened(ev, kept, "x", {n}, 20);
          kept.Keep("zero", IsZero(ev, x, m));
          kept.Keep("in", InIntervals(ev, x, m, boundaries));
        },
        {SmallValues(n, 20, n)});
    DealOpened(run, "x", n, 20);
    const auto equal = run.Next({DpfField(m, 1)}, n);
    const auto inside = run.Next({DpfField(m, 4)}, n);
    const Points r{run.dealer().mask.at("x").data()};
    DealKeys(run, equal[0], r);
    DealKeys(run, inside[0], r);
    run.ExpectAllDealt();
    for (int b = 0; b < 2; ++b) {
      const Vec& hat = run.party(b).hat.at("x");
      EXPECT_EQ(EvalPath(run, equal[0], b, {hat.data()}, PathOutput::kPoint),
                run.party(b).bits.at("zero"));
      Bits out(3 * n);
      for (size_t k = 0; k < 3; ++k) {
        const uint64_t low = static_cast<uint64_t>(boundaries[k]);
        const uint64_t high = static_cast<uint64_t>(boundaries[k + 1]);
        const Bits upper =
            EvalPath(run, inside[0], b, {hat.data(), 64, 0, low});
        const Bits lower =
            EvalPath(run, inside[0], b, {hat.data(), 64, 0, high});
        RunHost(IntervalOp{b, m, hat.data(), 64, 0, low, high, upper.data(),
                           lower.data(), 3, out.data() + k},
                n);
      }
      EXPECT_EQ(out, run.party(b).bits.at("in")) << n;
    }
  }
}

TEST(GateOpsTest, TruncReduceAndToShare) {
  const size_t n = 257;
  GateRun run(
      [&](Evaluator& ev, Kept& kept) {
        const Wire x = Opened(ev, kept, "x", {n}, 37);
        kept.Keep("share", ToShare(ev, x));
        kept.Keep("y", TruncReduceStochastic(ev, x, 12));
      },
      {SmallValues(n, 37, 1)});
  DealOpened(run, "x", n, 37);
  Vec out(n);
  RunHost(ShiftRightOp{run.dealer().mask.at("x").data(), 37, 12, out.data()},
          n);
  EXPECT_EQ(out, run.dealer().mask.at("y"));
  for (int b = 0; b < 2; ++b) {
    const Vec& hat = run.party(b).hat.at("x");
    RunHost(ShiftRightOp{hat.data(), 37, 12, out.data()}, n);
    EXPECT_EQ(out, run.party(b).hat.at("y"));
    const Vec& mask = run.party(b).mask.at("x");
    RunHost(ToShareOp{b, hat.data(), mask.data(), out.data()}, n);
    EXPECT_EQ(out, run.party(b).part.at("share"));
    // The opening's mask, as party and dealer expand it.
    EXPECT_EQ(run.OpeningMask(n, b, 0), mask);
  }
  EXPECT_EQ(run.OpeningMask(n, 2, 0), run.dealer().mask.at("x"));
}

TEST(GateOpsTest, Extend) {
  for (size_t n : kCounts) {
    for (const auto& [from, to] :
         {std::pair{2, 3}, {20, 45}, {37, 64}, {63, 64}}) {
      GateRun run(
          [&, from = from, to = to](Evaluator& ev, Kept& kept) {
            const Wire x = Opened(ev, kept, "x", {n}, from);
            kept.Keep("y", Extend(ev, x, to));
          },
          {SmallValues(n, from, n)});
      DealOpened(run, "x", n, from);
      const auto fields = run.Next({ShareField(to), ShareField(to - from)}, n);
      Vec reduced(n), msb(n), out(n);
      RunHost(DealExtendOp{run.dealer().mask.at("x").data(), from,
                           reduced.data(), msb.data()},
              n);
      run.Deal(fields[0], reduced);
      run.Deal(fields[1], msb);
      run.ExpectAllDealt();
      for (int b = 0; b < 2; ++b) {
        const Vec mask = run.Take(fields[0], b), top = run.Take(fields[1], b);
        RunHost(ExtendOp{b,
                         {run.party(b).hat.at("x").data(), from,
                          uint64_t{1} << (from - 2)},
                         mask.data(),
                         top.data(),
                         out.data()},
                n);
        EXPECT_EQ(out, run.party(b).part.at("y")) << from << " to " << to;
      }
    }
  }
}

// Blocks of a stream that n words and n bits take.
uint64_t WordBlocks(size_t n) { return (n + 1) / 2; }

TEST(GateOpsTest, SelectAndBitToShare) {
  for (size_t n : kCounts) {
    const size_t d = n == 2500 ? 5 : 1, rows = n / d;
    GateRun run(
        [&](Evaluator& ev, Kept& kept) {
          const Wire t = Opened(ev, kept, "t", {rows}, 16);
          const tacit::Shape shape =
              d == 1 ? tacit::Shape{rows} : tacit::Shape{rows, d};
          const Wire x = Opened(ev, kept, "x", shape, 30);
          const BitShare s = IsNegative(ev, t, 9);
          kept.Keep("s", s);
          kept.Keep("y", Select(ev, s, x, 30));
          kept.Keep("z", BitToShare(ev, s, 25));
        },
        {SmallValues(rows, 16, n), SmallValues(n, 30, n + 1)});
    DealOpened(run, "t", rows, 16);
    DealOpened(run, "x", n, 30);
    const auto compare = run.Next({DpfField(8, 1), BitsField()}, rows);
    const auto select = run.Next({ShareField(30), ShareField(30)}, n);
    const auto share = run.Next({ShareField(25)}, rows);
    // Openings before: t, x; then the bit of Select, and that of BitToShare.
    const uint64_t first = WordBlocks(rows) + WordBlocks(n);
    const uint64_t second = first + (rows + 127) / 128;
    const auto opened = [&](uint64_t position) {
      Bits hat = run.party(0).bits.at("s");
      RunHost(
          XorBitsOp{hat.data(), run.party(1).bits.at("s").data(), hat.data()},
          rows);
      const Bits mask = run.OpeningBitMask(rows, 2, position);
      RunHost(XorBitsOp{hat.data(), mask.data(), hat.data()}, rows);
      return hat;
    };

    const Vec& r = run.dealer().mask.at("t");
    DealKeys(run, compare[0], {r.data()});
    Bits msb(rows);
    RunHost(MsbBitOp{r.data(), 9, msb.data()}, rows);
    run.DealBit(compare[1], msb);
    Vec rho(n), product(n);
    const Bits mask1 = run.OpeningBitMask(rows, 2, first);
    RunHost(DealSelectOp{d, mask1.data(), run.dealer().mask.at("x").data(),
                         rho.data(), product.data()},
            n);
    run.Deal(select[0], rho);
    run.Deal(select[1], product);
    const Bits mask2 = run.OpeningBitMask(rows, 2, second);
    Vec bit(rows);
    RunHost(DealSelectOp{1, mask2.data(), nullptr, bit.data(), nullptr}, rows);
    run.Deal(share[0], bit);
    run.ExpectAllDealt();

    const Bits hat1 = opened(first), hat2 = opened(second);
    for (int b = 0; b < 2; ++b) {
      Vec out(n), small(rows);
      const Vec rho_b = run.Take(select[0], b),
                product_b = run.Take(select[1], b);
      RunHost(SelectOp{b, d, hat1.data(), run.party(b).hat.at("x").data(),
                       run.party(b).mask.at("x").data(), rho_b.data(),
                       product_b.data(), out.data()},
              n);
      EXPECT_EQ(out, run.party(b).part.at("y")) << n;
      const Vec bit_b = run.Take(share[0], b);
      RunHost(BitToShareOp{b, hat2.data(), bit_b.data(), small.data()}, rows);
      EXPECT_EQ(small, run.party(b).part.at("z")) << n;
    }
  }
}

TEST(GateOpsTest, MulSquareAndSumSquares) {
  for (size_t n : kCounts) {
    const size_t d = n == 2500 ? 100 : n, rows = n / d;
    const int width = 50;
    GateRun run(
        [&](Evaluator& ev, Kept& kept) {
          const Wire x = Opened(ev, kept, "x", {rows, d}, width);
          const Wire y = Opened(ev, kept, "y", {rows}, width);
          kept.Keep("mul", Mul(ev, x, y, 48));
          kept.Keep("square", Square(ev, x, 44));
          kept.Keep("sum", SumSquares(ev, x, width));
        },
        {SmallValues(n, width, 1), SmallValues(rows, width, 2)});
    DealOpened(run, "x", n, width);
    DealOpened(run, "y", rows, width);
    const auto mul = run.Next({ShareField(48)}, n);
    const auto square = run.Next({ShareField(44)}, n);
    const auto sum = run.Next({ShareField(width)}, rows);
    const uint64_t* rx = run.dealer().mask.at("x").data();
    Vec value(n), row(rows);
    RunHost(DealMulOp{d, rx, run.dealer().mask.at("y").data(), value.data()},
            n);
    run.Deal(mul[0], value);
    RunHost(DealMulOp{1, rx, rx, value.data()}, n);
    run.Deal(square[0], value);
    ASSERT_TRUE(DispatchRowSum(SelfSquareTerm{rx}, rows, d, nullptr, row.data(),
                               HostLauncher())
                    .ok());
    run.Deal(sum[0], row);
    run.ExpectAllDealt();
    for (int b = 0; b < 2; ++b) {
      const Kept& kept = run.party(b);
      const SquareTerm term{b, kept.hat.at("x").data(),
                            kept.mask.at("x").data()};
      Vec out(n), sums(rows);
      const Vec dealt_mul = run.Take(mul[0], b);
      RunHost(MulGateOp{b, d, term.hat, term.mask, kept.hat.at("y").data(),
                        kept.mask.at("y").data(), dealt_mul.data(), out.data()},
              n);
      EXPECT_EQ(out, kept.part.at("mul")) << n;
      const Vec dealt_square = run.Take(square[0], b);
      RunHost(SquareOp{term, dealt_square.data(), out.data()}, n);
      EXPECT_EQ(out, kept.part.at("square")) << n;
      const Vec dealt_sum = run.Take(sum[0], b);
      ASSERT_TRUE(DispatchRowSum(term, rows, d, dealt_sum.data(), sums.data(),
                                 HostLauncher())
                      .ok());
      EXPECT_EQ(sums, kept.part.at("sum")) << n;
    }
  }
}

uint64_t OffsetOf(Range range, int n) {
  return range == Range::kSigned ? uint64_t{1} << (n - 2) : 0;
}

// A product wider than x's ring, and one that is not; rows in any order.
TEST(GateOpsTest, MulExtend) {
  for (Range range : {Range::kSigned, Range::kNonNegative}) {
    for (int width : {20, 60}) {
      const size_t n = 2500, d = 25, rows = n / d;
      const int bits = 23, y_bits = 62;
      std::vector<uint32_t> order(n);
      for (size_t i = 0; i < n; ++i) order[i] = (i * 7) % rows;
      GateRun run(
          [&](Evaluator& ev, Kept& kept) {
            const Wire x = Opened(ev, kept, "x", {rows, d}, bits);
            const Wire y = Opened(ev, kept, "y", {rows}, y_bits);
            kept.Keep("dense", MulExtend(ev, x, y, range, width));
            kept.Keep("rows", MulExtend(ev, x, y, range, width, order));
          },
          {SmallValues(n, bits, 1, range == Range::kNonNegative),
           SmallValues(rows, y_bits, 2)});
      DealOpened(run, "x", n, bits);
      DealOpened(run, "y", rows, y_bits);
      const bool extends = width > bits;
      std::vector<Field> schema(2, ShareField(width));
      if (extends) schema.insert(schema.end(), 2, ShareField(width - bits));
      const Vec none;
      for (const char* name : {"dense", "rows"}) {
        const uint32_t* rows_of =
            name == std::string("rows") ? order.data() : nullptr;
        const auto fields = run.Next(Schema(schema), n);
        Vec mask(n), product(n), msb(n), msb_product(n);
        RunHost(
            DealMulExtendOp{bits, d, rows_of, run.dealer().mask.at("x").data(),
                            run.dealer().mask.at("y").data(), mask.data(),
                            product.data(), extends ? msb.data() : nullptr,
                            msb_product.data()},
            n);
        run.Deal(fields[0], mask);
        run.Deal(fields[1], product);
        if (extends) run.Deal(fields[2], msb);
        if (extends) run.Deal(fields[3], msb_product);
        for (int b = 0; b < 2; ++b) {
          const Vec rx = run.Take(fields[0], b), rxy = run.Take(fields[1], b);
          const Vec mu = extends ? run.Take(fields[2], b) : none;
          const Vec muy = extends ? run.Take(fields[3], b) : none;
          Vec out(n);
          RunHost(MulExtendOp{b,
                              {run.party(b).hat.at("x").data(), bits,
                               OffsetOf(range, bits)},
                              d,
                              rows_of,
                              run.party(b).hat.at("y").data(),
                              run.party(b).mask.at("y").data(),
                              rx.data(),
                              rxy.data(),
                              extends ? mu.data() : nullptr,
                              muy.data(),
                              out.data()},
                  n);
          EXPECT_EQ(out, run.party(b).part.at(name)) << width;
        }
      }
      run.ExpectAllDealt();
    }
  }
}

TEST(GateOpsTest, MulExtendBoth) {
  // Results within both rings, beyond one, beyond both, beyond their sum.
  for (int width : {14, 18, 28, 60}) {
    const size_t n = 1500;
    const int nx = 15, ny = 21;
    GateRun run(
        [&](Evaluator& ev, Kept& kept) {
          const Wire x = Opened(ev, kept, "x", {n}, nx);
          const Wire y = Opened(ev, kept, "y", {n}, ny);
          kept.Keep("z", MulExtendBoth(ev, x, Range::kSigned, y,
                                       Range::kNonNegative, width));
        },
        {SmallValues(n, nx, 1), SmallValues(n, ny, 2, true)});
    DealOpened(run, "x", n, nx);
    DealOpened(run, "y", n, ny);
    std::vector<Field> schema(3, ShareField(width));
    const int x_more = width - nx, y_more = width - ny, both = x_more - ny;
    if (x_more > 0) schema.insert(schema.end(), 2, ShareField(x_more));
    if (y_more > 0) schema.insert(schema.end(), 2, ShareField(y_more));
    if (both > 0) schema.push_back(ShareField(both));
    const auto fields = run.Next(Schema(schema), n);
    // Where each of the eight values is among the fields; -1: not dealt.
    int at[8] = {0, 1, 2, -1, -1, -1, -1, -1};
    int next = 3;
    if (x_more > 0) at[3] = next++, at[4] = next++;
    if (y_more > 0) at[5] = next++, at[6] = next++;
    if (both > 0) at[7] = next++;
    std::vector<Vec> values(8, Vec(n));
    const auto to = [&](int k) {
      return at[k] < 0 ? nullptr : values[k].data();
    };
    RunHost(DealMulExtendBothOp{nx, ny, run.dealer().mask.at("x").data(),
                                run.dealer().mask.at("y").data(), to(0), to(1),
                                to(2), to(3), to(4), to(5), to(6), to(7)},
            n);
    for (int k = 0; k < 8; ++k) {
      if (at[k] >= 0) run.Deal(fields[at[k]], values[k]);
    }
    run.ExpectAllDealt();
    for (int b = 0; b < 2; ++b) {
      for (int k = 0; k < 8; ++k) {
        if (at[k] >= 0) values[k] = run.Take(fields[at[k]], b);
      }
      Vec out(n);
      RunHost(MulExtendBothOp{b,
                              {run.party(b).hat.at("x").data(), nx,
                               OffsetOf(Range::kSigned, nx)},
                              {run.party(b).hat.at("y").data(), ny,
                               OffsetOf(Range::kNonNegative, ny)},
                              to(0),
                              to(1),
                              to(2),
                              to(3),
                              to(4),
                              to(5),
                              to(6),
                              to(7),
                              out.data()},
              n);
      EXPECT_EQ(out, run.party(b).part.at("z")) << width;
    }
  }
}

TEST(GateOpsTest, AddSquares) {
  for (int square_bits : {20, 58}) {
    const size_t rows = 20, d = 96, n = rows * d;
    const int x_bits = 60, u_bits = 31;
    GateRun run(
        [&](Evaluator& ev, Kept& kept) {
          const Wire x = Opened(ev, kept, "x", {rows, d}, x_bits);
          const Wire u = Opened(ev, kept, "u", {rows, d}, u_bits);
          const SumAndSquares s =
              AddSquares(ev, x, u, Range::kSigned, square_bits);
          kept.Keep("sum", s.sum);
          kept.Keep("squares", s.squares);
        },
        {SmallValues(n, 30, 1), SmallValues(n, u_bits, 2)});
    DealOpened(run, "x", n, x_bits);
    DealOpened(run, "u", n, u_bits);
    const int cross = square_bits - u_bits - 1;
    std::vector<Field> schema = {ShareField(x_bits),
                                 ShareField(x_bits - u_bits)};
    if (cross > 0) schema.push_back(ShareField(cross));
    const auto fields = run.Next(Schema(schema), n);
    const auto row_field = run.Next({ShareField(square_bits)}, rows);
    Vec mask(n), msb(n), product(n), sum_mask(n), row(rows);
    RunHost(DealAddSquaresOp{u_bits, run.dealer().mask.at("x").data(),
                             run.dealer().mask.at("u").data(), mask.data(),
                             msb.data(), product.data(), sum_mask.data()},
            n);
    run.Deal(fields[0], mask);
    run.Deal(fields[1], msb);
    if (cross > 0) run.Deal(fields[2], product);
    ASSERT_TRUE(DispatchRowSum(SelfSquareTerm{sum_mask.data()}, rows, d,
                               nullptr, row.data(), HostLauncher())
                    .ok());
    run.Deal(row_field[0], row);
    run.ExpectAllDealt();
    for (int b = 0; b < 2; ++b) {
      const Kept& kept = run.party(b);
      mask = run.Take(fields[0], b);
      msb = run.Take(fields[1], b);
      if (cross > 0) product = run.Take(fields[2], b);
      const Vec dealt = run.Take(row_field[0], b);
      Vec sum(n), square(n), squares(rows);
      RunHost(AddSquaresOp{b,
                           {kept.hat.at("u").data(), u_bits,
                            OffsetOf(Range::kSigned, u_bits)},
                           kept.hat.at("x").data(),
                           kept.mask.at("x").data(),
                           mask.data(),
                           msb.data(),
                           cross > 0 ? product.data() : nullptr,
                           sum.data(),
                           square.data()},
              n);
      EXPECT_EQ(sum, kept.part.at("sum"));
      ASSERT_TRUE(DispatchRowSum(WordTerm{square.data()}, rows, d, dealt.data(),
                                 squares.data(), HostLauncher())
                      .ok());
      EXPECT_EQ(squares, kept.part.at("squares")) << square_bits;
    }
  }
}

// Both orders of pairs, rows that repeat positions, dimensions not rotated.
TEST(GateOpsTest, Rope) {
  const size_t batch = 2, length = 3, heads = 4, d = 10, pairs = 4;
  const size_t n = batch * length * heads * d;
  for (bool interleaved : {false, true}) {
    RopeParams params;
    params.inverse_frequency = {1.0, 0.3, 0.1, 0.01};
    params.interleaved = interleaved;
    const std::vector<int64_t> positions = {5, 0, 77};
    GateRun run(
        [&](Evaluator& ev, Kept& kept) {
          const Wire x = Opened(ev, kept, "x", {batch, length, heads, d}, 50);
          kept.Keep("y", Rope(ev, ToShare(ev, x), params, positions));
          kept.Keep("share", ToShare(ev, x));
        },
        {SmallValues(n, 30, 1)});
    std::vector<int64_t> rotations;
    for (int64_t position : positions) {
      for (double frequency : params.inverse_frequency) {
        // As Rotations in common/nn/rope.cc, with scale 1.
        const auto step = static_cast<uint64_t>(
            std::ldexp(frequency * 0.15915494309189535, 64));
        const Rotation r = RotationOf(step * static_cast<uint64_t>(position),
                                      params.frac + 16);
        for (int64_t v : {r.cos, r.sin}) {
          rotations.push_back(
              std::llround(std::ldexp(static_cast<double>(v), -16)));
        }
      }
    }
    for (int b = 0; b < 2; ++b) {
      const Vec& in = run.party(b).part.at("share");
      Vec out(n, 42);
      const RotateOp op{in.data(), rotations.data(), d,           pairs,
                        heads,     positions.size(), interleaved, params.frac,
                        out.data()};
      RunHost(op, n / d * op.items());
      EXPECT_EQ(out, run.party(b).part.at("y")) << interleaved;
    }
  }
}

}  // namespace
}  // namespace tacit::gpu
