// Functions over many octaves, such as 1/x and 1/sqrt(x).
#ifndef TACIT_COMMON_GATES_SEGMENTED_H_
#define TACIT_COMMON_GATES_SEGMENTED_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "common/gates/evaluator.h"

namespace tacit {

// Segment i is boundaries[i] <= x < boundaries[i + 1]; there the result is
//   table[i][(x >> shift[i]) - (boundaries[i] >> shift[i])]
// with a stochastic shift, so that the index may be one larger: a table has
// one entry more than its segment (it overlaps its boundary). Outside all
// segments the result is 0.
struct SegmentedTable {
  int domain_bits;  // m: |x| < 2^(m-1)
  std::vector<int64_t> boundaries;
  std::vector<int> shift;
  std::vector<std::vector<int64_t>> table;
  int out_frac;
  // Each table as sums over windows read it; empty: made at every use.
  std::vector<std::shared_ptr<const WindowTables>> windows = {};
};

// Fills `windows`; the tables must not change afterwards.
void PrepareWindows(SegmentedTable& table);

// Share over Z_{2^width}. Which segment: exact, from prefix parities of one key
// at r mod 2^m. Each segment's table has a key of its own on the few low bits
// of its truncated index that its table spans; elsewhere it may alias, and is
// multiplied by a zero bit. With dealt sigma_i, sigma_i rho_i and their
// products with the bit's mask tau_i, bit times table needs no further opening:
// one round for all segments. Errors: INVALID_ARGUMENT if the table's sizes do
// not agree; plain:
//   OUT_OF_RANGE if x leaves the domain or the segments.
Share Segmented(Evaluator& ev, const Wire& x, const SegmentedTable& table,
                int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_SEGMENTED_H_
