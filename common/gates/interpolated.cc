#include "common/gates/interpolated.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"

namespace tacit {
namespace {

constexpr absl::string_view kGate = "Interpolated";

bool Check(Evaluator& ev, const Wire& x, const InterpolatedTable& table,
           int width) {
  if (!CheckWindow(ev, kGate, x, table.step_bits, table.domain_bits, table.low,
                   table.value.size())) {
    return false;
  }
  const int tail_shift = table.out_frac - x.frac;
  if (table.slope.size() != table.value.size()) {
    ev.Reject(kGate, absl::StrCat(table.value.size(), " values, ",
                                  table.slope.size(), " slopes"));
  } else if (!IsWidth(width) || table.value_shift < 0 ||
             table.value_shift >= width) {
    ev.Reject(kGate, absl::StrCat("width ", width, ", value shift ",
                                  table.value_shift));
  } else if (table.identity_above && (tail_shift < 0 || tail_shift >= width ||
                                      width - tail_shift > x.width)) {
    ev.Reject(kGate,
              absl::StrCat("width ", width, " with an identity of ", tail_shift,
                           " more fraction bits for a wire "
                           "of ",
                           x.width, " bits: extend it first"));
  } else if (table.identity_above && table.constant_above != 0) {
    ev.Reject(kGate, "an identity and a constant above the window");
  }
  return ev.ok();
}

}  // namespace

Share Interpolated(Evaluator& ev, const Wire& x, const InterpolatedTable& table,
                   int width) {
  Share out{x.shape, width, table.out_frac};
  if (!Check(ev, x, table, width)) return out;
  ev.Await(x);
  const size_t n = out.size(), length = table.value.size();
  const int k = table.step_bits, m = table.domain_bits, s = table.value_shift;
  const bool identity = table.identity_above;
  const bool constant = table.constant_above != 0;
  const bool tail = identity || constant;
  const int t = identity ? table.out_frac - x.frac : 0;
  const SumRing v_ring(table.value, width - s), w_ring(table.slope, width);
  const int64_t high = table.low + static_cast<int64_t>(length);  // exclusive
  const Words value = ReversedTable(table.value);
  const Words slope = ReversedTable(table.slope);
  // u's masked value and mask, from the bits above the step.
  auto index = [&](const Words& words, size_t begin, size_t count) {
    Words u(count);
    for (size_t i = 0; i < count; ++i) {
      u[i] = Reduce(words[begin + i], x.width) >> k;
    }
    return u;
  };

  // Keys; shares of sigma * value[u], sigma * slope[u], 1{u >= high}.
  Words values = MakeWords(ev, n), slopes = MakeWords(ev, n);
  Bytes above = MakeBits(ev, tail ? n : 0);
  Bytes positive(ev.is_dealer() && ev.ok() ? n : 0);
  ev.RunBlocks(
      kGate, {DpfField(m, tail ? 2 : 0, {length})}, n,
      [&](DealBlock& block) {
        block.Dpf(index(*x.mask, block.begin(), block.count()),
                  std::span(positive).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        const size_t begin = block.begin(), count = block.count();
        Words start = index(*x.hat, begin, count);
        const DpfKeys keys = block.Dpf();
        if (tail) {
          // For m = 64, 2^(m-1) is the most negative number: same residue.
          const std::array<int64_t, 2> ends = {
              high, static_cast<int64_t>(uint64_t{1} << (m - 1))};
          EvalIntervals(keys, start, ends,
                        std::span(above).subspan(begin, count));
        }
        for (uint64_t& u : start) u -= static_cast<uint64_t>(high - 1);
        const std::array<std::span<const uint64_t>, 2> tables = {value, slope};
        const std::array<std::span<uint64_t>, 2> to = {
            std::span(values).subspan(begin, count),
            std::span(slopes).subspan(begin, count)};
        DpfWindowSum(keys, start, tables, to);
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t v = (*x.hat)[e];
          const uint64_t carry = (Reduce(v, k) + Reduce((*x.mask)[e], k)) >> k;
          const int64_t u =
              (static_cast<int64_t>(v) >> k) + static_cast<int64_t>(carry);
          if (ToSigned(u, m) != u) block.OutOfBound();
          const bool inside = u >= table.low && u < high;
          values[e] = inside ? table.value[u - table.low] : 0;
          slopes[e] = inside ? table.slope[u - table.low] : 0;
          if (tail) above[e] = u >= high;
        }
      });
  Share value_share{x.shape, v_ring.width(), 0};
  Share slope_share{x.shape, w_ring.width(), 0};
  BitShare above_share{x.shape};
  SetWords(ev, std::move(values), value_share);
  SetWords(ev, std::move(slopes), slope_share);
  const Wire v = ev.Open(value_share), w = ev.Open(slope_share);
  BitWire bit;
  if (tail) {
    SetBits(ev, std::move(above), above_share);
    bit = ev.Open(above_share);
  }
  ev.Await(v);

  std::vector<Field> fields(4, ShareField(width));
  if (v_ring.extends()) fields.push_back(ShareField(v_ring.missing()));
  if (w_ring.extends()) {
    fields.insert(fields.end(), 2, ShareField(w_ring.missing()));
  }
  if (constant) fields.push_back(ShareField(width));
  if (identity) {
    fields.insert(fields.end(), x.mask_shared ? 2 : 3, ShareField(width - t));
  }
  const Schema schema(std::move(fields));
  Words part = MakeWords(ev, n);
  ev.RunBlocks(
      kGate, schema, n,
      [&](DealBlock& block) {
        const size_t begin = block.begin(), count = block.count();
        Words sigma(count), sigma_rho(count), sigma_e(count), rest(count);
        Words v_msb(count), w_msb(count), w_msb_e(count);
        for (size_t i = 0; i < count; ++i) {
          const size_t e = begin + i;
          const uint64_t low = Reduce((*x.mask)[e], k);
          const uint64_t rho_v = (*v.mask)[e], rho_w = (*w.mask)[e];
          sigma[i] = Sign(positive[e]);
          sigma_rho[i] = sigma[i] * w_ring.Mask(rho_w);
          sigma_e[i] = sigma[i] * low;
          rest[i] = sigma_rho[i] * low - ((sigma[i] * v_ring.Mask(rho_v)) << s);
          v_msb[i] = sigma[i] * v_ring.Msb(rho_v);
          w_msb[i] = sigma[i] * w_ring.Msb(rho_w);
          w_msb_e[i] = w_msb[i] * low;
        }
        block.Share(sigma);
        block.Share(sigma_rho);
        block.Share(sigma_e);
        block.Share(rest);
        if (v_ring.extends()) block.Share(v_msb);
        if (w_ring.extends()) {
          block.Share(w_msb);
          block.Share(w_msb_e);
        }
        if (!tail) return;
        Words rho(count), product(count);
        for (size_t i = 0; i < count; ++i) {
          rho[i] = (*bit.mask)[begin + i];
          product[i] = rho[i] * (*x.mask)[begin + i];
        }
        block.Share(rho);
        if (!identity) return;
        block.Share(product);
        if (!x.mask_shared) {
          block.Share(std::span(*x.mask).subspan(begin, count));
        }
      },
      [&](EvalBlock& block) {
        const size_t begin = block.begin(), count = block.count();
        const Words sigma = block.Share(), sigma_rho = block.Share();
        const Words sigma_e = block.Share(), rest = block.Share();
        for (size_t i = 0; i < count; ++i) {
          const size_t e = begin + i;
          const uint64_t low = Reduce((*x.hat)[e], k);
          const uint64_t v_value = v_ring.Value((*v.hat)[e]);
          const uint64_t w_value = w_ring.Value((*w.hat)[e]);
          part[e] = sigma[i] * ((v_value << s) + w_value * low) -
                    sigma_rho[i] * low - sigma_e[i] * w_value + rest[i];
        }
        if (v_ring.extends()) {
          const Words msb = block.Share();
          for (size_t i = 0; i < count; ++i) {
            const uint64_t wraps = v_ring.Wraps((*v.hat)[begin + i]);
            part[begin + i] += (wraps * msb[i]) << (s + v_ring.width());
          }
        }
        if (w_ring.extends()) {
          const Words msb = block.Share(), msb_e = block.Share();
          for (size_t i = 0; i < count; ++i) {
            const uint64_t wraps = w_ring.Wraps((*w.hat)[begin + i]);
            const uint64_t low = Reduce((*x.hat)[begin + i], k);
            part[begin + i] += (wraps * (msb[i] * low - msb_e[i]))
                               << w_ring.width();
          }
        }
        if (!tail) return;
        const uint64_t b = block.party();
        const Words rho = block.Share();
        if (constant) {
          const uint64_t above = static_cast<uint64_t>(table.constant_above);
          for (size_t i = 0; i < count; ++i) {
            const uint64_t hat = (*bit.hat)[begin + i];
            part[begin + i] += ((1 - b) * hat + (1 - 2 * hat) * rho[i]) * above;
          }
          return;
        }
        const Words product = block.Share();
        const Words dealt = x.mask_shared ? Words() : block.Share();
        const uint64_t* mask =
            x.mask_shared ? x.mask->data() + begin : dealt.data();
        for (size_t i = 0; i < count; ++i) {
          const size_t e = begin + i;
          const uint64_t hat = (*x.hat)[e];
          const uint64_t zero = rho[i] * hat - product[i];
          const uint64_t one = b * hat - mask[i] - zero;
          part[e] += ((*bit.hat)[e] ? one : zero) << t;
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t value = (*x.hat)[e];
          // e = x - u 2^k = low bits of x_hat less low bits of r.
          const uint64_t hat_low = Reduce(value + (*x.mask)[e], k);
          const uint64_t rest = hat_low - Reduce((*x.mask)[e], k);
          part[e] = ((*v.hat)[e] << s) + (*w.hat)[e] * rest;
          if (identity && (*bit.hat)[e]) part[e] += value << t;
          if (constant && (*bit.hat)[e]) {
            part[e] += static_cast<uint64_t>(table.constant_above);
          }
        }
      });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit
