#include "common/models/share_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "common/base/status_matchers.h"
#include "common/gates/testing.h"
#include "common/models/decoder.h"
#include "common/models/float_model.h"
#include "common/models/testing.h"

namespace tacit {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// A matrix of `rows` stored rows, entry (r, c) at `value(r, c)`.
template <typename F>
MatrixSpec SpecOf(size_t inputs, size_t outputs, Layout layout, int frac,
                  F value) {
  MatrixSpec spec;
  spec.inputs = inputs;
  spec.outputs = outputs;
  spec.frac = frac;
  spec.layout = layout;
  spec.fill = [value](size_t row, std::span<double> values) {
    for (size_t c = 0; c < values.size(); ++c) values[c] = value(row, c);
  };
  return spec;
}
MatrixSpec SomeSpec(Layout layout = Layout::kRowMajor, double scale = 1) {
  return SpecOf(3, 5, layout, 12, [scale](size_t r, size_t c) {
    return scale * (static_cast<double>(r) - 0.25 * static_cast<double>(c));
  });
}

absl::StatusOr<StaticMatrixShares> Share(const MatrixSpec& spec,
                                         WeightMode mode,
                                         const std::string& name = "w",
                                         uint8_t tag = 1) {
  const auto seeds = WeightSeeds::Derive(TestSeeds(tag).gateway);
  if (!seeds.ok()) return seeds.status();
  return ShareMatrix(spec, name, mode, *seeds);
}

std::vector<int64_t> ToVector(const WordsRef& words) {
  if (words == nullptr) return {};
  return {words->begin(), words->end()};
}
std::vector<int64_t> Sum(const WordsRef& a, const WordsRef& b) {
  std::vector<int64_t> sum(a->size());
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i] = static_cast<int64_t>((*a)[i] + (*b)[i]);
  }
  return sum;
}

// round(value 2^frac) as `spec` stores it.
std::vector<int64_t> Encoded(const MatrixSpec& spec) {
  std::vector<int64_t> out;
  std::vector<double> row(spec.columns());
  for (size_t r = 0; r < spec.rows(); ++r) {
    spec.fill(r, row);
    for (double v : row) out.push_back(std::llround(std::ldexp(v, spec.frac)));
  }
  return out;
}

class ShareMatrixTest
    : public testing::TestWithParam<std::tuple<WeightMode, Layout>> {
 protected:
  WeightMode mode() const { return std::get<0>(GetParam()); }
  Layout layout() const { return std::get<1>(GetParam()); }
};

TEST_P(ShareMatrixTest, PartsAddUpToTheEncodedMatrix) {
  for (const auto& [inputs, outputs] : {std::pair(1, 1), std::pair(3, 5),
                                        std::pair(40, 7), std::pair(1, 300)}) {
    const MatrixSpec spec =
        SpecOf(inputs, outputs, layout(), 9, [](size_t r, size_t c) {
          return std::sin(static_cast<double>(7 * r + c)) * 1000;
        });
    const auto shares = Share(spec, mode());
    ASSERT_OK(shares);
    EXPECT_EQ(Sum(shares->party[0].part, shares->party[1].part), Encoded(spec));
    EXPECT_EQ(ToVector(shares->plain.value), Encoded(spec));
  }
}

// What the table in gates/values.h says.
TEST_P(ShareMatrixTest, RolesHoldWhatTheirsIs) {
  const auto shares = Share(SomeSpec(layout()), mode());
  ASSERT_OK(shares);
  EXPECT_EQ(shares->dealer.part, nullptr);
  EXPECT_EQ(shares->dealer.hat, nullptr);
  for (const StaticMatrix& party : shares->party) {
    EXPECT_EQ(party.value, nullptr);
    EXPECT_EQ(party.hat != nullptr, mode() == WeightMode::kBlind);
  }
  if (mode() == WeightMode::kDealerHeld) {
    EXPECT_EQ(ToVector(shares->dealer.value), ToVector(shares->plain.value));
  } else {
    // W + r_W at both parties; r_W at the dealer, who does not see W.
    EXPECT_EQ(shares->party[0].hat, shares->party[1].hat);
    EXPECT_EQ(Sum(shares->plain.value, shares->dealer.value),
              ToVector(shares->party[0].hat));
  }
}

TEST_P(ShareMatrixTest, KeepsTheSpecsShape) {
  const MatrixSpec spec = SomeSpec(layout());
  const auto shares = Share(spec, mode());
  ASSERT_OK(shares);
  for (const StaticMatrix* m : {&shares->dealer, &shares->party[0],
                                &shares->party[1], &shares->plain}) {
    EXPECT_EQ(m->k, 3u);
    EXPECT_EQ(m->n, 5u);
    EXPECT_EQ(m->frac, 12);
    EXPECT_EQ(m->layout, layout());
    EXPECT_EQ(m->mode, mode());
  }
}

// What party 0 holds of its own, and in blind mode the dealer, comes from the
// streams alone.
TEST_P(ShareMatrixTest, StreamsDoNotDependOnTheWeights) {
  const auto one = Share(SomeSpec(layout(), 1), mode());
  const auto other = Share(SomeSpec(layout(), -3), mode());
  ASSERT_OK(one);
  ASSERT_OK(other);
  EXPECT_EQ(ToVector(one->party[0].part), ToVector(other->party[0].part));
  EXPECT_NE(ToVector(one->party[1].part), ToVector(other->party[1].part));
  if (mode() == WeightMode::kBlind) {
    EXPECT_EQ(ToVector(one->dealer.value), ToVector(other->dealer.value));
  }
}

TEST_P(ShareMatrixTest, NamesAndSeedsHaveStreamsOfTheirOwn) {
  const auto one = Share(SomeSpec(layout()), mode(), "q", 1);
  const auto again = Share(SomeSpec(layout()), mode(), "q", 1);
  const auto name = Share(SomeSpec(layout()), mode(), "k", 1);
  const auto seed = Share(SomeSpec(layout()), mode(), "q", 2);
  ASSERT_OK(one);
  ASSERT_OK(again);
  ASSERT_OK(name);
  ASSERT_OK(seed);
  for (int b = 0; b < 2; ++b) {
    const auto part = ToVector(one->party[b].part);
    EXPECT_EQ(part, ToVector(again->party[b].part));
    EXPECT_NE(part, ToVector(name->party[b].part));
    EXPECT_NE(part, ToVector(seed->party[b].part));
  }
  // Not the sum, either, that a mask is.
  EXPECT_NE(ToVector(one->party[0].part), ToVector(one->party[1].part));
}

TEST_P(ShareMatrixTest, FillsEveryRowOnceInOrder) {
  std::vector<size_t> asked;
  MatrixSpec spec = SomeSpec(layout());
  const auto fill = spec.fill;
  spec.fill = [&](size_t row, std::span<double> values) {
    asked.push_back(row);
    EXPECT_EQ(values.size(), layout() == Layout::kTransposed ? 3u : 5u);
    fill(row, values);
  };
  ASSERT_OK(Share(spec, mode()));
  std::vector<size_t> all(layout() == Layout::kTransposed ? 5 : 3);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(asked, all);
}

TEST_P(ShareMatrixTest, EntriesThatCannotBeEncodedAreNamed) {
  const double infinity = std::numeric_limits<double>::infinity();
  // 2^40 units: 2^28 at 12 fraction bits.
  for (double bad :
       {std::nan(""), infinity, -infinity, 0x1p28, -0x1p28, 1e300}) {
    const MatrixSpec spec = SpecOf(
        3, 5, layout(), 12,
        [bad](size_t r, size_t c) { return r == 2 && c == 1 ? bad : 0.5; });
    EXPECT_THAT(Share(spec, mode(), "layers.3.up"),
                StatusIs(kInvalid, "layers.3.up[2, 1] is no number"))
        << bad;
  }
  const MatrixSpec large = SpecOf(3, 5, layout(), 12, [](size_t, size_t) {
    return -std::nextafter(0x1p28, 0);
  });
  EXPECT_OK(Share(large, mode()));
}

INSTANTIATE_TEST_SUITE_P(
    Modes, ShareMatrixTest,
    testing::Combine(testing::Values(WeightMode::kDealerHeld,
                                     WeightMode::kBlind),
                     testing::Values(Layout::kRowMajor, Layout::kTransposed)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param) == WeightMode::kBlind
                             ? "Blind"
                             : "DealerHeld") +
             (std::get<1>(info.param) == Layout::kRowMajor ? "RowMajor"
                                                           : "Transposed");
    });

TEST(EncodeMatrixTest, RoundsHalvesAwayFromZero) {
  const double values[] = {0.5, -0.5, 1.49, -1.49, 2.5, 0};
  const MatrixSpec spec = SpecOf(1, 6, Layout::kRowMajor, 0,
                                 [&](size_t, size_t c) { return values[c]; });
  const auto words = EncodeMatrix(spec, "w");
  ASSERT_OK(words);
  EXPECT_EQ(std::vector<int64_t>(words->begin(), words->end()),
            (std::vector<int64_t>{1, -1, 1, -1, 3, 0}));
}

TEST(MatrixSpecTest, RowsAndColumnsAreThoseOfTheStorage) {
  const MatrixSpec rows = SomeSpec(Layout::kRowMajor);
  EXPECT_EQ(rows.rows(), 3u);
  EXPECT_EQ(rows.columns(), 5u);
  const MatrixSpec columns = SomeSpec(Layout::kTransposed);
  EXPECT_EQ(columns.rows(), 5u);
  EXPECT_EQ(columns.columns(), 3u);
}

TEST(MatrixSpecTest, ShapeOnlyHoldsNothing) {
  for (WeightMode mode : {WeightMode::kDealerHeld, WeightMode::kBlind}) {
    const StaticMatrix m = SomeSpec(Layout::kTransposed).ShapeOnly(mode);
    EXPECT_EQ(m.k, 3u);
    EXPECT_EQ(m.n, 5u);
    EXPECT_EQ(m.frac, 12);
    EXPECT_EQ(m.layout, Layout::kTransposed);
    EXPECT_EQ(m.mode, mode);
    EXPECT_EQ(m.value, nullptr);
    EXPECT_EQ(m.part, nullptr);
    EXPECT_EQ(m.hat, nullptr);
  }
}

// ---- A model's matrices ----

class ShareModelTest : public testing::TestWithParam<Architecture> {
 protected:
  void SetUp() override {
    weights_ = RandomModel(GetParam());
    const auto ranges = Calibrate(weights_, 16, 1);
    ASSERT_OK(ranges);
    auto plan = PlanDecoder(weights_.config, BoundsOf(*ranges), 16);
    ASSERT_OK(plan);
    plan_ = *std::move(plan);
  }
  ModelWeights weights_;
  DecoderPlan plan_;
};

// A matrix by its name, without contents.
using Described =
    std::vector<std::tuple<std::string, size_t, size_t, int, bool>>;
Described Describe(const DecoderMatrices& matrices) {
  Described out;
  matrices.ForEach([&](const std::string& name, const StaticMatrix& m) {
    out.emplace_back(name, m.k, m.n, m.frac, m.layout == Layout::kRowMajor);
  });
  return out;
}

TEST_P(ShareModelTest, ShapesOnlyAreThoseOfTheShares) {
  for (WeightMode mode : {WeightMode::kDealerHeld, WeightMode::kBlind}) {
    const auto shares =
        ShareDecoder(plan_, weights_, mode, TestSeeds().gateway);
    ASSERT_OK(shares);
    // Neither needs the weights.
    const DecoderMatrices shapes =
        ShapesOnly<DecoderTensors>(DecoderSpecs(plan_, nullptr), mode);
    // A matrix that the model has not: no outputs, whatever else it says.
    Described want = Describe(shapes), got = Describe(shares->party[0]);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::get<2>(want[i]) == 0) {
        EXPECT_EQ(std::get<2>(got[i]), 0u) << std::get<0>(want[i]);
      } else {
        EXPECT_EQ(got[i], want[i]) << std::get<0>(want[i]);
      }
    }
    shapes.ForEach([](const std::string& name, const StaticMatrix& m) {
      EXPECT_TRUE(m.value == nullptr && m.part == nullptr) << name;
    });
  }
}

TEST_P(ShareModelTest, EveryMatrixAddsUp) {
  for (WeightMode mode : {WeightMode::kDealerHeld, WeightMode::kBlind}) {
    const auto shares =
        ShareDecoder(plan_, weights_, mode, TestSeeds().gateway);
    ASSERT_OK(shares);
    std::vector<const StaticMatrix*> parts[2];
    for (int b = 0; b < 2; ++b) {
      shares->party[b].ForEach([&](const std::string&, const StaticMatrix& m) {
        parts[b].push_back(&m);
      });
    }
    size_t index = 0, present = 0;
    shares->plain.ForEach([&](const std::string& name, const StaticMatrix& m) {
      const size_t i = index++;
      if (m.n == 0) return;
      ++present;
      EXPECT_EQ(Sum(parts[0][i]->part, parts[1][i]->part), ToVector(m.value))
          << name;
    });
    EXPECT_GE(present, 2 + 2 * 6u);
  }
}

TEST_P(ShareModelTest, BadWeightsAreNamedBeforeAnythingIsShared) {
  weights_.layers[1].down.weight[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(ShareDecoder(plan_, weights_, WeightMode::kDealerHeld,
                           TestSeeds().gateway)
                  .status(),
              StatusIs(kInvalid, "layers.1.down["));
  weights_.layers[1].down.weight[7] = 1e20f;
  EXPECT_THAT(
      ShareDecoder(plan_, weights_, WeightMode::kBlind, TestSeeds().gateway)
          .status(),
      StatusIs(kInvalid, "layers.1.down["));
}

// Roots of small rows are large, and biases behind them have many fraction
// bits.
TEST_P(ShareModelTest, BiasesBesideSmallRowsCanBeEncoded) {
  for (float& v : weights_.embedding) v /= 1024;
  for (float& v : weights_.positions) v /= 1024;
  const auto ranges = Calibrate(weights_, 16, 1);
  ASSERT_OK(ranges);
  const auto plan = PlanDecoder(weights_.config, BoundsOf(*ranges), 16);
  ASSERT_OK(plan);
  EXPECT_OK(ShareDecoder(*plan, weights_, WeightMode::kDealerHeld,
                         TestSeeds().gateway));
}

INSTANTIATE_TEST_SUITE_P(Architectures, ShareModelTest,
                         testing::Values(Architecture::kLlama,
                                         Architecture::kQwen2,
                                         Architecture::kGpt2),
                         [](const auto& info) {
                           return std::string(ToString(info.param));
                         });

}  // namespace
}  // namespace tacit
