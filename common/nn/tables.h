// Segmented tables of powers of x: reciprocal and reciprocal square root.
#ifndef TACIT_COMMON_NN_TABLES_H_
#define TACIT_COMMON_NN_TABLES_H_

#include "absl/status/statusor.h"
#include "common/gates/segmented.h"

namespace tacit {

struct PowerTableSpec {
  int frac;          // the input X stands for x = X / 2^frac
  int lo, hi;        // the table covers x in [2^lo, 2^hi)
  int out_frac;      // entries stand for entry / 2^out_frac
  double scale = 1;  // the function is scale / x or scale / sqrt(x)
  int octaves = 2;   // of a segment
  // Significant bits of the index at a segment's low end. x keeps a relative
  // error below 2^-(index_bits - 1), 1/sqrt(x) half of it.
  int index_bits = 11;
  // The wire holds X - CenterOffset(spec), which spans a signed ring with one
  // bit less.
  bool centered = false;
};

// Bits of the domain: hi + frac if centered, else one more for the sign.
int TableDomainBits(const PowerTableSpec& spec);
// 2^(hi + frac - 1) modulo 2^64 if centered, else 0.
int64_t CenterOffset(const PowerTableSpec& spec);

// Entry u of a segment of shift k serves x in ((u - 1) 2^k, (u + 1) 2^k), since
// the index is floor plus a carry: it is f(u 2^k), exact up to rounding. Inputs
// of fewer than index_bits bits share one segment of shift 0, that is exact
// entries. X = 0 lies outside (a table of its own would need f(0)).
// Only correctly rounded operations: every role on every machine builds the
// same table.
// Errors: INVALID_ARGUMENT if a range is empty, hi + frac leaves 64 bits (63 if
//   not centered), or an entry leaves 62 bits.
absl::StatusOr<SegmentedTable> ReciprocalTable(const PowerTableSpec& spec);
absl::StatusOr<SegmentedTable> RsqrtTable(const PowerTableSpec& spec);

// scale / x and scale / sqrt(x) for spec's range, opened over Z_{2^width}: two
// rounds. Errors (sticky): INVALID_ARGUMENT, naming the layer, if x.frac is not
// spec.frac, spec.centered is set, or as above; plain: OUT_OF_RANGE outside
// [2^lo, 2^hi).
Wire Reciprocal(Evaluator& ev, const Wire& x, const PowerTableSpec& spec,
                int width);
Wire Rsqrt(Evaluator& ev, const Wire& x, const PowerTableSpec& spec, int width);

// Entries of all segments: what evaluating one element costs.
size_t TableEntries(const SegmentedTable& table);

}  // namespace tacit

#endif  // TACIT_COMMON_NN_TABLES_H_
