// Distributed point functions with one-bit output, in batches.
//
// A key pair for the secret point alpha in [0, 2^m) gives party b a
// pseudorandom bit string bit_b(0), ..., bit_b(2^m - 1) with
//   bit_0(j) XOR bit_1(j) = 1{j = alpha}.
// Each party's key alone is independent of alpha.
//
// Construction, m > kMaxDirectBits: the correlated GGM tree of Guo, Yang,
// Wang, Zhang, Xie, Liu, Zhao, "Half-Tree: Halving the Cost of Tree Expansion
// in COT and DPF", EUROCRYPT 2023 (https://eprint.iacr.org/2022/1431), Fig. 8,
// over the circular correlation-robust hash H(x) = pi(sigma(x)) xor sigma(x),
// sigma(hi || lo) = (hi xor lo) || hi, pi = AES-128 under a fixed public key
// (Guo, Katz, Wang, Yu, S&P 2020). One AES call per level and party. Two
// departures, neither of which gives a party anything new:
//  - early termination: a leaf node covers 2^7 points. Its 128 output bits are
//    H(s) xor t * CW_leaf, with CW_leaf = H(s_0) xor H(s_1) xor e_{alpha mod
//    128}. The leaf seed enters H there and nowhere else, as in the paper's
//    last level, so CW_leaf is pseudorandom to either party.
//  - root seeds are not sent: party b expands s_b from its own stream and its
//    lowest bit is set to b. So Delta = s_0 xor s_1 is uniform with lsb 1.
// m <= kMaxDirectBits: the bit string itself; party 0's is pseudorandom, party
// 1's is sent. No tree.
//
// Prefix parities, sum over j <= t of bit_b(j) mod 2, are an XOR share of
// 1{alpha <= t}; the control bits along one path give them (Storrier,
// Vadapalli, Lyons, Henry, "Grotto", CCS 2023, Sec. 4).
//
// SECRET: alpha, every bit string, `positive`. PUBLIC: m, counts, t, start,
// tables. No branch or address depends on a secret.
#ifndef TACIT_COMMON_FSS_DPF_H_
#define TACIT_COMMON_FSS_DPF_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "common/base/buffer.h"
#include "common/prg/prg.h"

namespace tacit {

inline constexpr int kMaxDomainBits = 64;
inline constexpr int kMaxDirectBits = 9;
inline constexpr int kLeafBits = 7;  // log2 of the points in a 128-bit leaf
// Correction words lie in groups of keys, level by level within a group:
// [ceil(count / 64)][levels + 1][min(64, rest)] blocks; the last level is
// CW_leaf. Four neighbouring keys thus fill a 512-bit register.
inline constexpr size_t kDpfGroup = 64;

// Tree levels above the leaves. Requires m > kMaxDirectBits.
constexpr int DpfLevels(int m) { return m - kLeafBits; }
constexpr bool DpfIsDirect(int m) { return m <= kMaxDirectBits; }
// Bytes of one direct bit string: bit j is bit j % 8 of byte j / 8. Of the byte
// for m < 3, party 1's key leaves the other bits 0.
constexpr size_t DirectBytes(int m) {
  return m <= 3 ? 1 : size_t{1} << (m - 3);
}

// Serialised bytes of `count` keys for `party`; exact.
constexpr size_t DpfKeyBytes(int m, int party, size_t count) {
  if (DpfIsDirect(m)) return party == 0 ? 0 : DirectBytes(m) * count;
  return 16 * static_cast<size_t>(DpfLevels(m) + 1) * count;
}
// Blocks that the keys take of each party's own stream.
constexpr uint64_t DpfPrgBlocks(int m, size_t count) {
  return DpfIsDirect(m) ? (DirectBytes(m) * count + 15) / 16 : count;
}

// Makes count = alpha.size() key pairs; alpha[i] is taken modulo 2^m.
// Streams: party b's root seeds (direct: party 0's bits) are blocks
// position, ..., position + DpfPrgBlocks(m, count) - 1 of `prg_b`.
// key_b.size() must be DpfKeyBytes(m, b, count). For m > kMaxDirectBits the two
// parties' bytes are the same; they are written to key0 and copied to key1.
// positive[i] = bit_0(alpha[i]): whether bit_0 - bit_1 at alpha is +1 (else
// -1).
void DpfGen(int m, std::span<const uint64_t> alpha, const Prg& prg0,
            const Prg& prg1, uint64_t position, std::span<uint8_t> key0,
            std::span<uint8_t> key1, std::span<uint8_t> positive);

// One party's view of a batch of keys; spans and `prg` must outlive it. Keys
// from `first` on, a multiple of kDpfGroup, are a batch of their own: drop
// DpfKeyBytes(m, party, first) bytes and add DpfPrgBlocks(m, first) to
// `position`. So threads may share a batch by groups.
struct DpfKeys {
  int party;
  int m;
  size_t count;
  std::span<const uint8_t> key;  // DpfKeyBytes(m, party, count)
  const Prg* prg;                // this party's stream
  uint64_t position;
};

// All positions below are taken modulo 2^m; spans have `count` elements. A span
// of another size, here or in DpfGen, ends the process: check what a peer sends
// before. All functions are thread-safe and wipe their scratch.

// out[i] = this party's XOR share of 1{alpha[i] <= t[i]}.
void DpfEvalPrefix(const DpfKeys& keys, std::span<const uint64_t> t,
                   std::span<uint8_t> out);

// out[i] = bit_b(j[i]), an XOR share of 1{alpha[i] = j[i]}.
void DpfEvalPoint(const DpfKeys& keys, std::span<const uint64_t> j,
                  std::span<uint8_t> out);

// bits[i * words + w], words = ceil(length / 64): bit k of word w is
// bit_b(start[i] + 64 w + k); bits at or after `length` are 0.
// Requires 1 <= length <= 2^m (cyclic: a window may wrap).
void DpfEvalWindow(const DpfKeys& keys, std::span<const uint64_t> start,
                   size_t length, std::span<uint64_t> bits);

// out[q][i] = (-1)^party * sum over k < length of
//   bit_b(start[i] + k) * tables[q][k]   modulo 2^64,
// for q < tables.size(), at most kMaxWindowTables; each table has `length`
// entries. The two parties' outputs add to sigma_i * tables[q][alpha[i] -
// start[i]] (0 if alpha is outside the window), sigma_i = +1 if positive.
inline constexpr size_t kMaxWindowTables = 4;
// Tables of one length, padded for the sums. Made once for those that gates use
// again and again. Public.
class WindowTables {
 public:
  // In the order of leaves.
  explicit WindowTables(std::span<const std::span<const uint64_t>> tables);
  // Over v, where leaves are j = x_hat - v: they ascend while v descends, and
  // meet the tables from their ends.
  static WindowTables Reversed(
      std::initializer_list<std::span<const int64_t>> tables);

  size_t count() const { return padded_.size(); }
  size_t length() const { return length_; }
  // [length], and zeros behind it up to a whole word of a window's bits.
  std::span<const uint64_t> table(size_t q) const {
    return std::span(padded_[q]).first(length_);
  }

 private:
  WindowTables() = default;
  // Of `length_` entries, to be filled.
  Words& Append();

  size_t length_ = 0;
  std::vector<Words> padded_;
};
void DpfWindowSum(const DpfKeys& keys, std::span<const uint64_t> start,
                  const WindowTables& tables,
                  std::span<const std::span<uint64_t>> out);

// Fixed-key AES calls of the functions above: exact, 0 for direct keys (whose
// bits are the party's own stream's, counted there).
constexpr uint64_t DpfGenAes(int m, size_t count) {
  return DpfIsDirect(m) ? 0 : 2 * uint64_t(DpfLevels(m) + 1) * count;
}
constexpr uint64_t DpfPathAes(int m, size_t count) {  // prefix or point
  return DpfIsDirect(m) ? 0 : uint64_t(DpfLevels(m) + 1) * count;
}
// Leaf blocks that a window of `length` points can touch, and the nodes per
// level above them; both fixed, so that time does not depend on the window.
uint64_t DpfWindowAes(int m, size_t length, size_t count);

}  // namespace tacit

#endif  // TACIT_COMMON_FSS_DPF_H_
