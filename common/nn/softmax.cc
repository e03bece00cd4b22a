#include "common/nn/softmax.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/bits.h"
#include "common/base/status_macros.h"
#include "common/gates/compare.h"
#include "common/gates/linear.h"
#include "common/gates/mul_extend.h"
#include "common/gates/one_hot.h"
#include "common/gates/select.h"
#include "common/gates/trunc_reduce.h"
#include "common/nn/tables.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

constexpr absl::string_view kLayer = "Softmax";

constexpr int kBucketLog = 3;      // buckets of 8 units
constexpr int kWeightOctaves = 8;  // weights are below 2^8, the largest of a
                                   // row above 2^-9
constexpr size_t kMaxLength = size_t{1} << 20;
// Entries that a histogram over rows of different lengths takes at a time, a
// one-hot vector for each.
constexpr size_t kHistogramChunk = size_t{1} << 14;

// The allowed entries of a tensor, row after row. Public.
struct Rows {
  std::vector<size_t> start;   // [rows + 1], into the allowed entries
  std::vector<uint32_t> row;   // of each allowed entry
  std::vector<size_t> source;  // its place in the tensor; empty if all are
                               // allowed
  size_t equal_length = 0;     // of every row, or 0 if they differ

  size_t count() const { return start.size() - 1; }
  size_t entries() const { return start.back(); }
};

absl::StatusOr<Rows> FindRows(const Shape& shape,
                              std::span<const uint8_t> allowed, size_t length) {
  const size_t keys = shape.back(), size = NumElements(shape);
  if (!allowed.empty() &&
      (allowed.size() % keys != 0 || size % allowed.size() != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kLayer, ": a mask of ", allowed.size(),
                     " entries for scores ", ToString(shape)));
  }
  Rows rows;
  rows.start.push_back(0);
  rows.row.reserve(size);
  size_t longest = 0, shortest = keys;
  for (size_t row = 0; row < size / keys; ++row) {
    for (size_t e = row * keys; e < (row + 1) * keys; ++e) {
      if (!allowed.empty()) {
        if (!allowed[e % allowed.size()]) continue;
        rows.source.push_back(e);
      }
      rows.row.push_back(static_cast<uint32_t>(row));
    }
    const size_t entries = rows.row.size() - rows.start.back();
    if (entries == 0 || entries > length) {
      return absl::InvalidArgumentError(absl::StrCat(
          kLayer, ": row ", row, " has ", entries,
          " allowed entries; the plan has 1 to ", length, " of them"));
    }
    longest = std::max(longest, entries);
    shortest = std::min(shortest, entries);
    rows.start.push_back(rows.row.size());
  }
  if (longest == shortest) rows.equal_length = longest;
  if (rows.source.size() == size) rows.source.clear();
  return rows;
}

// The allowed entries as a vector, and back, with zeros elsewhere.
Wire Gather(Evaluator& ev, const Wire& x, const Rows& rows) {
  if (rows.source.empty()) return Reshape(ev, x, {x.size()});
  return MapLinear(
      ev, kLayer, x, {rows.entries()}, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] = in[rows.source[i]];
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        device.GatherRows(in, 1, rows.source, out);
      });
}

Wire Scatter(Evaluator& ev, const Wire& x, const Rows& rows,
             const Shape& shape) {
  if (rows.source.empty()) return Reshape(ev, x, shape);
  return MapLinear(
      ev, kLayer, x, shape, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        std::fill(out.begin(), out.end(), 0);
        for (size_t i = 0; i < in.size(); ++i) {
          out[rows.source[i]] = in[i];
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        device.Scatter(in, rows.source, out);
      });
}

// [entries] to [rows].
Share SumRows(Evaluator& ev, const Share& x, const Rows& rows) {
  return MapLinear(
      ev, kLayer, x, {rows.count()}, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] =
              Sum(in.subspan(rows.start[i], rows.start[i + 1] - rows.start[i]));
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        if (rows.equal_length != 0) {
          device.SumLast(in, rows.equal_length, out);
        } else {
          device.SumSegments(in, rows.start, 1, out);
        }
      });
}

// [rows] to [entries].
Wire RepeatRows(Evaluator& ev, const Wire& x, const Rows& rows) {
  return MapLinear(
      ev, kLayer, x, {rows.entries()}, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        for (size_t i = 0; i < out.size(); ++i) {
          out[i] = in[rows.row[i]];
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        if (rows.equal_length != 0) {
          device.RepeatLast(in, rows.equal_length, out);
        } else {
          const std::vector<size_t> from(rows.row.begin(), rows.row.end());
          device.GatherRows(in, 1, from, out);
        }
      });
}

// Only the plain evaluator can see a score beyond its bound.
void CheckScores(Evaluator& ev, const Wire& scores, int64_t bound) {
  if (!ev.is_plain() || !ev.has_data()) return;
  const int64_t limit = bound << scores.frac;
  for (uint64_t word : *scores.hat) {
    const int64_t v = static_cast<int64_t>(word);
    if (v >= -limit && v <= limit) continue;
    return ev.Fail(absl::OutOfRangeError(
        absl::StrCat(kLayer, ": a score lies outside +-", bound,
                     ", the bound that the plan gives it")));
  }
}

bool Check(Evaluator& ev, const Wire& scores, const SoftmaxParams& params) {
  if (scores.shape.empty()) {
    ev.Reject(kLayer, "a scalar has no last axis");
  } else if (scores.frac != params.frac || scores.width < params.score_bits) {
    ev.Reject(kLayer,
              absl::StrCat("scores of ", scores.width, " bits, fraction count ",
                           scores.frac, "; the plan has ", params.score_bits,
                           " bits and ", params.frac));
  }
  return ev.ok();
}

// How many entries of each row fall into each bucket: [rows, buckets].
Share CountBuckets(Evaluator& ev, const Wire& k, const Rows& rows,
                   const SoftmaxParams& params) {
  const size_t buckets = params.buckets;
  if (rows.equal_length != 0) {
    return Histogram(ev, Reshape(ev, k, {rows.count(), rows.equal_length}),
                     buckets, params.count_bits);
  }
  // Rows of different lengths: an entry at a time, then ragged sums; some rows
  // together, since a one-hot vector for every entry of all would be large.
  std::vector<Share> parts;
  for (size_t first = 0; first < rows.count();) {
    size_t last = first + 1;
    const size_t begin = rows.start[first];
    while (last < rows.count() &&
           rows.start[last + 1] - begin <= kHistogramChunk) {
      ++last;
    }
    const size_t entries = rows.start[last] - begin;
    const Share one_hot = Histogram(
        ev, Reshape(ev, SliceLast(ev, k, begin, entries), {entries, 1}),
        buckets, params.count_bits);
    parts.push_back(MapLinear(
        ev, kLayer, one_hot, {last - first, buckets}, 0,
        [&](ConstWordSpan in, WordSpan out) {
          std::fill(out.begin(), out.end(), 0);
          for (size_t i = 0; i < entries; ++i) {
            const size_t row = rows.row[begin + i] - first;
            const WordSpan to = out.subspan(row * buckets, buckets);
            Add(to, in.subspan(i * buckets, buckets), to);
          }
        },
        [&](Accelerator& device, const Words& in, Words& out) {
          std::vector<size_t> start;
          for (size_t row = first; row <= last; ++row) {
            start.push_back(rows.start[row] - begin);
          }
          device.SumSegments(in, start, buckets, out);
        }));
    first = last;
  }
  return Concat(ev, parts);
}

// m for each row, as a wire of score_bits with the scores' fraction count:
// |s_max - m| < 8 but for a small addition.
Wire CoarseMaximum(Evaluator& ev, const Wire& scores, const Rows& rows,
                   const SoftmaxParams& params) {
  const size_t buckets = params.buckets;
  const int shift = params.frac + kBucketLog;
  // k lies in [lowest, -lowest]; a negative one has its bucket above the
  // others, where its low bits say.
  const int64_t lowest = 1 - static_cast<int64_t>(buckets / 2);
  const size_t candidates = buckets - 2;  // lowest + 1, ..., -lowest
  const Wire k = TruncReduceStochastic(ev, scores, shift);
  const Share counts = CountBuckets(ev, k, rows, params);
  // Minus the count of entries in or above each candidate: a count of
  // 2^(count_bits - 1) is a signed value of that ring only as a negative one.
  const Share above = MapLinear(
      ev, kLayer, counts, {rows.count(), candidates}, 0,
      [&](ConstWordSpan in, WordSpan out) {
        for (size_t row = 0; row < rows.count(); ++row) {
          uint64_t sum = 0;
          for (size_t c = candidates; c-- > 0;) {
            const size_t v =
                static_cast<size_t>(lowest + 1 + static_cast<int64_t>(c));
            sum -= in[row * buckets + (v & (buckets - 1))];
            out[row * candidates + c] = sum;
          }
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        std::vector<int64_t> minus_above(candidates * buckets, 0);
        for (size_t c = 0; c < candidates; ++c) {
          for (size_t other = c; other < candidates; ++other) {
            const size_t v =
                static_cast<size_t>(lowest + 1 + static_cast<int64_t>(other));
            minus_above[c * buckets + (v & (buckets - 1))] = -1;
          }
        }
        device.MapRows(in, buckets, minus_above, out);
      });
  const BitShare none = IsZero(ev, ev.Open(above), params.count_bits);
  const Share index =
      SumLast(ev, BitToShare(ev, Not(ev, none), params.score_bits - shift));
  Share maximum = Rescale(ev, index, shift);
  maximum.frac = params.frac;  // an index counts 8 units
  // Weights stay below 2^8 in spite of Exp2's rounding, which is relative and
  // below 1.5 * 2^-precision.
  const int64_t headroom = int64_t{1} << (params.frac - params.precision + 2);
  maximum = AddPublic(ev, maximum, (lowest << shift) + headroom);
  return ev.Open(maximum);
}

// 2^(s - m), truncated: [entries], nonnegative, weight_bits.
Wire Weights(Evaluator& ev, const Wire& scores, const Rows& rows,
             const SoftmaxParams& params) {
  const Wire s = Narrow(ev, Gather(ev, scores, rows), params.score_bits);
  CheckScores(ev, s, params.score_bound);
  const Wire m = CoarseMaximum(ev, s, rows, params);
  const Wire d = Sub(ev, s, RepeatRows(ev, m, rows));
  const Wire weights = ev.Open(Exp2(ev, d, params.exp2));
  return TruncReduce(ev, weights, params.exp2.out_frac() - params.weight_frac);
}

// 1 / sums over Z_{2^width}. Two rounds, the second when the result is read.
Wire Invert(Evaluator& ev, const Wire& sums, const SoftmaxParams& params,
            int width) {
  return ev.Open(Segmented(ev, sums, params.reciprocal, width));
}

}  // namespace

absl::StatusOr<SoftmaxParams> PlanSoftmax(size_t length, int64_t score_bound,
                                          int precision) {
  if (length < 1 || length > kMaxLength || score_bound < 1 ||
      score_bound > (int64_t{1} << 15) || precision < 4 || precision > 13) {
    return absl::InvalidArgumentError(
        absl::StrCat(kLayer, ": length ", length, ", score bound ", score_bound,
                     ", precision ", precision));
  }
  SoftmaxParams p;
  const int length_log = CeilLog2(length);
  p.length = length;
  p.frac = 12;
  p.score_bound = score_bound;
  p.precision = precision;
  const int64_t half = (score_bound + 7) >> kBucketLog;  // k in [-half, half]
  p.buckets = std::bit_ceil(static_cast<size_t>(2 * half + 1));
  p.count_bits = length_log + 1;
  // s - m reaches down to twice the bound, as rounded up to buckets.
  const int integer_bits =
      std::bit_width(static_cast<uint64_t>((2 * half << kBucketLog) + 8)) + 1;
  p.score_bits = p.frac + integer_bits;

  p.exp2.domain_bits = integer_bits;
  p.exp2.max_exponent = kWeightOctaves - 1;
  // Weights below 2^min are zero. A row's sum loses less than length * 2^min,
  // 2^-(precision + 6) of it beside a largest weight of 1 and 2^-(precision -
  // 2) beside the least that a largest weight can be.
  p.exp2.min_exponent = -(precision + 6 + std::max(7, length_log));
  p.exp2.mask_bits = precision;
  p.exp2.public_bits = precision;
  // The sum's rounding errors grow with the square root of the length; the
  // largest weight may be 2^-8.
  p.weight_frac =
      precision + kWeightOctaves + 4 + std::max(0, length_log - 7) / 2;
  p.weight_bits = p.exp2.width() - (p.exp2.out_frac() - p.weight_frac);
  p.sum_bits = p.weight_frac + kWeightOctaves + length_log + 1;
  p.product_frac = precision + kWeightOctaves + 1;
  p.inverse_frac = precision + kWeightOctaves + 1;
  p.probability_frac = std::clamp(precision + 2, 12, 14);
  p.probability_bits = p.probability_frac + 2;
  if (p.exp2.width() > kMaxWidth || p.sum_bits > kMaxWidth ||
      p.product_bits() > kMaxWidth) {
    return absl::InvalidArgumentError(absl::StrCat(
        kLayer, ": length ", length, " and precision ", precision,
        " need rings of ", std::max(p.exp2.width(), p.product_bits()),
        " bits; ask for less precision"));
  }
  PowerTableSpec spec{};
  spec.frac = p.weight_frac;
  spec.lo = -kWeightOctaves - 1;
  spec.hi = kWeightOctaves + length_log;
  spec.out_frac = p.inverse_frac;
  spec.index_bits = precision + 1;
  ASSIGN_OR_RETURN(p.reciprocal, ReciprocalTable(spec));
  return p;
}

Wire ToLog2Units(Evaluator& ev, const Wire& x, double scale, int frac) {
  constexpr int kFactorFrac = 14;
  if (frac < 0 || frac > x.frac + kFactorFrac) {
    ev.Reject(kLayer, absl::StrCat("fraction count ", frac, " from ", x.frac));
    return x;
  }
  const int64_t factor =
      std::llround(std::ldexp(scale * std::numbers::log2e, kFactorFrac));
  return TruncReduce(ev, MulPublic(ev, x, factor, kFactorFrac),
                     x.frac + kFactorFrac - frac);
}

std::vector<uint8_t> CausalMask(size_t queries, size_t keys, size_t offset) {
  std::vector<uint8_t> allowed(queries * keys);
  for (size_t i = 0; i < queries; ++i) {
    for (size_t j = 0; j < keys; ++j) allowed[i * keys + j] = j <= offset + i;
  }
  return allowed;
}

std::vector<uint8_t> PrefixMask(std::span<const size_t> lengths, size_t keys) {
  std::vector<uint8_t> allowed(lengths.size() * keys);
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (size_t j = 0; j < keys; ++j) allowed[i * keys + j] = j < lengths[i];
  }
  return allowed;
}

Wire Softmax(Evaluator& ev, const Wire& scores, const SoftmaxParams& params,
             std::span<const uint8_t> allowed) {
  Wire out{scores.shape, params.probability_bits, params.probability_frac};
  if (!Check(ev, scores, params)) return out;
  if (scores.size() == 0) {
    return Constant(ev, out.shape, out.width, out.frac, {});
  }
  absl::StatusOr<Rows> found = FindRows(scores.shape, allowed, params.length);
  if (!found.ok()) {
    ev.Fail(found.status());
    return out;
  }
  const Rows& rows = *found;
  const int width = params.product_bits();
  const Wire weights = Weights(ev, scores, rows, params);
  const Share wide =
      ExtendRange(ev, weights, Range::kNonNegative, params.sum_bits);
  const Wire sums = ev.Open(SumRows(ev, wide, rows));
  const Wire inverse = Invert(ev, sums, params, width);
  // For the product fewer fraction bits do than for the sum.
  const Wire narrow =
      TruncReduce(ev, weights, params.weight_frac - params.product_frac);
  const Share product =
      MulExtend(ev, narrow, inverse, Range::kNonNegative, width, rows.row);
  const Wire probabilities =
      TruncReduce(ev, ev.Open(product), product.frac - params.probability_frac);
  return Scatter(ev, probabilities, rows, scores.shape);
}

AttentionWeights SoftmaxWeights(
    Evaluator& ev, const Wire& scores, const SoftmaxParams& params, int width,
    int inverse_width, absl::FunctionRef<void(const Wire& weights)> meanwhile,
    std::span<const uint8_t> allowed) {
  AttentionWeights out;
  out.weights = Wire{scores.shape, width, params.weight_frac};
  out.inverse = Wire{scores.shape, inverse_width, params.inverse_frac};
  if (!Check(ev, scores, params)) return out;
  out.inverse.shape.pop_back();
  if (width < params.sum_bits || width > kMaxWidth) {
    ev.Reject(kLayer,
              absl::StrCat("weights of ", width, " bits, where sums of ",
                           params.sum_bits, " must fit"));
    return out;
  }
  if (scores.size() == 0) {
    out.weights = Constant(ev, out.weights.shape, width, out.weights.frac, {});
    meanwhile(out.weights);
    if (out.inverse.size() == 0) {
      out.inverse =
          Constant(ev, out.inverse.shape, inverse_width, out.inverse.frac, {});
    } else {
      ev.Reject(kLayer, "rows without entries");
    }
    return out;
  }
  absl::StatusOr<Rows> found = FindRows(scores.shape, allowed, params.length);
  if (!found.ok()) {
    ev.Fail(found.status());
    return out;
  }
  const Rows& rows = *found;
  const Wire narrow = Weights(ev, scores, rows, params);
  const Share wide = ExtendRange(ev, narrow, Range::kNonNegative, width);
  const Wire weights = ev.Open(wide);
  const Wire sums =
      ev.Open(Narrow(ev, SumRows(ev, wide, rows), params.sum_bits));
  out.weights = Scatter(ev, weights, rows, scores.shape);
  meanwhile(out.weights);
  out.inverse =
      Reshape(ev, Invert(ev, sums, params, inverse_width), out.inverse.shape);
  return out;
}

AttentionWeights SoftmaxWeights(Evaluator& ev, const Wire& scores,
                                const SoftmaxParams& params, int width,
                                int inverse_width,
                                std::span<const uint8_t> allowed) {
  return SoftmaxWeights(
      ev, scores, params, width, inverse_width, [](const Wire&) {}, allowed);
}

}  // namespace tacit
