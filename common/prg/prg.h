// AES-128 in counter mode as a pseudorandom generator, addressable by position.
#ifndef TACIT_COMMON_PRG_PRG_H_
#define TACIT_COMMON_PRG_PRG_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/prg/seed.h"

namespace tacit {

// 128 bits; `lo` is the first eight bytes in memory, little-endian. Bit i of a
// block is bit i of `lo` for i < 64, bit i - 64 of `hi` otherwise.
struct alignas(16) Block {
  uint64_t lo = 0;
  uint64_t hi = 0;
  friend bool operator==(const Block&, const Block&) = default;
};
inline Block operator^(Block a, Block b) { return {a.lo ^ b.lo, a.hi ^ b.hi}; }

// AES-128 blocks that `words` 64-bit words take: streams are allocated in
// whole blocks, so that every position below is in blocks.
constexpr uint64_t PrgBlocks(uint64_t words) { return (words + 1) / 2; }

// One stream. Output block p is AES_k(nonce + p), both 128-bit little-endian
// with carry over all 128 bits; (k, nonce) are the 32 bytes of `seed`: key
// first. Derive `seed` with DeriveSeed and a label of its own per use.
// The expanded key is wiped on destruction. Thread-safe.
class Prg {
 public:
  explicit Prg(const Seed& seed);
  Prg(const Prg&) = delete;
  Prg& operator=(const Prg&) = delete;
  ~Prg();

  // out = words 2 * position .. of the stream, out.size() of them. Every path
  // (VAES, AES-NI, portable and constant-time) gives the same bits.
  void Fill(uint64_t position, std::span<uint64_t> out) const;
  void Fill(uint64_t position, std::span<Block> out) const;
  // out[i] += (-=) the word that Fill would have put there.
  void AddTo(uint64_t position, std::span<uint64_t> out) const;
  void SubtractFrom(uint64_t position, std::span<uint64_t> out) const;
  // One pseudorandom bit (0 or 1) in each byte; 128 bits to a block.
  void FillBits(uint64_t position, std::span<uint8_t> out) const;

 private:
  alignas(64) std::array<uint8_t, 176> round_keys_;
  Block nonce_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_PRG_PRG_H_
