// Helpers of gates; not for programs.
#ifndef TACIT_COMMON_GATES_GATE_UTIL_H_
#define TACIT_COMMON_GATES_GATE_UTIL_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include "absl/strings/string_view.h"
#include <utility>

#include "common/gates/evaluator.h"

namespace tacit {

// A party's or the plain evaluator's result; empty at the dealer.
inline Bytes MakeBits(const Evaluator& ev, size_t n) {
  return Bytes(ev.has_data() && !ev.is_dealer() ? n : 0);
}
inline Words MakeWords(const Evaluator& ev, size_t n) {
  return Words(ev.has_data() && !ev.is_dealer() ? n : 0);
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
bool CheckWindow(Evaluator& ev, absl::string_view gate, const Wire& x, int shift,
                 int m, int64_t low, size_t length);

// The table from its end, as ascending leaves j = x_hat - v meet it.
Words ReversedTable(std::span<const int64_t> table);

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
