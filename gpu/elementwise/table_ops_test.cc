// Gates of window tables, composed of gpu/fss and ops, every thread of their
// launches on the host: parties' shares and the dealer's records equal those of
// common/gates, bit for bit.
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "common/gates/exp2.h"
#include "common/gates/gate_util.h"
#include "common/gates/interpolated.h"
#include "common/gates/one_hot.h"
#include "common/gates/segmented.h"
#include "common/gates/windowed_lut.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_testing.h"
#include "gpu/elementwise/interpolated_ops-inl.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

uint64_t WordBlocks(size_t n) { return (n + 1) / 2; }

std::vector<int64_t> RandomTable(size_t length, int64_t bound, uint64_t seed) {
  std::mt19937_64 rng(seed);
  return tacit::RandomValues(length, -bound, bound, rng);
}
Vec Reversed(const std::vector<int64_t>& table) {
  return Vec(table.rbegin(), table.rend());
}
RingOfSums RingOf(const SumRing& ring) {
  return {ring.width(), ring.extends()};
}

struct WindowOut {
  Vec sums[2];  // of each party
};

// One table's window sums at both parties.
WindowOut EvalWindow(const GateRun& run, const FieldPlace& field,
                     const Points& start, const Vec& reversed, size_t stride,
                     size_t offset, WindowOut out) {
  for (int b = 0; b < 2; ++b) {
    out.sums[b].resize(field.layout[b].n * stride);
    DpfWindowArgs args;
    args.keys = BatchOf(run, field, b);
    args.start = start;
    args.length = reversed.size();
    args.tables[0] = reversed.data();
    args.out[0] = out.sums[b].data() + offset;
    args.out_stride = stride;
    EXPECT_TRUE(DispatchWindow(AesVariant::kTable1, args, HostLauncher()).ok());
  }
  return out;
}

// What both parties see once they have opened their sums.
Vec OpenWords(const GateRun& run, const WindowOut& sums, int width,
              uint64_t position) {
  const size_t n = sums.sums[0].size();
  Vec sent[2];
  for (int b = 0; b < 2; ++b) {
    sent[b] = run.OpeningMask(n, b, position);
    RunHost(AddOp{sent[b].data(), sums.sums[b].data(), sent[b].data()}, n);
  }
  Vec hat(n);
  RunHost(OpenedOp{sent[0].data(), sent[1].data(), width, hat.data()}, n);
  return hat;
}
Bits OpenBits(const GateRun& run, const Bits (&parts)[2], uint64_t position) {
  const size_t n = parts[0].size();
  Bits hat = run.OpeningBitMask(n, 2, position);
  for (const Bits& part : parts) {
    RunHost(XorBitsOp{hat.data(), part.data(), hat.data()}, n);
  }
  return hat;
}

Schema SchemaOfSum(const SumRing& ring, int width) {
  std::vector<Field> fields(2, ShareField(width));
  if (ring.extends()) fields.push_back(ShareField(ring.missing()));
  return Schema(std::move(fields));
}
void DealSumOf(GateRun& run, const std::vector<FieldPlace>& fields,
               const SumRing& ring, const Vec& factor, const Vec& rho) {
  Vec product(factor.size()), msb(factor.size());
  RunHost(
      DealWindowSumOp{RingOf(ring), factor.data(), rho.data(), product.data(),
                      ring.extends() ? msb.data() : nullptr},
      factor.size());
  run.Deal(fields[0], factor);
  run.Deal(fields[1], product);
  if (ring.extends()) run.Deal(fields[2], msb);
}
Vec EvalSumOf(const GateRun& run, const std::vector<FieldPlace>& fields,
              const SumRing& ring, const Vec& hat, int b) {
  const Vec factor = run.Take(fields[0], b), product = run.Take(fields[1], b);
  const Vec msb = ring.extends() ? run.Take(fields[2], b) : Vec();
  Vec out(hat.size());
  RunHost(WindowSumOp{RingOf(ring), hat.data(), factor.data(), product.data(),
                      msb.data(), out.data()},
          hat.size());
  return out;
}

// A direct key, a tree; sums in a narrow ring and in the result's own.
TEST(TableOpsTest, WindowedLut) {
  for (int m : {8, 12}) {
    for (int64_t bound : {int64_t{1000}, int64_t{1} << 44}) {
      for (size_t n : kCounts) {
        const std::vector<int64_t> table = RandomTable(150, bound, n);
        const int width = 45;
        GateRun run(
            [&](Evaluator& ev, Kept& kept) {
              const Wire x = Opened(ev, kept, "x", {n}, 20);
              kept.Keep("y", WindowedLut(ev, x, m, -60, table, width, 0));
            },
            {SmallValues(n, 20, n)});
        DealOpened(run, "x", n, 20);
        const auto keys = run.Next({DpfField(m, 0, {table.size()})}, n);
        const SumRing ring(table, width);
        const auto fields = run.Next(SchemaOfSum(ring, width), n);
        const uint64_t opening = WordBlocks(n);
        const Bits positive =
            DealKeys(run, keys[0], {run.dealer().mask.at("x").data()});
        Vec sigma(n);
        RunHost(SignOp{positive.data(), sigma.data()}, n);
        DealSumOf(run, fields, ring, sigma, run.OpeningMask(n, 2, opening));
        run.ExpectAllDealt();

        const Vec& x_hat = run.party(0).hat.at("x");
        const uint64_t high = static_cast<uint64_t>(-60 + 150 - 1);
        const WindowOut sums =
            EvalWindow(run, keys[0], {x_hat.data(), 64, 0, high},
                       Reversed(table), 1, 0, {});
        const Vec hat = OpenWords(run, sums, ring.width(), opening);
        for (int b = 0; b < 2; ++b) {
          EXPECT_EQ(EvalSumOf(run, fields, ring, hat, b),
                    run.party(b).part.at("y"))
              << m << " " << n;
        }
      }
    }
  }
}

TEST(TableOpsTest, Exp2) {
  const size_t n = 1500;
  const Exp2Params params{6, -12, 4, 12, 12};
  const int width = params.width(), f = 10, in_width = 22;
  GateRun run(
      [&](Evaluator& ev, Kept& kept) {
        Wire x = Opened(ev, kept, "x", {n}, in_width);
        x.frac = f;
        kept.Keep("y", Exp2(ev, x, params));
      },
      {SmallValues(n, 12, 3)});
  DealOpened(run, "x", n, in_width);
  const size_t length = params.max_exponent - params.min_exponent + 2;
  std::vector<int64_t> table(length);
  for (size_t i = 0; i < length; ++i) table[i] = int64_t{1} << i;
  const auto keys = run.Next({DpfField(params.domain_bits, 0, {length})}, n);
  const SumRing ring(table, width);
  const auto fields = run.Next(SchemaOfSum(ring, width), n);
  const uint64_t opening = WordBlocks(n);
  const uint64_t* mask = run.dealer().mask.at("x").data();
  const Bits positive = DealKeys(run, keys[0], {mask, 64, f, 0});
  const std::span<const uint64_t> roots = PowerOfTwoRoots();
  Vec factor(n);
  RunHost(DealExp2Op{f, params.mask_bits, roots.data(), mask, positive.data(),
                     factor.data()},
          n);
  DealSumOf(run, fields, ring, factor, run.OpeningMask(n, 2, opening));
  run.ExpectAllDealt();

  const Vec& x_hat = run.party(0).hat.at("x");
  const uint64_t high = static_cast<uint64_t>(params.max_exponent + 1);
  const WindowOut sums = EvalWindow(run, keys[0], {x_hat.data(), 64, f, high},
                                    Reversed(table), 1, 0, {});
  const Vec hat = OpenWords(run, sums, ring.width(), opening);
  Vec powers(size_t{1} << f);
  for (size_t i = 0; i < powers.size(); ++i) {
    powers[i] = PowerOfTwoFraction(i, f, +1, params.public_bits);
  }
  for (int b = 0; b < 2; ++b) {
    Vec out = EvalSumOf(run, fields, ring, hat, b);
    RunHost(MulPowerOp{out.data(), x_hat.data(), powers.data(), f, out.data()},
            n);
    EXPECT_EQ(out, run.party(b).part.at("y"));
  }
}

// As LargestSum in common/gates/interpolated.cc.
int64_t LargestSum(const InterpolatedTable& table) {
  __int128 largest = 0;
  const __int128 end = (__int128{1} << table.step_bits) - 1;
  for (size_t i = 0; i < table.value.size(); ++i) {
    const __int128 first = static_cast<__int128>(table.value[i])
                           << table.value_shift;
    const __int128 last = first + end * table.slope[i];
    largest = std::max({largest, first, -first, last, -last});
  }
  return static_cast<int64_t>(std::min(largest, __int128{INT64_MAX}));
}

InterpolatedForm FormOf(const InterpolatedTable& table, int x_width, int x_frac,
                        int width) {
  InterpolatedForm form;
  form.sum = RingOf(SumRing(std::array{LargestSum(table)}, width));
  form.slope = RingOf(SumRing(table.slope, width));
  form.x_width = x_width;
  form.step_bits = table.step_bits;
  if (table.identity_above) {
    form.tail = Tail::kIdentity;
    form.tail_shift = table.out_frac - x_frac;
    form.extends = width - form.tail_shift > x_width;
  } else if (table.constant_above != 0) {
    form.tail = Tail::kConstant;
    form.constant_above = static_cast<uint64_t>(table.constant_above);
    form.tail_shift =
        std::min(std::countr_zero(form.constant_above), width - 1);
  }
  return form;
}

struct InterpolatedCase {
  const char* name;
  bool identity;
  int64_t constant;
  int width;
  bool times;
};

class InterpolatedOpsTest : public testing::TestWithParam<InterpolatedCase> {};
INSTANTIATE_TEST_SUITE_P(
    Forms, InterpolatedOpsTest,
    testing::Values(InterpolatedCase{"Window", false, 0, 40, false},
                    InterpolatedCase{"Narrow", false, 0, 24, false},
                    InterpolatedCase{"Constant", false, 5 << 6, 40, false},
                    InterpolatedCase{"Identity", true, 0, 26, false},
                    InterpolatedCase{"IdentityExtends", true, 0, 44, false},
                    InterpolatedCase{"Times", true, 0, 44, true},
                    InterpolatedCase{"ConstantTimes", false, 3 << 4, 40, true}),
    [](const auto& info) { return info.param.name; });

TEST_P(InterpolatedOpsTest, EqualsTheGate) {
  const InterpolatedCase& c = GetParam();
  const size_t n = 1300;
  const int x_width = 24, x_frac = 12;
  InterpolatedTable table{
      8, 14,        -100, RandomTable(220, 4000, 1), RandomTable(220, 300, 2),
      3, x_frac + 2};
  table.identity_above = c.identity;
  table.constant_above = c.constant;
  const bool has_tail = c.identity || c.constant != 0;
  GateRun run(
      [&](Evaluator& ev, Kept& kept) {
        Wire x = Opened(ev, kept, "x", {n}, x_width);
        x.frac = x_frac;
        const Wire y = Opened(ev, kept, "y", {n}, 50);
        kept.Keep("z", c.times ? InterpolatedTimes(ev, x, y, table, c.width)
                               : Interpolated(ev, x, table, c.width));
      },
      {SmallValues(n, 20, 4), SmallValues(n, 50, 5)});
  DealOpened(run, "x", n, x_width);
  DealOpened(run, "y", n, 50);
  const InterpolatedForm form = FormOf(table, x_width, x_frac, c.width);
  const auto keys = run.Next(
      {DpfField(table.domain_bits, has_tail ? 2 : 0, {table.value.size()})}, n);
  std::vector<Field> schema;
  std::vector<int> terms;
  for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
    if (!form.Has(term)) continue;
    terms.push_back(term);
    schema.insert(schema.end(), c.times ? 2 : 1,
                  ShareField(c.width - form.Shift(term)));
  }
  const auto fields = run.Next(Schema(schema), n);
  // Openings: x, y, then the sum, the slope, the bit above.
  const uint64_t sum_at = 2 * WordBlocks(n), slope_at = 3 * WordBlocks(n);
  const uint64_t above_at = 4 * WordBlocks(n);

  // The dealer.
  const uint64_t* r = run.dealer().mask.at("x").data();
  const Bits positive =
      DealKeys(run, keys[0], {r, x_width, table.step_bits, 0});
  const Vec sum_mask = run.OpeningMask(n, 2, sum_at);
  const Vec slope_mask = run.OpeningMask(n, 2, slope_at);
  const Bits above_mask = run.OpeningBitMask(n, 2, above_at);
  std::vector<Vec> value(InterpolatedForm::kTerms, Vec(n)), times = value;
  DealInterpolatedOp deal{form,
                          positive.data(),
                          above_mask.data(),
                          sum_mask.data(),
                          slope_mask.data(),
                          r,
                          c.times ? run.dealer().mask.at("y").data() : nullptr,
                          {},
                          {}};
  for (int term : terms) {
    deal.value[term] = value[term].data();
    deal.times[term] = times[term].data();
  }
  RunHost(deal, n);
  size_t next = 0;
  for (int term : terms) {
    run.Deal(fields[next++], value[term]);
    if (c.times) run.Deal(fields[next++], times[term]);
  }
  run.ExpectAllDealt();

  // The parties: keys, openings, form.
  const Vec& x_hat = run.party(0).hat.at("x");
  const uint64_t high = static_cast<uint64_t>(table.low) + table.value.size();
  const Vec values = Reversed(table.value), slopes = Reversed(table.slope);
  WindowOut sums, slope_sums;
  Bits above[2];
  for (int b = 0; b < 2; ++b) {
    sums.sums[b].resize(n);
    slope_sums.sums[b].resize(n);
    const DpfWindowArgs args{BatchOf(run, keys[0], b),
                             {x_hat.data(), x_width, table.step_bits, high - 1},
                             values.size(),
                             2,
                             {values.data(), slopes.data()},
                             true,
                             table.step_bits,
                             table.value_shift,
                             {sums.sums[b].data(), slope_sums.sums[b].data()},
                             1};
    ASSERT_TRUE(DispatchWindow(AesVariant::kTable1, args, HostLauncher()).ok());
    above[b].resize(n);
    if (!has_tail) continue;
    const uint64_t end = uint64_t{1} << (table.domain_bits - 1);
    const Bits upper = EvalPath(run, keys[0], b,
                                {x_hat.data(), x_width, table.step_bits, high});
    const Bits lower = EvalPath(run, keys[0], b,
                                {x_hat.data(), x_width, table.step_bits, end});
    RunHost(
        IntervalOp{b, table.domain_bits, x_hat.data(), x_width, table.step_bits,
                   high, end, upper.data(), lower.data(), 1, above[b].data()},
        n);
  }
  const Vec sum_hat = OpenWords(run, sums, form.sum.width, sum_at);
  const Vec slope_hat = OpenWords(run, slope_sums, form.slope.width, slope_at);
  const Bits above_hat = OpenBits(run, above, above_at);
  for (int b = 0; b < 2; ++b) {
    Vec out(n);
    InterpolatedOp op{b,
                      form,
                      sum_hat.data(),
                      slope_hat.data(),
                      x_hat.data(),
                      above_hat.data(),
                      {},
                      {},
                      c.times ? run.party(b).hat.at("y").data() : nullptr,
                      run.party(b).mask.at("y").data(),
                      out.data()};
    next = 0;
    for (int term : terms) {
      value[term] = run.Take(fields[next++], b);
      if (c.times) times[term] = run.Take(fields[next++], b);
      op.value[term] = value[term].data();
      op.times[term] = times[term].data();
    }
    RunHost(op, n);
    EXPECT_EQ(out, run.party(b).part.at("z"));
  }
}

TEST(TableOpsTest, Segmented) {
  const size_t n = 700, segments = 3;
  const int x_width = 26, m = 24, width = 40;
  SegmentedTable table{m, {1, 64, 4096, 1 << 20}, {0, 4, 12}, {}, 0};
  for (size_t i = 0; i < segments; ++i) {
    const int64_t entries = ((table.boundaries[i + 1] - 1) >> table.shift[i]) -
                            (table.boundaries[i] >> table.shift[i]) + 2;
    table.table.push_back(RandomTable(entries, 1 << 20, i));
  }
  GateRun run(
      [&](Evaluator& ev, Kept& kept) {
        const Wire x = Opened(ev, kept, "x", {n}, x_width);
        kept.Keep("y", Segmented(ev, x, table, width));
      },
      {SmallValues(n, 21, 6, true)});
  DealOpened(run, "x", n, x_width);
  std::vector<Field> schema = {DpfField(m, segments + 1)};
  for (const auto& entries : table.table) {
    schema.push_back(
        DpfField(std::bit_width(entries.size() - 1), 0, {entries.size()}));
  }
  const auto keys = run.Next(Schema(schema), n);
  const Field field = ShareField(width, segments);
  const auto fields = run.Next({field, field, field, field}, n);
  const size_t all = n * segments;
  const uint64_t sum_at = WordBlocks(n), bit_at = sum_at + WordBlocks(all);

  const uint64_t* r = run.dealer().mask.at("x").data();
  DealKeys(run, keys[0], {r});
  Bits positive(all);
  for (size_t i = 0; i < segments; ++i) {
    const Bits sign =
        DealKeys(run, keys[i + 1], {r, x_width, table.shift[i], 0});
    for (size_t e = 0; e < n; ++e) positive[e * segments + i] = sign[e];
  }
  const Vec rho = run.OpeningMask(all, 2, sum_at);
  const Bits tau = run.OpeningBitMask(all, 2, bit_at);
  std::vector<Vec> dealt(4, Vec(all));
  RunHost(
      DealSegmentedOp{positive.data(), tau.data(), rho.data(), dealt[0].data(),
                      dealt[1].data(), dealt[2].data(), dealt[3].data()},
      all);
  for (int k = 0; k < 4; ++k) run.Deal(fields[k], dealt[k]);
  run.ExpectAllDealt();

  const Vec& x_hat = run.party(0).hat.at("x");
  WindowOut sums;
  Bits bits[2] = {Bits(all), Bits(all)};
  for (size_t i = 0; i < segments; ++i) {
    const uint64_t high =
        (table.boundaries[i] >> table.shift[i]) + table.table[i].size() - 1;
    sums = EvalWindow(run, keys[i + 1],
                      {x_hat.data(), x_width, table.shift[i], high},
                      Reversed(table.table[i]), segments, i, sums);
    const uint64_t low = table.boundaries[i], end = table.boundaries[i + 1];
    for (int b = 0; b < 2; ++b) {
      const Bits upper = EvalPath(run, keys[0], b, {x_hat.data(), 64, 0, low});
      const Bits lower = EvalPath(run, keys[0], b, {x_hat.data(), 64, 0, end});
      RunHost(IntervalOp{b, m, x_hat.data(), 64, 0, low, end, upper.data(),
                         lower.data(), segments, bits[b].data() + i},
              n);
    }
  }
  const Vec hat = OpenWords(run, sums, width, sum_at);
  const Bits bit_hat = OpenBits(run, bits, bit_at);
  for (int b = 0; b < 2; ++b) {
    for (int k = 0; k < 4; ++k) dealt[k] = run.Take(fields[k], b);
    Vec out(n);
    RunHost(SegmentedOp{segments, hat.data(), bit_hat.data(), dealt[0].data(),
                        dealt[1].data(), dealt[2].data(), dealt[3].data(),
                        out.data()},
            n);
    EXPECT_EQ(out, run.party(b).part.at("y"));
  }
}

TEST(TableOpsTest, Histogram) {
  const size_t rows = 37, length = 19, buckets = 32, n = rows * length;
  const int width = 6;
  GateRun run(
      [&](Evaluator& ev, Kept& kept) {
        const Wire k = Opened(ev, kept, "k", {rows, length}, 9);
        kept.Keep("counts", Histogram(ev, k, buckets, width));
      },
      {SmallValues(n, 9, 7)});
  DealOpened(run, "k", n, 9);
  const auto fields = run.Next({ShareField(width, buckets * length)}, rows);
  Vec one_hot(n * buckets);
  RunHost(DealHistogramOp{buckets, run.dealer().mask.at("k").data(),
                          one_hot.data()},
          one_hot.size());
  run.Deal(fields[0], one_hot);
  run.ExpectAllDealt();
  for (int b = 0; b < 2; ++b) {
    const Vec dealt = run.Take(fields[0], b);
    Vec out(rows * buckets);
    RunHost(HistogramOp{length, buckets, run.party(b).hat.at("k").data(),
                        dealt.data(), out.data()},
            out.size());
    EXPECT_EQ(out, run.party(b).part.at("counts"));
  }
}

}  // namespace
}  // namespace tacit::gpu
