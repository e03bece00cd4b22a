// The ops of products, every thread of their launches on the host: parties'
// shares and the dealer's records equal those of common/gates, bit for bit.
#include <cstdint>
#include <string>
#include <vector>

#include "common/gates/add_squares.h"
#include "common/gates/mul_extend.h"
#include "common/gates/multiply.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_testing.h"
#include "gpu/elementwise/product_ops-inl.h"
#include "gpu/elementwise/row_sum-inl.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

TEST(ProductOpsTest, MulSquareAndSumSquares) {
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
TEST(ProductOpsTest, MulExtend) {
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

TEST(ProductOpsTest, MulExtendBoth) {
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

TEST(ProductOpsTest, AddSquares) {
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

}  // namespace
}  // namespace tacit::gpu
