#include "common/models/attention.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/base/bits.h"
#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/mul_extend.h"
#include "common/gates/trunc_reduce.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

// Fraction bits of weights times values before the inverse: the sum of weights
// may be as small as 2^-8, which leaves kFrac.
constexpr int kValueFrac = kFrac + 8;
// Queries of a causal segment: a triangle of that side is wasted for each.
constexpr size_t kSegmentQueries = 32;

absl::Status CheckRing(absl::string_view name, int bits) {
  if (bits <= kMaxWidth) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("attention: ", name, " need a ring of ", bits,
                   " bits: calibrate with less margin or a shorter context"));
}

// Rows of [tokens * heads, d] in the order [head, token] for tokens [begin,
// end): the queries that share keys and values lie together.
std::vector<size_t> HeadsFirst(size_t begin, size_t end, size_t heads) {
  std::vector<size_t> rows;
  rows.reserve((end - begin) * heads);
  for (size_t h = 0; h < heads; ++h) {
    for (size_t t = begin; t < end; ++t) rows.push_back(t * heads + h);
  }
  return rows;
}

// [positions, heads * d] to [heads, end - begin, d].
Wire SplitHeads(Evaluator& ev, const Wire& x, size_t begin, size_t end,
                size_t heads) {
  const size_t positions = x.shape[0], d = x.shape[1] / heads;
  const std::vector<size_t> rows = HeadsFirst(begin, end, heads);
  return Reshape(ev,
                 GatherRows(ev, Reshape(ev, x, {positions * heads, d}), rows),
                 {heads, end - begin, d});
}

// Rows of `from` columns with zeros behind them up to `to`.
Wire PadLast(Evaluator& ev, const Wire& x, size_t from, size_t to) {
  const size_t rows = x.size() / from;
  if (from == to) return Reshape(ev, x, {rows, to});
  return MapLinear(
      ev, "Attention", x, {rows, to}, x.frac,
      [&](ConstWordSpan in, WordSpan out) {
        std::fill(out.begin(), out.end(), 0);
        for (size_t r = 0; r < rows; ++r) {
          std::copy_n(in.begin() + r * from, from, out.begin() + r * to);
        }
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        device.PlaceColumns(in, from, 0, 0, from, to, out);
      });
}

// Which scores take part: rows as SplitHeads orders them, `keys` columns.
void AppendMask(const AttentionSegment& s, size_t heads, size_t keys,
                std::vector<uint8_t>& mask) {
  const size_t columns = s.key_end - s.key_begin;
  for (size_t h = 0; h < heads; ++h) {
    for (size_t i = 0; i < s.query_end - s.query_begin; ++i) {
      const size_t end = s.first_visible
                             ? std::min(*s.first_visible + i + 1, columns)
                             : columns;
      const size_t begin = s.window && end > *s.window ? end - *s.window : 0;
      const size_t start = mask.size();
      mask.resize(start + keys, 0);
      std::fill(mask.begin() + start + begin, mask.begin() + start + end, 1);
    }
  }
}

// The one part itself, without a copy.
Wire Join(Evaluator& ev, const std::vector<Wire>& parts) {
  return parts.size() == 1 ? parts[0] : Concat(ev, parts);
}

class Attention {
 public:
  Attention(Evaluator& ev, const AttentionPlan& plan,
            const std::vector<AttentionSegment>& segments, SequenceWire keys,
            SequenceWire values)
      : ev_(ev),
        plan_(plan),
        segments_(segments),
        keys_of_(keys),
        values_of_(values) {
    for (const AttentionSegment& s : segments_) {
      keys_ = std::max(keys_, s.key_end - s.key_begin);
    }
  }

  Wire Run(const Wire& queries) {
    const Wire scores = Scores(queries);
    std::vector<uint8_t> mask;
    for (const AttentionSegment& s : segments_) {
      AppendMask(s, plan_.shape.heads, keys_, mask);
    }
    // Weights times values are opened together with the reciprocal's table, so
    // they are not read before that has been asked for, either.
    std::vector<Wire> parts;
    const AttentionWeights attention = SoftmaxWeights(
        ev_, scores, plan_.softmax, plan_.value_ring, plan_.output_ring,
        [&](const Wire& weights) { parts = Mix(weights); }, mask);
    if (!ev_.ok()) return Empty(queries);
    const Wire mixed =
        TruncReduce(ev_, Join(ev_, parts), parts[0].frac - kValueFrac);
    const Wire out = ev_.Open(MulExtend(ev_, mixed, attention.inverse,
                                        Range::kSigned, plan_.output_ring));
    return TokensFirst(TruncReduce(ev_, out, out.frac - kFrac), queries);
  }

 private:
  Wire Empty(const Wire& queries) const {
    return Wire{queries.shape, plan_.output_ring, kFrac};
  }

  // [rows, keys_], all segments' opened in one round.
  Wire Scores(const Wire& queries) {
    const HeadShape& shape = plan_.shape;
    const size_t group = shape.heads / shape.kv_heads;
    std::vector<Wire> scores;
    for (const AttentionSegment& s : segments_) {
      const size_t tokens = s.query_end - s.query_begin;
      const Wire q = Reshape(
          ev_,
          SplitHeads(ev_, queries, s.query_begin, s.query_end, shape.heads),
          {shape.kv_heads, group * tokens, shape.head_dim});
      const Wire k = SplitHeads(ev_, keys_of_(s.sequence), s.key_begin,
                                s.key_end, shape.kv_heads);
      scores.push_back(
          ev_.Open(MatMul(ev_, q, k, Layout::kTransposed, plan_.score_ring)));
    }
    for (size_t i = 0; i < scores.size(); ++i) {
      scores[i] = PadLast(ev_, scores[i],
                          segments_[i].key_end - segments_[i].key_begin, keys_);
    }
    return TruncReduce(ev_, Join(ev_, scores), kFrac);
  }

  // Weights times values of each segment: [rows, head_dim], opened.
  std::vector<Wire> Mix(const Wire& weights) {
    const HeadShape& shape = plan_.shape;
    std::vector<Wire> mixed;
    size_t first = 0;
    for (const AttentionSegment& s : segments_) {
      const size_t keys = s.key_end - s.key_begin;
      const size_t rows = (s.query_end - s.query_begin) * shape.heads;
      const Wire w = Reshape(ev_, Corner(weights, first, rows, keys),
                             {shape.kv_heads, rows / shape.kv_heads, keys});
      const Wire v = SplitHeads(ev_, values_of_(s.sequence), s.key_begin,
                                s.key_end, shape.kv_heads);
      const Wire product =
          ev_.Open(MatMul(ev_, w, v, Layout::kRowMajor, plan_.value_ring));
      mixed.push_back(Reshape(ev_, product, {rows, shape.head_dim}));
      first += rows;
    }
    return mixed;
  }

  // Rows [first, first + rows), columns [0, columns).
  Wire Corner(const Wire& x, size_t first, size_t rows, size_t columns) {
    const Shape shape = {rows, columns};
    if (x.shape == shape) return x;
    return MapLinear(
        ev_, "Attention", x, shape, x.frac,
        [&](ConstWordSpan in, WordSpan out) {
          for (size_t r = 0; r < rows; ++r) {
            std::copy_n(in.begin() + (first + r) * keys_, columns,
                        out.begin() + r * columns);
          }
        },
        [&](Accelerator& device, const Words& in, Words& out) {
          device.PlaceColumns(in, keys_, first, 0, columns, columns, out);
        });
  }

  // Rows as SplitHeads orders them, segment after segment, to [tokens, heads *
  // head_dim].
  Wire TokensFirst(const Wire& x, const Wire& queries) {
    const size_t heads = plan_.shape.heads;
    std::vector<size_t> rows(x.shape[0]);
    size_t from = 0;
    for (const AttentionSegment& s : segments_) {
      for (size_t row : HeadsFirst(s.query_begin, s.query_end, heads)) {
        rows[row] = from++;
      }
    }
    return Reshape(ev_, GatherRows(ev_, x, rows), queries.shape);
  }

  Evaluator& ev_;
  const AttentionPlan& plan_;
  const std::vector<AttentionSegment>& segments_;
  SequenceWire keys_of_, values_of_;
  size_t keys_ = 0;  // of the longest segment
};

}  // namespace

absl::StatusOr<AttentionPlan> PlanAttention(const HeadShape& shape, size_t keys,
                                            int64_t score_bound, int value_log,
                                            int output_log, int output_width) {
  AttentionPlan p;
  p.shape = shape;
  // Weights to about 2^-precision; coarser ones where the ring is full.
  constexpr int kPrecision = 11, kLeastPrecision = 9;
  for (int precision = kPrecision; precision >= kLeastPrecision; --precision) {
    ASSIGN_OR_RETURN(p.softmax, PlanSoftmax(keys, score_bound, precision));
    // |weights * values| < keys 2^8 2^log, in Extend's range.
    p.value_ring =
        p.softmax.weight_frac + kFrac + CeilLog2(keys) + 8 + value_log + 2;
    if (p.value_ring <= kMaxWidth) break;
  }
  p.score_ring = p.softmax.score_bits + kFrac;
  p.value_ring = std::max(p.value_ring, p.softmax.sum_bits);
  const int frac = kValueFrac + p.softmax.inverse_frac;
  p.output_ring = std::max(frac + output_log + 1, frac - kFrac + output_width);
  RETURN_IF_ERROR(CheckRing("scores", p.score_ring));
  RETURN_IF_ERROR(CheckRing("weights times values", p.value_ring));
  RETURN_IF_ERROR(CheckRing("normalised results", p.output_ring));
  return p;
}

void AppendCausalSegments(size_t sequence, size_t query_begin, size_t queries,
                          size_t keys, std::optional<size_t> window,
                          std::vector<AttentionSegment>& segments) {
  const size_t before = keys - queries;
  for (size_t first = 0; first < queries; first += kSegmentQueries) {
    const size_t last = std::min(first + kSegmentQueries, queries);
    // The first query's own position, and the first that it sees.
    const size_t position = before + first;
    const size_t begin =
        window && position + 1 > *window ? position + 1 - *window : 0;
    segments.push_back({sequence, query_begin + first, query_begin + last,
                        begin, before + last, position - begin, window});
  }
}

Wire Attend(Evaluator& ev, const AttentionPlan& plan, const Wire& queries,
            const std::vector<AttentionSegment>& segments, SequenceWire keys,
            SequenceWire values) {
  const HeadShape& shape = plan.shape;
  if (segments.empty() || queries.shape.size() != 2 ||
      segments.back().query_end != queries.shape[0] ||
      queries.shape[1] != shape.heads * shape.head_dim) {
    ev.Reject("Attention", absl::StrCat("queries ", ToString(queries.shape),
                                        " in ", segments.size(), " segments"));
    return Wire{queries.shape, plan.output_ring, kFrac};
  }
  return Attention(ev, plan, segments, keys, values).Run(queries);
}

}  // namespace tacit
