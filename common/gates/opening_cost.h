// What an opening costs; shared by the evaluators.
#ifndef TACIT_COMMON_GATES_OPENING_COST_H_
#define TACIT_COMMON_GATES_OPENING_COST_H_

#include "common/gates/schema.h"
#include "common/prg/prg.h"
#include "common/ring/bitpack.h"

namespace tacit {

// Elements that a thread masks at a time; even, so that PRG blocks are whole.
inline constexpr size_t kOpeningGrain = 4096;

inline uint64_t BitPrgBlocks(size_t n) { return (n + 127) / 128; }

// Of n elements of `width` bits, without the round, which several openings
// may share.
inline Cost OpeningCost(size_t n, int width) {
  Cost cost;
  cost.dealer_aes = 2 * PrgBlocks(n);
  for (int b = 0; b < 2; ++b) {
    cost.opened_bytes[b] = PackedBytes(n, width);
    cost.party_aes[b] = PrgBlocks(n);
  }
  return cost;
}

inline Cost BitOpeningCost(size_t n) {
  Cost cost;
  cost.dealer_aes = 2 * BitPrgBlocks(n);
  for (int b = 0; b < 2; ++b) {
    cost.opened_bytes[b] = PackedBytes(n, 1);
    cost.party_aes[b] = BitPrgBlocks(n);
  }
  return cost;
}

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_OPENING_COST_H_
