#include "common/nn/tables.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tacit {
namespace {

using Function = absl::FunctionRef<double(double)>;

constexpr int kMaxIndexBits = 16;

absl::Status Check(const PowerTableSpec& spec) {
  const int end = spec.hi + spec.frac;
  if (end < 1 || spec.lo >= spec.hi || end > (spec.centered ? 64 : 63)) {
    return absl::InvalidArgumentError(
        absl::StrCat("table over [2^", spec.lo, ", 2^", spec.hi, ") with ",
                     spec.frac, " fraction bits"));
  }
  if (spec.octaves < 1 || spec.index_bits < 2 ||
      spec.index_bits > kMaxIndexBits) {
    return absl::InvalidArgumentError(
        absl::StrCat("table of ", spec.octaves, " octaves a segment and ",
                     spec.index_bits, " index bits"));
  }
  return absl::OkStatus();
}

// Appends [2^begin, 2^end) with the given shift; `offset` is the center's.
absl::Status AddSegment(const PowerTableSpec& spec, int begin, int end,
                        int shift, Function f, SegmentedTable& table) {
  const uint64_t first = (uint64_t{1} << begin) >> shift;
  // The last index, and the one more that a carry can reach.
  const uint64_t last = uint64_t{1} << (end - shift);
  std::vector<int64_t>& entries = table.table.emplace_back();
  entries.reserve(last - first + 1);
  for (uint64_t u = first; u <= last; ++u) {
    const double x = std::ldexp(static_cast<double>(u), shift - spec.frac);
    const double value = std::ldexp(f(x), spec.out_frac);
    if (!(value < std::ldexp(1.0, 62))) {
      return absl::InvalidArgumentError(
          absl::StrCat("entry at ", x, " does not fit with ", spec.out_frac,
                       " fraction ", "bits"));
    }
    entries.push_back(std::llround(value));
  }
  table.shift.push_back(shift);
  // 2^63, the top of a 64-bit domain, is no int64: its last value goes without.
  const uint64_t boundary = (end == 64 ? 0 : uint64_t{1} << end) -
                            static_cast<uint64_t>(CenterOffset(spec));
  table.boundaries.push_back(end == 64 ? std::numeric_limits<int64_t>::max()
                                       : static_cast<int64_t>(boundary));
  return absl::OkStatus();
}

absl::StatusOr<SegmentedTable> Build(const PowerTableSpec& spec, Function f) {
  if (absl::Status status = Check(spec); !status.ok()) return status;
  SegmentedTable table;
  table.domain_bits = TableDomainBits(spec);
  table.out_frac = spec.out_frac;
  const int end = spec.hi + spec.frac;
  int begin = std::max(0, spec.lo + spec.frac);
  table.boundaries.push_back(static_cast<int64_t>(
      (uint64_t{1} << begin) - static_cast<uint64_t>(CenterOffset(spec))));
  while (begin < end) {
    // Below index_bits bits every input has its own entry, and the octaves
    // there need no boundaries between them.
    const bool exact = begin < spec.index_bits;
    const int next =
        std::min(end, exact ? spec.index_bits : begin + spec.octaves);
    const int shift = exact ? 0 : begin + 1 - spec.index_bits;
    absl::Status status = AddSegment(spec, begin, next, shift, f, table);
    if (!status.ok()) return status;
    begin = next;
  }
  PrepareWindows(table);
  return table;
}

}  // namespace

int TableDomainBits(const PowerTableSpec& spec) {
  return spec.hi + spec.frac + (spec.centered ? 0 : 1);
}

int64_t CenterOffset(const PowerTableSpec& spec) {
  if (!spec.centered) return 0;
  return static_cast<int64_t>(uint64_t{1} << (spec.hi + spec.frac - 1));
}

absl::StatusOr<SegmentedTable> ReciprocalTable(const PowerTableSpec& spec) {
  return Build(spec, [&](double x) { return spec.scale / x; });
}

absl::StatusOr<SegmentedTable> RsqrtTable(const PowerTableSpec& spec) {
  return Build(spec, [&](double x) { return spec.scale / std::sqrt(x); });
}

namespace {

Wire Apply(Evaluator& ev, absl::string_view layer, const Wire& x,
           const PowerTableSpec& spec,
           const absl::StatusOr<SegmentedTable>& table, int width) {
  Wire out{x.shape, width, spec.out_frac};
  if (!table.ok()) {
    ev.Fail(table.status());
  } else if (x.frac != spec.frac || spec.centered) {
    ev.Reject(layer, absl::StrCat("input with fraction count ", x.frac,
                                  ", table with ", spec.frac,
                                  spec.centered ? ", centered" : ""));
  }
  if (!ev.ok()) return out;
  const Evaluator::Scope scope(ev, layer);
  return ev.Open(Segmented(ev, x, *table, width));
}

}  // namespace

Wire Reciprocal(Evaluator& ev, const Wire& x, const PowerTableSpec& spec,
                int width) {
  return Apply(ev, "Reciprocal", x, spec, ReciprocalTable(spec), width);
}

Wire Rsqrt(Evaluator& ev, const Wire& x, const PowerTableSpec& spec,
           int width) {
  return Apply(ev, "Rsqrt", x, spec, RsqrtTable(spec), width);
}

size_t TableEntries(const SegmentedTable& table) {
  size_t entries = 0;
  for (const auto& segment : table.table) entries += segment.size();
  return entries;
}

}  // namespace tacit
