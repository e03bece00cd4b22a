#include "common/gates/compare.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"

namespace tacit {
namespace {

bool CheckDomain(Evaluator& ev, absl::string_view gate, const Wire& x, int m) {
  if (m >= 1 && m <= x.width && m <= kMaxDomainBits) return true;
  ev.Reject(gate, absl::StrCat("domain of ", m, " bits for a wire of ", x.width,
                               " bits"));
  return false;
}

// Bits [lo, lo + count) of a wire's words, reduced to m bits.
Words LowBits(const Words& words, size_t begin, size_t count, int m,
              uint64_t minus = 0) {
  Words out(count);
  for (size_t i = 0; i < count; ++i) {
    out[i] = Reduce(words[begin + i] - minus, m);
  }
  return out;
}

bool Fits(uint64_t value, int m) {
  return static_cast<uint64_t>(ToSigned(value, m)) == value;
}

}  // namespace

BitShare IsNegative(Evaluator& ev, const Wire& x, int m) {
  constexpr absl::string_view kGate = "Compare";
  BitShare out{x.shape};
  if (!CheckDomain(ev, kGate, x, m)) return out;
  ev.Await(x);
  // A wire of one bit has no low part to compare.
  const Schema schema = m == 1
                            ? Schema{BitsField()}
                            : Schema{DpfField(m - 1, /*paths=*/1), BitsField()};
  Bytes part = MakeBits(ev, out.size());
  ev.RunBlocks(
      kGate, schema, out.size(),
      [&](DealBlock& block) {
        const size_t n = block.count();
        const Words r = LowBits(*x.mask, block.begin(), n, m);
        Bytes msb(n), positive(n);
        for (size_t i = 0; i < n; ++i) msb[i] = r[i] >> (m - 1);
        if (m > 1) block.Dpf(r, positive);
        block.Bits(msb);
      },
      [&](EvalBlock& block) {
        const size_t n = block.count();
        const Words hat = LowBits(*x.hat, block.begin(), n, m);
        Bytes below(n);
        if (m > 1) {
          DpfEvalPrefix(block.Dpf(), hat, below);
        } else {
          std::fill(below.begin(), below.end(), block.party() == 0);
        }
        const Bytes msb = block.Bits();
        // The prefix parity is 1{r <= x_hat}; its complement and msb(x_hat)
        // are public and added by party 0.
        const uint8_t first = block.party() == 0;
        for (size_t i = 0; i < n; ++i) {
          const uint8_t hat_msb = static_cast<uint8_t>(hat[i] >> (m - 1));
          part[block.begin() + i] = below[i] ^ msb[i] ^ (first & (hat_msb ^ 1));
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          if (!Fits((*x.hat)[e], m)) block.OutOfBound();
          part[e] = static_cast<int64_t>((*x.hat)[e]) < 0;
        }
      },
      [&](AcceleratorBlock& block) { block.IsNegative(x, m, part); });
  SetBits(ev, std::move(part), out);
  return out;
}

BitShare IsZero(Evaluator& ev, const Wire& x, int m) {
  constexpr absl::string_view kGate = "IsZero";
  BitShare out{x.shape};
  if (!CheckDomain(ev, kGate, x, m)) return out;
  ev.Await(x);
  Bytes part = MakeBits(ev, out.size());
  ev.RunBlocks(
      kGate, {DpfField(m, /*paths=*/1)}, out.size(),
      [&](DealBlock& block) {
        Bytes positive(block.count());
        block.Dpf(LowBits(*x.mask, block.begin(), block.count(), m), positive);
      },
      [&](EvalBlock& block) {
        const Words hat = LowBits(*x.hat, block.begin(), block.count(), m);
        DpfEvalPoint(block.Dpf(), hat,
                     std::span(part).subspan(block.begin(), block.count()));
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          part[e] = Reduce((*x.hat)[e], m) == 0;
        }
      },
      [&](AcceleratorBlock& block) { block.IsZero(x, part); });
  SetBits(ev, std::move(part), out);
  return out;
}

BitShare InIntervals(Evaluator& ev, const Wire& x, int m,
                     std::span<const int64_t> boundaries) {
  constexpr absl::string_view kGate = "InIntervals";
  BitShare out{x.shape};
  if (!CheckDomain(ev, kGate, x, m)) return out;
  if (!CheckBoundaries(ev, kGate, m, boundaries)) return out;
  const size_t intervals = boundaries.size() - 1;
  out.shape.push_back(intervals);
  ev.Await(x);
  Bytes part = MakeBits(ev, out.size());
  ev.RunBlocks(
      kGate, {DpfField(m, static_cast<int>(boundaries.size()))}, x.size(),
      [&](DealBlock& block) {
        Bytes positive(block.count());
        block.Dpf(LowBits(*x.mask, block.begin(), block.count(), m), positive);
      },
      [&](EvalBlock& block) {
        EvalIntervals(block.Dpf(),
                      std::span(*x.hat).subspan(block.begin(), block.count()),
                      boundaries,
                      std::span(part).subspan(block.begin() * intervals,
                                              block.count() * intervals));
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const int64_t v = static_cast<int64_t>((*x.hat)[e]);
          if (!Fits((*x.hat)[e], m)) block.OutOfBound();
          for (size_t k = 0; k < intervals; ++k) {
            part[e * intervals + k] =
                boundaries[k] <= v && v < boundaries[k + 1];
          }
        }
      },
      [&](AcceleratorBlock& block) { block.InIntervals(x, boundaries, part); });
  SetBits(ev, std::move(part), out);
  return out;
}

BitShare Not(Evaluator& ev, const BitShare& x) {
  BitShare out = x;
  if (!ev.has_data() || x.part == nullptr ||
      (ev.is_party() && ev.party() == 1)) {
    return out;
  }
  auto part = std::make_shared<Bytes>(NewBytes(ev, x.size()));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->Not(*x.part, *part);
  } else {
    for (size_t i = 0; i < x.size(); ++i) (*part)[i] = (*x.part)[i] ^ 1;
  }
  out.part = std::move(part);
  return out;
}

BitShare Xor(Evaluator& ev, const BitShare& x, const BitShare& y) {
  BitShare out{x.shape};
  if (x.shape != y.shape) {
    ev.Reject("Xor", absl::StrCat("shapes ", ToString(x.shape), " and ",
                                  ToString(y.shape)));
    return out;
  }
  if (!ev.has_data() || x.part == nullptr) return out;
  auto part = std::make_shared<Bytes>(NewBytes(ev, x.size()));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->Xor(*x.part, *y.part, *part);
  } else {
    for (size_t i = 0; i < x.size(); ++i) {
      (*part)[i] = (*x.part)[i] ^ (*y.part)[i];
    }
  }
  out.part = std::move(part);
  return out;
}

}  // namespace tacit
