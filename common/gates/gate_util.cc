#include "common/gates/gate_util.h"

#include "absl/strings/str_cat.h"

namespace tacit {

Words NewWords(Evaluator& ev, size_t n) {
  Accelerator* const device = ev.accelerator();
  return n > 0 && device != nullptr ? device->NewWords(n) : Words(n);
}
Bytes NewBytes(Evaluator& ev, size_t n) {
  Accelerator* const device = ev.accelerator();
  return n > 0 && device != nullptr ? device->NewBytes(n) : Bytes(n);
}

bool CheckWindow(Evaluator& ev, absl::string_view gate, const Wire& x,
                 int shift, int m, int64_t low, size_t length) {
  if (m < 1 || m > kMaxDomainBits || shift < 0 || m + shift > x.width) {
    ev.Reject(gate, absl::StrCat("domain of ", m, " bits above ", shift,
                                 " for a wire of ", x.width, " bits"));
    return false;
  }
  // In 128 bits, where neither end can overflow.
  const __int128 half = __int128{1} << (m - 1);
  if (length == 0 || low < -half ||
      low + static_cast<__int128>(length) > half) {
    ev.Reject(gate, absl::StrCat("window of ", length, " entries from ", low,
                                 " lies outside the domain of ", m, " bits"));
    return false;
  }
  return true;
}

Schema SumSchema(const SumRing& ring, int width) {
  std::vector<Field> fields(2, ShareField(width));
  if (ring.extends()) fields.push_back(ShareField(ring.missing()));
  return Schema(std::move(fields));
}

void DealSum(DealBlock& block, const SumRing& ring,
             std::span<const uint64_t> factor, std::span<const uint64_t> rho) {
  Words product(block.count()), msb(block.count());
  for (size_t i = 0; i < block.count(); ++i) {
    product[i] = factor[i] * ring.Mask(rho[i]);
    msb[i] = factor[i] * ring.Msb(rho[i]);
  }
  block.Share(factor);
  block.Share(product);
  if (ring.extends()) block.Share(msb);
}

void EvalSum(EvalBlock& block, const SumRing& ring,
             std::span<const uint64_t> hat, std::span<uint64_t> out) {
  const Words factor = block.Share(), product = block.Share();
  for (size_t i = 0; i < block.count(); ++i) {
    out[i] = factor[i] * ring.Value(hat[i]) - product[i];
  }
  if (!ring.extends()) return;
  const Words msb = block.Share();
  for (size_t i = 0; i < block.count(); ++i) {
    out[i] += (ring.Wraps(hat[i]) * msb[i]) << ring.width();
  }
}

bool CheckBoundaries(Evaluator& ev, absl::string_view gate, int m,
                     std::span<const int64_t> boundaries) {
  if (boundaries.size() < 2) {
    ev.Reject(gate, "fewer than two boundaries");
    return false;
  }
  for (size_t k = 0; k < boundaries.size(); ++k) {
    const int64_t b = boundaries[k];
    // 2^(m-1) itself, an open end, is allowed where it is representable.
    const bool fits = m == 64 || (b >= -(int64_t{1} << (m - 1)) &&
                                  b <= (int64_t{1} << (m - 1)));
    if (!fits || (k > 0 && b <= boundaries[k - 1])) {
      ev.Reject(gate, absl::StrCat("boundary ", b,
                                   " is out of order or outside ", m, " bits"));
      return false;
    }
  }
  return true;
}

void EvalIntervals(const DpfKeys& keys, std::span<const uint64_t> hat,
                   std::span<const int64_t> boundaries,
                   std::span<uint8_t> out) {
  const size_t n = hat.size(), intervals = boundaries.size() - 1;
  Words upper(n), lower(n);
  Bytes upper_parity(n), lower_parity(n);
  auto evaluate = [&](int64_t boundary, Words& t, Bytes& parity) {
    for (size_t i = 0; i < n; ++i) {
      t[i] = Reduce(hat[i] - static_cast<uint64_t>(boundary), keys.m);
    }
    DpfEvalPrefix(keys, t, parity);
  };
  evaluate(boundaries[0], upper, upper_parity);
  for (size_t k = 0; k < intervals; ++k) {
    evaluate(boundaries[k + 1], lower, lower_parity);
    for (size_t i = 0; i < n; ++i) {
      // The interval (lower, upper] wraps around zero (equal ends: it is the
      // whole circle, since it is never empty): count the whole circle
      // once, at party 0. Its ends are public.
      const uint8_t wraps = keys.party == 0 && lower[i] >= upper[i];
      out[i * intervals + k] = upper_parity[i] ^ lower_parity[i] ^ wraps;
    }
    std::swap(upper, lower);
    std::swap(upper_parity, lower_parity);
  }
}

}  // namespace tacit
