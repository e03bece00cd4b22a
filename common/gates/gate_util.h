// Helpers of gates; not for programs.
#ifndef TACIT_COMMON_GATES_GATE_UTIL_H_
#define TACIT_COMMON_GATES_GATE_UTIL_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/string_view.h"
#include "common/gates/accelerator.h"
#include "common/gates/evaluator.h"

namespace tacit {

// A result's buffer where this role computes: on the accelerator, if there is
// one. MakeBits and MakeWords: a party's or the plain evaluator's; empty at the
// dealer. MakeSigns: the dealer's signs of keys.
Words NewWords(Evaluator& ev, size_t n);
Bytes NewBytes(Evaluator& ev, size_t n);
inline Bytes MakeBits(Evaluator& ev, size_t n) {
  return NewBytes(ev, ev.has_data() && !ev.is_dealer() ? n : 0);
}
inline Words MakeWords(Evaluator& ev, size_t n) {
  return NewWords(ev, ev.has_data() && !ev.is_dealer() ? n : 0);
}
inline Bytes MakeSigns(Evaluator& ev, size_t n) {
  return NewBytes(ev, ev.is_dealer() && ev.ok() ? n : 0);
}
inline void SetBits(const Evaluator& ev, Bytes part, BitShare& out) {
  if (ev.has_data() && !ev.is_dealer()) {
    out.part = std::make_shared<Bytes>(std::move(part));
  }
}
inline void SetWords(const Evaluator& ev, Words part, Share& out) {
  if (ev.has_data() && !ev.is_dealer()) {
    out.part = std::make_shared<Words>(std::move(part));
  }
}

// Rejects a window of `length` entries from `low` that does not lie in the
// signed domain of m bits, or a domain above `shift` bits that the wire lacks.
bool CheckWindow(Evaluator& ev, absl::string_view gate, const Wire& x,
                 int shift, int m, int64_t low, size_t length);

// The ring in which a window sum is opened: the smallest that Extend takes for
// these entries, n bits with 2^(n-2) > |entry|, at most `width` bits. A sum
// that is needed in a wider ring is extended afterwards, as in Extend: with
// u_hat' = u_hat + 2^(n-2) mod 2^n, u = u_hat' - 2^(n-2) - rho + 2^n (1 - msb
// u_hat') msb(rho). That trades dealt elements for opened bits.
class SumRing {
 public:
  SumRing(std::span<const int64_t> entries, int width) : full_(width) {
    uint64_t largest = 0;
    for (int64_t v : entries) {
      const uint64_t word = static_cast<uint64_t>(v);
      largest = std::max(largest, v < 0 ? -word : word);
    }
    width_ = std::min(static_cast<int>(std::bit_width(largest)) + 2, full_);
  }

  int width() const { return width_; }
  bool extends() const { return width_ < full_; }
  int missing() const { return full_ - width_; }
  // u_hat' - 2^(n-2), and 1 - msb u_hat'.
  uint64_t Value(uint64_t hat) const {
    return extends() ? Reduce(hat + Offset(), width_) - Offset() : hat;
  }
  uint64_t Wraps(uint64_t hat) const {
    return 1 - (Reduce(hat + Offset(), width_) >> (width_ - 1));
  }
  // rho as its representative in [0, 2^n), and its msb.
  uint64_t Mask(uint64_t rho) const {
    return extends() ? Reduce(rho, width_) : rho;
  }
  uint64_t Msb(uint64_t rho) const {
    return Reduce(rho, width_) >> (width_ - 1);
  }

 private:
  uint64_t Offset() const { return uint64_t{1} << (width_ - 2); }

  const int full_;
  int width_;
};

// From an opened window sum u = sigma T(x) under the mask rho to shares of
// factor * u over Z_{2^width}, the factor being known to the dealer:
//   [factor] Value(u_hat) - [factor Mask(rho)] + 2^n Wraps(u_hat) [factor
//   Msb(rho)].
// The fields, and both sides for one block; spans have block.count() elements.
Schema SumSchema(const SumRing& ring, int width);
void DealSum(DealBlock& block, const SumRing& ring,
             std::span<const uint64_t> factor, std::span<const uint64_t> rho);
void EvalSum(EvalBlock& block, const SumRing& ring,
             std::span<const uint64_t> hat, std::span<uint64_t> out);

// sigma = +1 or -1 of a key whose bit_0 at its point is `positive`.
inline uint64_t Sign(uint8_t positive) { return uint64_t{2} * positive - 1; }

// Rejects boundaries that are fewer than two, descend, or leave
// [-2^(m-1), 2^(m-1)].
bool CheckBoundaries(Evaluator& ev, absl::string_view gate, int m,
                     std::span<const int64_t> boundaries);

// Shares of 1{boundaries[k] <= x < boundaries[k + 1]}, [n, intervals], from
// keys at r mod 2^m: u in [l, h) if and only if r lies in the cyclic interval
// (x_hat - h, x_hat - l], whose parity is that of two prefixes.
void EvalIntervals(const DpfKeys& keys, std::span<const uint64_t> hat,
                   std::span<const int64_t> boundaries, std::span<uint8_t> out);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_GATE_UTIL_H_
