#include "common/models/attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

using Values = std::vector<int64_t>;
using Segments = std::vector<AttentionSegment>;

// ---- Plans ----

TEST(AttentionPlanTest, RingsHoldWhatTheBoundsSay) {
  for (size_t keys : {1, 2, 127, 128, 129, 4096, 8192}) {
    for (int64_t score : {8, 160, 2000}) {
      const auto p = PlanAttention({4, 2, 8}, keys, score, 4, 4, 30);
      ASSERT_OK(p);
      EXPECT_EQ(p->softmax.length, keys);
      // Scores with 2 kFrac fraction bits.
      EXPECT_GE(std::ldexp(1.0, p->score_ring - 1), std::ldexp(score, 24));
      // Every weight 2^8, every value 2^4, and a bit that Extend needs.
      EXPECT_GE(p->value_ring, 12 + p->softmax.weight_frac + 2 + 12 +
                                   std::ceil(std::log2(keys)));
      EXPECT_LE(p->value_ring, 64);
    }
  }
}

TEST(AttentionPlanTest, ManyKeysTakePrecisionRatherThanNoPlan) {
  const auto few = PlanAttention({4, 2, 8}, 4096, 160, 4, 4, 30);
  const auto many = PlanAttention({4, 2, 8}, 8192, 160, 4, 4, 30);
  ASSERT_OK(few);
  ASSERT_OK(many);
  EXPECT_EQ(few->softmax.precision, 11);
  EXPECT_EQ(many->softmax.precision, 10);
  EXPECT_EQ(many->value_ring, 64);
}

TEST(AttentionPlanTest, NamesTheRingThatIsTooWide) {
  const HeadShape shape = {4, 2, 8};
  EXPECT_THAT(PlanAttention(shape, 128, 100, 30, 4, 30).status(),
              StatusIs(kInvalid, "weights times values need a ring of "));
  EXPECT_THAT(PlanAttention(shape, 128, 100, 4, 40, 30).status(),
              StatusIs(kInvalid, "normalised results need a ring of "));
  EXPECT_THAT(PlanAttention(shape, 128, 100, 4, 4, 60).status(),
              StatusIs(kInvalid, "normalised results"));
}

TEST(AttentionPlanTest, RejectsWhatSoftmaxDoes) {
  const HeadShape shape = {4, 2, 8};
  for (size_t keys : {size_t{0}, (size_t{1} << 20) + 1}) {
    EXPECT_THAT(PlanAttention(shape, keys, 100, 4, 4, 30).status(),
                StatusIs(kInvalid, "length"));
  }
  for (int64_t score : {-1, 0, (1 << 15) + 1}) {
    EXPECT_THAT(PlanAttention(shape, 128, score, 4, 4, 30).status(),
                StatusIs(kInvalid, "score bound"));
  }
}

// ---- Segments ----

using Pair = std::pair<size_t, size_t>;  // a query's row, a key

// What a segment's description in the header allows.
std::set<Pair> PairsOf(const AttentionSegment& s) {
  std::set<Pair> pairs;
  for (size_t q = s.query_begin; q < s.query_end; ++q) {
    size_t end = s.key_end;
    if (s.first_visible) {
      end = s.key_begin + *s.first_visible + (q - s.query_begin) + 1;
      EXPECT_LE(end, s.key_end);
    }
    size_t begin = s.key_begin;
    if (s.window && end - begin > *s.window) begin = end - *s.window;
    for (size_t k = begin; k < end; ++k) pairs.insert({q, k});
  }
  return pairs;
}

// Query i stands at position before + i and sees `window` positions up to its
// own.
std::set<Pair> CausalPairs(size_t query_begin, size_t queries, size_t keys,
                           std::optional<size_t> window) {
  std::set<Pair> pairs;
  for (size_t i = 0; i < queries; ++i) {
    const size_t position = keys - queries + i;
    for (size_t k = 0; k <= position; ++k) {
      if (!window || k + *window > position) pairs.insert({query_begin + i, k});
    }
  }
  return pairs;
}

constexpr size_t kSizes[] = {1, 2, 31, 32, 33, 64, 100};
const std::optional<size_t> kWindows[] = {std::nullopt, 1, 2, 7, 32, 33, 1000};

TEST(SegmentsTest, CoverTheCausalPairsOnceAndInOrder) {
  for (size_t queries : kSizes) {
    for (size_t before : {0, 1, 31, 50}) {
      for (const std::optional<size_t>& window : kWindows) {
        Segments segments;
        AppendCausalSegments(3, 10, queries, before + queries, window,
                             segments);
        std::set<Pair> pairs;
        size_t next = 10, count = 0;
        for (const AttentionSegment& s : segments) {
          EXPECT_EQ(s.sequence, 3u);
          EXPECT_EQ(s.query_begin, next);
          EXPECT_LT(s.query_begin, s.query_end);
          EXPECT_LE(s.key_end, before + queries);
          next = s.query_end;
          const std::set<Pair> some = PairsOf(s);
          count += some.size();
          pairs.insert(some.begin(), some.end());
        }
        EXPECT_EQ(next, 10 + queries);
        EXPECT_EQ(count, pairs.size());
        EXPECT_EQ(pairs, CausalPairs(10, queries, before + queries, window))
            << queries << " after " << before << ", window "
            << window.value_or(0);
      }
    }
  }
}

// Of 32 queries at most 31 keys are computed that one of them may not see, on
// either side.
TEST(SegmentsTest, ComputeLittleElse) {
  for (size_t queries : kSizes) {
    for (const std::optional<size_t>& window : kWindows) {
      Segments segments;
      AppendCausalSegments(0, 0, queries, 50 + queries, window, segments);
      size_t computed = 0;
      for (const AttentionSegment& s : segments) {
        computed += (s.query_end - s.query_begin) * (s.key_end - s.key_begin);
      }
      const size_t needed =
          CausalPairs(0, queries, 50 + queries, window).size();
      EXPECT_LE(computed, needed + queries * (window ? 31 : 16));
    }
  }
}

TEST(SegmentsTest, AreAppended) {
  Segments segments;
  AppendCausalSegments(0, 0, 40, 40, std::nullopt, segments);
  const size_t before = segments.size();
  AppendCausalSegments(1, 40, 1, 7, std::nullopt, segments);
  ASSERT_EQ(segments.size(), before + 1);
  EXPECT_EQ(segments.back().sequence, 1u);
  EXPECT_EQ(segments.back().query_begin, 40u);
  EXPECT_EQ(segments.back().key_end, 7u);
}

// ---- Attention ----

// A sequence's keys, and the queries that are asked of them.
struct Sequence {
  size_t queries, keys;
};

struct Case {
  HeadShape shape;
  std::vector<Sequence> sequences;
  Segments segments;
  size_t keys = 0;  // of the longest
};

Case CausalCase(const HeadShape& shape, const std::vector<Sequence>& sequences,
                std::optional<size_t> window = std::nullopt) {
  Case c{shape, sequences, {}};
  size_t row = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const auto& [queries, keys] = sequences[s];
    AppendCausalSegments(s, row, queries, keys, window, c.segments);
    row += queries;
    c.keys = std::max(c.keys, keys);
  }
  return c;
}

// Every query sees all of its sequence's keys, as in an encoder.
Case OpenCase(const HeadShape& shape, const std::vector<Sequence>& sequences) {
  Case c{shape, sequences, {}};
  size_t row = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const auto& [queries, keys] = sequences[s];
    c.segments.push_back(
        {s, row, row + queries, 0, keys, std::nullopt, std::nullopt});
    row += queries;
    c.keys = std::max(c.keys, keys);
  }
  return c;
}

// Queries, then each sequence's keys and values, in units of 2^-kFrac.
struct Data {
  Values queries;
  std::vector<Values> keys, values;
};

constexpr int kValueLog = 3;
constexpr int64_t kScoreBound = 64;

Data MakeData(const Case& c, uint64_t seed) {
  std::mt19937_64 rng(seed);
  // Scores of deviation 8, cut where they would leave the bound.
  const double deviation = std::sqrt(8 / std::sqrt(c.shape.head_dim));
  const double most = std::sqrt(kScoreBound / double(c.shape.head_dim));
  std::normal_distribution<double> normal(0, deviation);
  std::uniform_real_distribution<double> uniform(-8, 8);
  const auto draw = [&](size_t rows, size_t heads, auto& distribution,
                        double limit) {
    Values values(rows * heads * c.shape.head_dim);
    for (int64_t& v : values) {
      v = std::lround(
          std::ldexp(std::clamp(distribution(rng), -limit, limit), kFrac));
    }
    return values;
  };
  Data data;
  size_t rows = 0;
  for (const Sequence& s : c.sequences) {
    rows += s.queries;
    data.keys.push_back(draw(s.keys, c.shape.kv_heads, normal, most));
    data.values.push_back(draw(s.keys, c.shape.kv_heads, uniform, 7.99));
  }
  data.queries = draw(rows, c.shape.heads, normal, most);
  return data;
}

// Row `row` of head `head` in doubles.
std::vector<double> ReferenceRow(const Case& c, const Data& data,
                                 const AttentionSegment& s, size_t row,
                                 size_t head) {
  const size_t d = c.shape.head_dim, kv = c.shape.kv_heads;
  const size_t kv_head = head / (c.shape.heads / kv);
  std::vector<double> out(d, 0);
  double sum = 0;
  for (const Pair& pair : PairsOf(s)) {
    if (pair.first != row) continue;
    const size_t at = (pair.second * kv + kv_head) * d;
    double score = 0;
    for (size_t i = 0; i < d; ++i) {
      score +=
          std::ldexp(static_cast<double>(
                         data.queries[(row * c.shape.heads + head) * d + i] *
                         data.keys[s.sequence][at + i]),
                     -2 * kFrac);
    }
    const double weight = std::exp2(score);
    sum += weight;
    for (size_t i = 0; i < d; ++i) {
      out[i] += weight *
                std::ldexp(static_cast<double>(data.values[s.sequence][at + i]),
                           -kFrac);
    }
  }
  for (double& v : out) v /= sum;
  return out;
}

double LargestError(const Case& c, const Data& data, const Values& got) {
  const size_t d = c.shape.head_dim;
  double worst = 0;
  for (const AttentionSegment& s : c.segments) {
    for (size_t row = s.query_begin; row < s.query_end; ++row) {
      for (size_t head = 0; head < c.shape.heads; ++head) {
        const std::vector<double> want = ReferenceRow(c, data, s, row, head);
        for (size_t i = 0; i < d; ++i) {
          const double v = std::ldexp(
              static_cast<double>(got[(row * c.shape.heads + head) * d + i]),
              -kFrac);
          worst = std::max(worst, std::abs(v - want[i]));
        }
      }
    }
  }
  return worst;
}

Program AttentionProgram(const Case& c, const AttentionPlan& plan) {
  return [&](Evaluator& ev) {
    size_t rows = 0;
    for (const Sequence& s : c.sequences) rows += s.queries;
    const size_t d = c.shape.head_dim;
    const Wire queries =
        ev.Input({rows, c.shape.heads * d}, plan.score_ring, kFrac);
    std::vector<Wire> keys, values;
    for (const Sequence& s : c.sequences) {
      const Shape shape = {s.keys, c.shape.kv_heads * d};
      keys.push_back(ev.Input(shape, plan.score_ring, kFrac));
      values.push_back(ev.Input(shape, plan.value_ring, kFrac));
    }
    const Wire out = Attend(
        ev, plan, queries, c.segments,
        [&](size_t s) -> const Wire& { return keys[s]; },
        [&](size_t s) -> const Wire& { return values[s]; });
    ev.Output(ToShare(ev, out));
  };
}

std::vector<InputValue> InputsOf(const Data& data, const AttentionPlan& plan) {
  std::vector<InputValue> inputs = {{data.queries, plan.score_ring}};
  for (size_t s = 0; s < data.keys.size(); ++s) {
    inputs.push_back({data.keys[s], plan.score_ring});
    inputs.push_back({data.values[s], plan.value_ring});
  }
  return inputs;
}

// Bit for bit the plain evaluator's, at the declared cost (RunAndCheck); near
// the doubles: values of 8, weights to 2^-11.
void ExpectAttention(const Case& c, const TwoPartyOptions& options = {},
                     size_t planned_keys = 0) {
  const auto plan = PlanAttention(c.shape, std::max(planned_keys, c.keys),
                                  kScoreBound, kValueLog, kValueLog, 30);
  ASSERT_OK(plan);
  const Data data = MakeData(c, 11);
  const auto out =
      RunAndCheck(AttentionProgram(c, *plan), InputsOf(data, *plan), options);
  ASSERT_EQ(out.size(), 1u);
  ASSERT_EQ(out[0].size(), data.queries.size());
  const double coarser = std::ldexp(1.0, 11 - plan->softmax.precision);
  EXPECT_LT(LargestError(c, data, out[0]), 0.01 * coarser);
}

TEST(AttendTest, EqualsPlainAndIsNearDoublesForEveryHeadShape) {
  for (const HeadShape& shape :
       {HeadShape{1, 1, 1}, HeadShape{4, 4, 8}, HeadShape{4, 2, 6},
        HeadShape{6, 1, 4}, HeadShape{8, 4, 16}}) {
    SCOPED_TRACE(testing::Message() << shape.heads << " " << shape.kv_heads
                                    << " " << shape.head_dim);
    ExpectAttention(CausalCase(shape, {{5, 5}}));
    ExpectAttention(CausalCase(shape, {{1, 17}}));
  }
}

TEST(AttendTest, EveryNumberOfQueries) {
  for (size_t queries : {1, 2, 31, 32, 33, 70}) {
    SCOPED_TRACE(queries);
    ExpectAttention(CausalCase({2, 1, 4}, {{queries, queries}}));
    ExpectAttention(CausalCase({2, 1, 4}, {{queries, queries + 9}}));
  }
}

TEST(AttendTest, WindowsHideWhatIsBehindThem) {
  for (size_t window : {1, 2, 7, 40}) {
    SCOPED_TRACE(window);
    ExpectAttention(CausalCase({2, 1, 4}, {{40, 50}}, window));
  }
}

TEST(AttendTest, SequencesOfDifferentLengthsInOneCall) {
  ExpectAttention(CausalCase({4, 2, 6}, {{3, 3}, {1, 20}, {40, 45}, {1, 1}}));
}

TEST(AttendTest, WithoutAFirstVisibleAllKeysAreSeen) {
  ExpectAttention(OpenCase({4, 4, 8}, {{7, 7}}));
  ExpectAttention(OpenCase({4, 2, 6}, {{1, 9}, {12, 12}, {5, 3}}));
}

TEST(AttendTest, CausalAndOpenSegmentsMix) {
  Case c = CausalCase({2, 2, 4}, {{6, 6}, {4, 8}});
  c.segments.back().first_visible.reset();
  ExpectAttention(c);
}

TEST(AttendTest, FaithfulRoundingRunsToo) {
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  ExpectAttention(CausalCase({4, 2, 6}, {{5, 5}, {1, 9}}), options);
}

TEST(AttendTest, PlansForMoreKeysThanThereAreServe) {
  // With a bit less of precision, too.
  ExpectAttention(CausalCase({2, 1, 4}, {{20, 20}}), {}, 512);
  ExpectAttention(CausalCase({2, 1, 4}, {{20, 20}}), {}, 1 << 14);
}

TEST(AttendTest, ValuesMayBeEqualAndScoresAtTheirBound) {
  // One key whose score is the bound, others at minus the bound.
  Case c = CausalCase({1, 1, 1}, {{1, 9}});
  const auto plan = PlanAttention(c.shape, 9, kScoreBound, 3, 3, 30);
  ASSERT_OK(plan);
  Data data{{8 << kFrac}, {Values(9, -(8 << kFrac))}, {Values(9, 1 << kFrac)}};
  data.keys[0][4] = 8 << kFrac;
  data.values[0][4] = -(7 << kFrac);
  for (int64_t query : {8, -8, 0}) {
    data.queries[0] = query * (1 << kFrac);
    const auto out =
        RunAndCheck(AttentionProgram(c, *plan), InputsOf(data, *plan));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_LT(LargestError(c, data, out[0]), 0.01) << query;
  }
}

TEST(AttendTest, TakesTenRoundsForAnyNumberOfSequences) {
  for (const Case& c : {CausalCase({4, 2, 6}, {{1, 1}}),
                        CausalCase({4, 2, 6}, {{50, 60}, {1, 7}, {33, 33}})}) {
    const auto plan = PlanAttention(c.shape, c.keys, kScoreBound, 3, 3, 30);
    ASSERT_OK(plan);
    const auto cost = DeclaredCost(AttentionProgram(c, *plan));
    ASSERT_OK(cost);
    EXPECT_EQ(cost->rounds, 10u);
  }
}

TEST(AttendTest, KeysOutsideTheSegmentsCostNothing) {
  const Case all = CausalCase({4, 2, 6}, {{1, 64}});
  const Case some = CausalCase({4, 2, 6}, {{1, 64}}, 16);
  const auto plan = PlanAttention(all.shape, 64, kScoreBound, 3, 3, 30);
  ASSERT_OK(plan);
  const auto cost_all = DeclaredCost(AttentionProgram(all, *plan));
  const auto cost_some = DeclaredCost(AttentionProgram(some, *plan));
  ASSERT_OK(cost_all);
  ASSERT_OK(cost_some);
  EXPECT_LT(cost_some->material_bytes[1], cost_all->material_bytes[1] / 2);
}

TEST(AttendTest, RejectsQueriesThatTheSegmentsDoNotCover) {
  const Case c = CausalCase({4, 2, 6}, {{5, 5}});
  const auto plan = PlanAttention(c.shape, 5, kScoreBound, 3, 3, 30);
  ASSERT_OK(plan);
  Case fewer = c;
  fewer.segments[0].query_end = 4;
  EXPECT_THAT(DeclaredCost(AttentionProgram(fewer, *plan)).status(),
              StatusIs(kInvalid, "queries [5, 24] in 1 segments"));
  Case none = c;
  none.segments.clear();
  EXPECT_THAT(DeclaredCost(AttentionProgram(none, *plan)).status(),
              StatusIs(kInvalid, "in 0 segments"));
  Case other = c;
  other.shape.heads = 3;
  EXPECT_THAT(DeclaredCost(AttentionProgram(other, *plan)).status(),
              StatusIs(kInvalid, "queries [5, 18]"));
}

}  // namespace
}  // namespace tacit
