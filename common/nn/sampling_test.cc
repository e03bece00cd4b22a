#include "common/nn/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

using ::testing::HasSubstr;

// Logits of the given frac, |x| < bound; few of them where ties are wanted.
std::vector<int64_t> Logits(size_t n, int frac, double bound, bool ties,
                            std::mt19937_64& rng) {
  const int64_t limit = static_cast<int64_t>(std::ldexp(bound, frac)) - 1;
  if (ties) return RandomValues(n, 0, 3, rng);
  return RandomValues(n, -limit, limit, rng);
}

// Indices of a row in descending order of values, smaller indices first.
std::vector<size_t> Ranking(const std::vector<int64_t>& x, size_t begin,
                            size_t n) {
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) {
    return x[begin + i] > x[begin + j];
  });
  return order;
}

struct Size {
  size_t batch, n;
  int width, frac;
  double bound;
};
constexpr Size kSizes[] = {
    {1, 1, 20, 12, 32},   {1, 2, 19, 12, 32},   {3, 2, 30, 12, 100},
    {1, 3, 9, 4, 8},      {2, 5, 24, 8, 1000},  {1, 127, 32, 12, 64},
    {2, 128, 40, 12, 64}, {1, 129, 64, 16, 50}, {1, 1000, 28, 12, 127}};

TEST(ArgmaxTest, FindsTheFirstOfTheLargest) {
  std::mt19937_64 rng(1);
  for (const Size& s : kSizes) {
    for (bool ties : {false, true}) {
      SCOPED_TRACE(absl::StrCat(s.batch, " x ", s.n, " ties ", ties));
      const std::vector<int64_t> x =
          Logits(s.batch * s.n, s.frac, s.bound, ties, rng);
      const auto y = RunAndCheck(
          [&](Evaluator& ev) {
            ev.Output(
                Argmax(ev, ev.Input({s.batch, s.n}, s.width, s.frac), s.bound));
          },
          {{x, s.width}});
      ASSERT_EQ(y.size(), 1);
      ASSERT_EQ(y[0].size(), s.batch);
      for (size_t row = 0; row < s.batch; ++row) {
        EXPECT_EQ(y[0][row], Ranking(x, row * s.n, s.n)[0]);
      }
    }
  }
}

TEST(TopKTest, MatchesASort) {
  std::mt19937_64 rng(2);
  for (const Size& s : kSizes) {
    for (size_t k : {1, 2, 5, 50}) {
      if (k > s.n) continue;
      SCOPED_TRACE(absl::StrCat(s.batch, " x ", s.n, " k ", k));
      const std::vector<int64_t> x =
          Logits(s.batch * s.n, s.frac, s.bound, false, rng);
      const auto y = RunAndCheck(
          [&](Evaluator& ev) {
            const TopKResult top =
                TopK(ev, ev.Input({s.batch, s.n}, s.width, s.frac), s.bound, k);
            EXPECT_EQ(top.values.shape, (Shape{s.batch, k}));
            EXPECT_EQ(top.values.frac, s.frac);
            ev.Output(top.values);
            ev.Output(top.indices);
          },
          {{x, s.width}});
      ASSERT_EQ(y.size(), 2);
      for (size_t row = 0; row < s.batch; ++row) {
        const std::vector<size_t> order = Ranking(x, row * s.n, s.n);
        std::set<int64_t> seen;
        for (size_t i = 0; i < k; ++i) {
          const int64_t index = y[1][row * k + i];
          EXPECT_EQ(y[0][row * k + i], x[row * s.n + order[i]]);
          ASSERT_TRUE(index >= 0 && index < s.n);
          EXPECT_EQ(x[row * s.n + index], y[0][row * k + i]);
          EXPECT_TRUE(seen.insert(index).second);
        }
      }
    }
  }
}

TEST(TopKTest, TiesAtTheLastPlaceAreCutButNothingAboveThem) {
  const std::vector<int64_t> x = {4, 9, 4, 7, 4, 4, -3, 4};
  std::set<int64_t> cut;
  for (uint8_t tag = 1; tag < 30; ++tag) {
    const auto y = RunAndCheck(
        [&](Evaluator& ev) {
          const TopKResult top = TopK(ev, ev.Input({8}, 12, 0), 16, 4);
          ev.Output(top.values);
          ev.Output(top.indices);
        },
        {{x, 12}}, {}, tag);
    ASSERT_EQ(y.size(), 2);
    EXPECT_EQ(y[0], (std::vector<int64_t>{9, 7, 4, 4}));
    EXPECT_EQ(y[1][0], 1);
    EXPECT_EQ(y[1][1], 3);
    EXPECT_LT(y[1][2], y[1][3]);
    cut.insert(y[1][2]);
    cut.insert(y[1][3]);
  }
  EXPECT_EQ(cut, (std::set<int64_t>{0, 2, 4, 5, 7}));
}

Program SampleProgram(size_t batch, size_t n, int width, int frac,
                      const SampleParams& params) {
  return [=](Evaluator& ev) {
    const Wire x = ev.Input({batch, n}, width, frac);
    const Wire u = ev.Input({batch}, kUniformWidth, kUniformBits);
    ev.Output(Sample(ev, x, u, params));
  };
}

std::vector<int64_t> Uniform(size_t n, std::mt19937_64& rng) {
  std::vector<int64_t> u(n);
  for (int64_t& v : u) v = rng() >> (64 - kUniformBits);
  return u;
}

// Probabilities by candidate, as Hugging Face's warpers give them.
std::vector<double> Distribution(const std::vector<int64_t>& x, int frac,
                                 const SampleParams& params) {
  const std::vector<size_t> order = Ranking(x, 0, x.size());
  const size_t k =
      params.top_k == 0 ? x.size() : std::min(params.top_k, x.size());
  std::vector<double> p(x.size(), 0);
  double total = 0;
  for (size_t i = 0; i < k; ++i) {
    p[order[i]] =
        std::exp(std::ldexp(double(x[order[i]] - x[order[0]]), -frac) /
                 params.temperature);
    total += p[order[i]];
  }
  double before = 0, kept = 0;
  for (size_t i = 0; i < k; ++i) {
    const double mine = p[order[i]];
    if (before >= params.top_p * total) p[order[i]] = 0;
    kept += p[order[i]];
    before += mine;
  }
  for (double& v : p) v /= kept;
  return p;
}

TEST(SampleTest, SecureEqualsPlainAtEverySize) {
  std::mt19937_64 rng(3);
  for (const Size& s : kSizes) {
    for (const SampleParams& params :
         {SampleParams{.temperature = 1},
          SampleParams{.temperature = 0.7, .top_k = 5},
          SampleParams{.temperature = 1.5, .top_k = 20, .top_p = 0.9},
          SampleParams{.temperature = 0}}) {
      SCOPED_TRACE(absl::StrCat(s.batch, " x ", s.n, " k ", params.top_k));
      SampleParams p = params;
      p.bound = s.bound;
      const std::vector<int64_t> x =
          Logits(s.batch * s.n, s.frac, s.bound, false, rng);
      const auto y =
          RunAndCheck(SampleProgram(s.batch, s.n, s.width, s.frac, p),
                      {{x, s.width}, {Uniform(s.batch, rng), kUniformWidth}});
      ASSERT_EQ(y.size(), 1);
      for (int64_t token : y[0]) EXPECT_TRUE(token >= 0 && token < s.n);
    }
  }
}

TEST(SampleTest, FaithfulRoundingIsBitExactToo) {
  std::mt19937_64 rng(6);
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  for (size_t k : {0, 7}) {
    const SampleParams params{.bound = 16, .temperature = 0.9, .top_k = k};
    RunAndCheck(SampleProgram(2, 40, 32, 12, params),
                {{Logits(80, 12, 16, false, rng), 32},
                 {Uniform(2, rng), kUniformWidth}},
                options);
  }
}

TEST(SampleTest, VectorOfLogitsGivesAScalar) {
  std::mt19937_64 rng(4);
  for (size_t k : {0, 3}) {
    const auto y = RunAndCheck(
        [&](Evaluator& ev) {
          const Wire x = ev.Input({10}, 30, 12);
          const Wire u = ev.Input({}, kUniformWidth, kUniformBits);
          const Share token = Sample(ev, x, u, {.bound = 8, .top_k = k});
          EXPECT_TRUE(token.shape.empty());
          ev.Output(token);
        },
        {{Logits(10, 12, 8, false, rng), 30},
         {Uniform(1, rng), kUniformWidth}});
    ASSERT_EQ(y.size(), 1);
    EXPECT_EQ(y[0].size(), 1);
  }
}

// The empirical distribution of many draws against the wanted one: chi-squared
// over the candidates, and nothing that was to be cut.
TEST(SampleTest, DrawsFromTheWantedDistribution) {
  constexpr size_t kDraws = 20000, kCandidates = 12;
  std::mt19937_64 rng(5);
  std::vector<int64_t> row(kCandidates);
  for (size_t i = 0; i < kCandidates; ++i) row[i] = (i * 5 % 12) * 1200 - 6000;
  for (const SampleParams& params :
       {SampleParams{.bound = 4, .temperature = 1},
        SampleParams{.bound = 4, .temperature = 0.5},
        SampleParams{.bound = 4, .temperature = 2, .top_k = 6},
        SampleParams{.bound = 4, .temperature = 1, .top_k = 8, .top_p = 0.85},
        SampleParams{.bound = 4, .temperature = 3, .top_p = 0.5}}) {
    SCOPED_TRACE(absl::StrCat("temperature ", params.temperature, " top_k ",
                              params.top_k, " top_p ", params.top_p));
    std::vector<int64_t> x;
    for (size_t i = 0; i < kDraws; ++i)
      x.insert(x.end(), row.begin(), row.end());
    const auto y = RunPlain({}, TestSeeds(),
                            SampleProgram(kDraws, kCandidates, 24, 12, params),
                            {{x, 24}, {Uniform(kDraws, rng), kUniformWidth}});
    ASSERT_OK(y);
    std::vector<double> count(kCandidates, 0);
    for (int64_t token : (*y)[0]) ++count[token];
    const std::vector<double> p = Distribution(row, 12, params);
    double chi = 0;
    int freedom = -1;
    for (size_t i = 0; i < kCandidates; ++i) {
      if (p[i] == 0) {
        EXPECT_EQ(count[i], 0) << i;
        continue;
      }
      ++freedom;
      chi += (count[i] - kDraws * p[i]) * (count[i] - kDraws * p[i]) /
             (kDraws * p[i]);
    }
    // Beyond the 99.99th percentile of the distribution.
    EXPECT_LT(chi, freedom + 6 * std::sqrt(2.0 * freedom) + 4);
  }
}

TEST(SampleTest, InvertsTheDistributionFunction) {
  // Sorted, e is about (4/7, 2/7, 1/7) for indices 2, 0, 1.
  const std::vector<int64_t> row = {0, -2839, 2839};  // ln 2 apart
  const SampleParams params{.bound = 8, .top_k = 3};
  auto token = [&](double u) {
    const auto y = RunAndCheck(
        SampleProgram(1, 3, 24, 12, params),
        {{row, 24},
         {{static_cast<int64_t>(std::ldexp(u, kUniformBits))}, kUniformWidth}});
    return y.empty() ? -1 : y[0][0];
  };
  EXPECT_EQ(token(0), 2);
  EXPECT_EQ(token(0.57), 2);
  EXPECT_EQ(token(0.573), 0);
  EXPECT_EQ(token(0.856), 0);
  EXPECT_EQ(token(0.859), 1);
  EXPECT_EQ(token(0.9999999), 1);
}

TEST(SampleTest, CostAtAVocabulary) {
  constexpr size_t kVocabulary = 32000;
  auto report = [&](const char* name, const Program& program) {
    const auto cost = DeclaredCost(program);
    EXPECT_OK(cost);
    if (!cost.ok()) return Cost{};
    std::printf("%s: %d rounds, opened %.2f MB, material %.1f, %.1f MB\n", name,
                static_cast<int>(cost->rounds), cost->opened_bytes[0] / 1e6,
                cost->material_bytes[0] / 1e6, cost->material_bytes[1] / 1e6);
    return *cost;
  };
  const Cost argmax = report("argmax", [](Evaluator& ev) {
    Argmax(ev, ev.Input({kVocabulary}, 32, 12), 64);
  });
  EXPECT_LE(argmax.rounds, 30);
  EXPECT_LE(argmax.material_bytes[1], 10e6);
  const Cost top = report("top 50", [](Evaluator& ev) {
    TopK(ev, ev.Input({kVocabulary}, 32, 12), 64, 50);
  });
  EXPECT_LE(top.rounds, 22);
  EXPECT_LE(top.material_bytes[1], 46e6);
  const Cost sample = report("sample, top 50, 0.9", [](Evaluator& ev) {
    Sample(ev, ev.Input({kVocabulary}, 32, 12),
           ev.Input({}, kUniformWidth, kUniformBits),
           {.bound = 64, .temperature = 0.8, .top_k = 50, .top_p = 0.9});
  });
  EXPECT_LE(sample.rounds, 30);
  EXPECT_LE(sample.material_bytes[1], 46e6);
  report("sample of all", [](Evaluator& ev) {
    Sample(ev, ev.Input({kVocabulary}, 32, 12),
           ev.Input({}, kUniformWidth, kUniformBits), {.bound = 64});
  });
}

TEST(SamplingTest, LogitOutsideItsDomainIsOutOfRange) {
  auto expect_out_of_range = [](const Program& program) {
    const absl::Status status =
        StatusOfPlain(program, {{{1, 2, 60 << 12}, 32}, {{0}, kUniformWidth}});
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  };
  expect_out_of_range(
      [](Evaluator& ev) { Argmax(ev, ev.Input({3}, 32, 12), 8); });
  expect_out_of_range(
      [](Evaluator& ev) { TopK(ev, ev.Input({3}, 32, 12), 8, 2); });
  expect_out_of_range([](Evaluator& ev) {
    const Wire x = ev.Input({3}, 32, 12);
    Sample(ev, x, ev.Input({}, kUniformWidth, kUniformBits), {.bound = 8});
  });
}

TEST(SamplingTest, RejectsParametersThatDoNotFit) {
  auto expect_invalid = [](const char* layer, const Program& program) {
    const absl::Status status = DeclaredCost(program).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(layer));
  };
  auto argmax = [&](const Shape& shape, int width, double bound) {
    expect_invalid("Argmax", [&](Evaluator& ev) {
      Argmax(ev, ev.Input(shape, width, 12), bound);
    });
  };
  argmax({}, 32, 8);
  argmax({0}, 32, 8);
  argmax({2, 3, 4}, 32, 8);
  argmax({4}, 16, 8);
  argmax({4}, 32, 0);
  argmax({4}, 32, NAN);
  auto top_k = [&](size_t n, size_t k, int width) {
    expect_invalid("TopK", [&](Evaluator& ev) {
      TopK(ev, ev.Input({n}, 32, 12), 8, k, width);
    });
  };
  top_k(4, 0, 0);
  top_k(4, 5, 0);
  top_k(4000, 2000, 0);
  top_k(4, 2, 65);
  auto sample = [&](const SampleParams& params, int u_width = kUniformWidth) {
    expect_invalid("Sample", [&](Evaluator& ev) {
      const Wire x = ev.Input({4000}, 32, 12);
      Sample(ev, x, ev.Input({}, u_width, kUniformBits), params);
    });
  };
  sample({.bound = 0});
  sample({.bound = 8, .temperature = -1});
  sample({.bound = 8, .temperature = NAN});
  sample({.bound = 8, .temperature = 1e-5});
  sample({.bound = 8, .top_k = 2000});
  sample({.bound = 8, .top_p = 0.5});
  sample({.bound = 8, .top_k = 5, .top_p = 0});
  sample({.bound = 8, .top_k = 5, .top_p = 1.5});
  sample({.bound = 8, .top_k = 5}, 32);
}

}  // namespace
}  // namespace tacit
