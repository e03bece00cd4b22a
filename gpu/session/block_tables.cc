// Comparisons, tables and one-hot vectors. Formulas stand with the gates
// (common/gates) and the ops (gpu/elementwise).
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/gates/gate_util.h"
#include "common/gates/interpolated.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/interpolated_ops-inl.h"
#include "gpu/session/block.h"

namespace tacit::gpu {
namespace {

RingOfSums RingOf(const SumRing& ring) {
  return {ring.width(), ring.extends()};
}

// Straight to where a gate's bits go.
void EvalPathTo(Session& session, const DpfPathArgs& args) {
  if (session.ok()) session.Ok(session.kernels().DpfEvalPath(args));
}

// What SumSchema's fields are dealt from, in their order. `rho`: the mask of
// the opened sum.
std::vector<Words> SumValues(Session& session, const SumRing& ring,
                             Words factor, const uint64_t* rho) {
  const size_t n = factor.size();
  Words product = session.NewWords(n), msb;
  if (ring.extends()) msb = session.NewWords(n);
  session.Run(DealWindowSumOp{RingOf(ring), factor.data(), rho, product.data(),
                              msb.data()},
              n);
  std::vector<Words> values;
  values.push_back(std::move(factor));
  values.push_back(std::move(product));
  if (ring.extends()) values.push_back(std::move(msb));
  return values;
}

InterpolatedForm FormOf(const InterpolatedTable& table,
                        const AcceleratorBlock::InterpolatedSums& sums,
                        int x_width) {
  InterpolatedForm form;
  form.sum = RingOf(sums.sum_ring);
  form.slope = RingOf(sums.slope_ring);
  form.tail_shift = sums.tail_shift;
  form.extends = sums.extends;
  form.x_width = x_width;
  form.step_bits = table.step_bits;
  if (table.identity_above) {
    form.tail = Tail::kIdentity;
  } else if (table.constant_above != 0) {
    form.tail = Tail::kConstant;
    form.constant_above = static_cast<uint64_t>(table.constant_above);
  }
  return form;
}

}  // namespace

void GateBlock::IsNegative(const Wire& x, int m, Bytes& out) {
  if (is_dealer()) {
    const uint64_t* mask = At(x.mask, begin());
    if (m > 1) DealKeys({mask}, nullptr);
    Bytes msb = NewBits(count());
    Run(MsbBitOp{mask, m, msb.data()});
    DealBits(std::move(msb));
    return;
  }
  const uint64_t* hat = At(x.hat, begin());
  Bytes below;
  if (m > 1) below = EvalPath(TakeKeys(), {hat});
  const Bytes msb = TakeBits();
  Run(CompareOp{party(), m, hat, below.data(), msb.data(),
                out.data() + begin()});
}

void GateBlock::IsZero(const Wire& x, Bytes& out) {
  if (is_dealer()) {
    DealKeys({At(x.mask, begin())}, nullptr);
    return;
  }
  EvalPathTo(session_, {TakeKeys(),
                        {At(x.hat, begin())},
                        PathOutput::kPoint,
                        out.data() + begin()});
}

void GateBlock::InIntervals(const Wire& x, std::span<const int64_t> boundaries,
                            Bytes& out) {
  if (is_dealer()) {
    DealKeys({At(x.mask, begin())}, nullptr);
    return;
  }
  const size_t intervals = boundaries.size() - 1;
  EvalIntervals(TakeKeys(), At(x.hat, begin()), /*width=*/64, /*shift=*/0,
                boundaries, out.data() + begin() * intervals);
}

void GateBlock::Carry(const Wire& x, Bytes& out) {
  if (is_dealer()) {
    DealKeys({At(x.mask, begin())}, nullptr);
    return;
  }
  uint8_t* bits = out.data() + begin();
  EvalPathTo(session_,
             {TakeKeys(), {At(x.hat, begin())}, PathOutput::kPrefix, bits});
  // The parity is that of 1{r <= x_hat}.
  if (party() == 0) Run(NotBitsOp{bits, bits});
}

void GateBlock::WindowSum(const Wire& x, int shift, uint64_t high,
                          std::span<const uint64_t> reversed, Words& sums,
                          Bytes& positive) {
  if (is_dealer()) {
    DealKeys({At(x.mask, begin()), 64, shift}, positive.data() + begin());
    return;
  }
  EvalWindow(TakeKeys(), {At(x.hat, begin()), 64, shift, high}, reversed,
             sums.data() + begin());
}

void GateBlock::FinishSum(const Wire& sum, const SumRing& ring,
                          const Bytes& positive, Words& out) {
  if (is_dealer()) {
    Words sigma = New();
    Run(SignOp{positive.data() + begin(), sigma.data()});
    for (Words& value :
         SumValues(session_, ring, std::move(sigma), At(sum.mask, begin()))) {
      DealShare(std::move(value));
    }
    return;
  }
  const Words factor = TakeShare(), product = TakeShare();
  Words msb;
  if (ring.extends()) msb = TakeShare();
  Run(WindowSumOp{RingOf(ring), At(sum.hat, begin()), factor.data(),
                  product.data(), msb.data(), out.data() + begin()});
}

void GateBlock::FinishExp2(const Wire& x, const Wire& sum, const SumRing& ring,
                           const Bytes& positive, int f, int mask_bits,
                           std::span<const uint64_t> roots,
                           std::span<const uint64_t> powers, Words& out) {
  if (is_dealer()) {
    Words factor = New();
    Run(DealExp2Op{f, mask_bits, session_.Constants(roots), At(x.mask, begin()),
                   positive.data() + begin(), factor.data()});
    for (Words& value :
         SumValues(session_, ring, std::move(factor), At(sum.mask, begin()))) {
      DealShare(std::move(value));
    }
    return;
  }
  FinishSum(sum, ring, positive, out);
  uint64_t* to = out.data() + begin();
  Run(MulPowerOp{to, At(x.hat, begin()), session_.Constants(powers), f, to});
}

void GateBlock::Segments(const Wire& x, std::span<const int64_t> boundaries,
                         std::span<const Segment> segments, Words& sums,
                         Bytes& bits, Bytes& positive) {
  const size_t first = begin() * segments.size();
  if (is_dealer()) {
    const uint64_t* mask = At(x.mask, begin());
    DealKeys({mask}, nullptr);
    for (size_t i = 0; i < segments.size(); ++i) {
      DealKeys({mask, x.width, segments[i].shift}, positive.data() + first + i,
               segments.size());
    }
    return;
  }
  const uint64_t* hat = At(x.hat, begin());
  EvalIntervals(TakeKeys(), hat, /*width=*/64, /*shift=*/0, boundaries,
                bits.data() + first);
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    EvalWindow(TakeKeys(), {hat, x.width, segment.shift, segment.high},
               segment.reversed, sums.data() + first + i, segments.size());
  }
}

void GateBlock::FinishSegments(const Wire& sums, const BitWire& bits,
                               const Bytes& positive, size_t segments,
                               Words& out) {
  const size_t first = begin() * segments;
  if (is_dealer()) {
    const size_t n = count() * segments;
    Words sigma = New(n), product = New(n);
    Words tau_sigma = New(n), tau_product = New(n);
    Run(DealSegmentedOp{positive.data() + first, At(bits.mask, first),
                        At(sums.mask, first), sigma.data(), product.data(),
                        tau_sigma.data(), tau_product.data()},
        n);
    DealShare(std::move(sigma));
    DealShare(std::move(product));
    DealShare(std::move(tau_sigma));
    DealShare(std::move(tau_product));
    return;
  }
  const Words sigma = TakeShare(), product = TakeShare();
  const Words tau_sigma = TakeShare(), tau_product = TakeShare();
  Run(SegmentedOp{segments, At(sums.hat, first), At(bits.hat, first),
                  sigma.data(), product.data(), tau_sigma.data(),
                  tau_product.data(), out.data() + begin()});
}

void GateBlock::OneHot(const Wire& t, int m, size_t size, int width,
                       Words& out) {
  if (is_dealer()) {
    const FieldPlace& field = Next();
    OneHotGenArgs args;
    args.m = m;
    args.width = width;
    for (int b = 0; b < 2; ++b) {
      args.field[b] = field.layout[b];
      args.material[b] = material_[b].data();
      args.key[b] = session_.correlation(b);
    }
    args.alpha = {At(t.mask, begin())};
    if (session_.ok()) session_.Ok(session_.kernels().OneHotGen(args));
    return;
  }
  // These keys are others, but lie in records just as well.
  const DpfBatch keys = TakeKeys();
  const OneHotEvalArgs args{keys.party,
                            m,
                            width,
                            keys.field,
                            keys.material,
                            keys.key,
                            {At(t.hat, begin())},
                            size,
                            out.data() + begin() * size};
  if (session_.ok()) session_.Ok(session_.kernels().OneHotEval(args));
}

void GateBlock::Histogram(const Wire& k, size_t length, size_t buckets,
                          Words& out) {
  if (is_dealer()) {
    const size_t n = count() * length * buckets;
    Words one_hot = New(n);
    Run(DealHistogramOp{buckets, At(k.mask, begin() * length), one_hot.data()},
        n);
    DealShare(std::move(one_hot));
    return;
  }
  const Words dealt = TakeShare();
  Run(HistogramOp{length, buckets, At(k.hat, begin() * length), dealt.data(),
                  out.data() + begin() * buckets},
      count() * buckets);
}

void GateBlock::InterpolatedKeys(const Wire& x, const InterpolatedTable& table,
                                 const WindowTables& windows, bool has_tail,
                                 uint64_t high, Words& sums, Words& slopes,
                                 Bytes& above, Bytes& positive) {
  const int step_bits = table.step_bits;
  if (is_dealer()) {
    DealKeys({At(x.mask, begin()), x.width, step_bits},
             positive.data() + begin());
    return;
  }
  const uint64_t* hat = At(x.hat, begin());
  const DpfBatch keys = TakeKeys();
  if (has_tail) {
    // For m = 64, 2^(m-1) is the most negative number: same residue.
    const std::array<int64_t, 2> ends = {
        static_cast<int64_t>(high),
        static_cast<int64_t>(uint64_t{1} << (table.domain_bits - 1))};
    EvalIntervals(keys, hat, x.width, step_bits, ends, above.data() + begin());
  }
  DpfWindowArgs args;
  args.keys = keys;
  args.start = {hat, x.width, step_bits, high - 1};
  args.length = table.value.size();
  args.table_count = 2;
  args.tables[0] = session_.Constants(windows.table(0));
  args.tables[1] = session_.Constants(windows.table(1));
  args.interpolate = true;
  args.step_bits = step_bits;
  args.value_shift = table.value_shift;
  args.out[0] = sums.data() + begin();
  args.out[1] = slopes.data() + begin();
  if (session_.ok()) session_.Ok(session_.kernels().DpfWindowSum(args));
}

void GateBlock::FinishInterpolated(const Wire& x,
                                   const InterpolatedTable& table,
                                   const InterpolatedSums& sums, const Wire* y,
                                   Words& out) {
  const InterpolatedForm form = FormOf(table, sums, x.width);
  Words value[InterpolatedForm::kTerms], times[InterpolatedForm::kTerms];
  if (is_dealer()) {
    DealInterpolatedOp op{form,
                          sums.positive.data() + begin(),
                          At(sums.above.mask, begin()),
                          At(sums.sum.mask, begin()),
                          At(sums.slope.mask, begin()),
                          At(x.mask, begin()),
                          y != nullptr ? At(y->mask, begin()) : nullptr,
                          {},
                          {}};
    for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
      if (!form.Has(term)) continue;
      value[term] = New();
      op.value[term] = value[term].data();
      if (y == nullptr) continue;
      times[term] = New();
      op.times[term] = times[term].data();
    }
    Run(op);
    for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
      if (!form.Has(term)) continue;
      DealShare(std::move(value[term]));
      if (y != nullptr) DealShare(std::move(times[term]));
    }
    return;
  }
  InterpolatedOp op{party(),
                    form,
                    At(sums.sum.hat, begin()),
                    At(sums.slope.hat, begin()),
                    At(x.hat, begin()),
                    At(sums.above.hat, begin()),
                    {},
                    {},
                    y != nullptr ? At(y->hat, begin()) : nullptr,
                    y != nullptr ? At(y->mask, begin()) : nullptr,
                    out.data() + begin()};
  for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
    if (!form.Has(term)) continue;
    value[term] = TakeShare();
    op.value[term] = value[term].data();
    if (y == nullptr) continue;
    times[term] = TakeShare();
    op.times[term] = times[term].data();
  }
  Run(op);
}

}  // namespace tacit::gpu
