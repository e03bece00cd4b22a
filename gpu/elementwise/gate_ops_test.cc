// The ops of gates, every thread of their launches on the host: parties' shares
// and the dealer's records equal those of common/gates, bit for bit.
#include <cmath>
#include <cstdint>
#include <vector>

#include "common/gates/compare.h"
#include "common/gates/extend.h"
#include "common/gates/select.h"
#include "common/gates/trunc_reduce.h"
#include "common/nn/rope.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/gate_testing.h"
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
