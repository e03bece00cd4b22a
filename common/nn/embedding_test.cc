#include "common/nn/embedding.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

using ::testing::HasSubstr;

TEST(EmbeddingTest, LooksRowsUpInBothWeightModes) {
  std::mt19937_64 rng(1);
  struct Case {
    size_t tokens, vocabulary, d;
    int width, frac;
  };
  for (const Case& c :
       {Case{0, 10, 4, 40, 12}, Case{1, 1, 3, 40, 12}, Case{2, 2, 1, 64, 8},
        Case{3, 127, 5, 48, 12}, Case{4, 128, 5, 15, 11},
        Case{127, 129, 2, 64, 12}, Case{128, 1000, 8, 64, 12},
        Case{129, 300, 1, 32, 4}, Case{1000, 50, 3, 64, 14}}) {
    for (WeightMode mode : {WeightMode::kDealerHeld, WeightMode::kBlind}) {
      SCOPED_TRACE(absl::StrCat(c.tokens, " of ", c.vocabulary));
      const int64_t limit = int64_t{3} << c.frac;
      const std::vector<int64_t> entries =
          RandomValues(c.vocabulary * c.d, -limit, limit, rng);
      const StaticMatrixShares matrix = TestMatrix(
          entries, c.vocabulary, c.d, c.frac, Layout::kRowMajor, mode);
      const std::vector<int64_t> tokens =
          RandomValues(c.tokens, 0, c.vocabulary - 1, rng);
      const auto y = RunAndCheck(
          [&](Evaluator& ev) {
            const Wire t = ev.Input({c.tokens}, TokenWidth(c.vocabulary), 0);
            const Wire e = Embedding(ev, t, Pick(ev, matrix),
                                     {.entry_bound = 3, .width = c.width});
            EXPECT_EQ(e.shape, (Shape{c.tokens, c.d}));
            EXPECT_EQ(e.width, c.width);
            EXPECT_EQ(e.frac, c.frac);
            ev.Output(ToShare(ev, e));
          },
          {{tokens, TokenWidth(c.vocabulary)}});
      ASSERT_EQ(y.size(), 1);
      for (size_t i = 0; i < c.tokens; ++i) {
        for (size_t j = 0; j < c.d; ++j) {
          ASSERT_EQ(y[0][i * c.d + j], entries[tokens[i] * c.d + j]);
        }
      }
    }
  }
}

TEST(EmbeddingTest, LongInputsGoInParts) {
  std::mt19937_64 rng(2);
  const std::vector<int64_t> entries = RandomValues(40 * 3, -4096, 4096, rng);
  const StaticMatrixShares matrix = TestMatrix(entries, 40, 3, 12);
  const std::vector<int64_t> tokens = RandomValues(2 * 5, 0, 39, rng);
  const Program program = [&](Evaluator& ev) {
    const Wire t = ev.Input({2, 5}, TokenWidth(40), 0);
    const Share e =
        EmbeddingShare(ev, t, Pick(ev, matrix),
                       {.entry_bound = 1, .width = 40, .one_hot_words = 130});
    EXPECT_EQ(e.shape, (Shape{2, 5, 3}));
    ev.Output(e);
  };
  const auto y = RunAndCheck(program, {{tokens, TokenWidth(40)}});
  ASSERT_EQ(y.size(), 1);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(y[0][i * 3 + 1], entries[tokens[i] * 3 + 1]);
  }
  const auto cost = DeclaredCost(program);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 4 + 1);  // parts of three tokens, then the rows
}

TEST(EmbeddingTest, CostOfATokenOfALargeVocabulary) {
  StaticMatrix matrix;
  matrix.k = 32000;
  matrix.n = 4096;
  matrix.frac = 12;
  const auto cost = DeclaredCost([&](Evaluator& ev) {
    Embedding(ev, ev.Input({1}, TokenWidth(32000), 0), matrix,
              {.entry_bound = 2, .width = 64});
  });
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 3);
  EXPECT_LE(cost->opened_bytes[0], 32000 * 2 + 4096 * 10 + 100);
  EXPECT_LE(cost->material_bytes[1], 4096 * 20);
}

TEST(EmbeddingTest, TokenOrEntryOutsideItsBoundIsOutOfRange) {
  const StaticMatrixShares matrix = TestMatrix({1, 2, 3 << 12}, 3, 1, 12);
  auto status = [&](int64_t token) {
    return StatusOfPlain(
        [&](Evaluator& ev) {
          Embedding(ev, ev.Input({1}, 3, 0), Pick(ev, matrix),
                    {.entry_bound = 1, .width = 40});
        },
        {{{token}, 3}});
  };
  EXPECT_OK(status(1));
  EXPECT_EQ(status(2).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(status(3).code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status(3).message()), HasSubstr("Embedding"));
}

TEST(EmbeddingTest, RejectsParametersThatDoNotFit) {
  auto expect_invalid = [](size_t vocabulary, int token_width,
                           const EmbeddingParams& params) {
    StaticMatrix matrix;
    matrix.k = vocabulary;
    matrix.n = 4;
    matrix.frac = 12;
    const absl::Status status =
        DeclaredCost([&](Evaluator& ev) {
          Embedding(ev, ev.Input({2}, token_width, 0), matrix, params);
        }).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("Embedding"));
  };
  expect_invalid(0, 2, {.entry_bound = 1});
  expect_invalid(100, 7, {.entry_bound = 1});
  expect_invalid(100, 9, {.entry_bound = 1});
  expect_invalid(size_t{1} << 26, 27, {.entry_bound = 1});
  expect_invalid(100, 8, {});
  expect_invalid(100, 8, {.entry_bound = 1, .width = 14});
  expect_invalid(100, 8, {.entry_bound = 1, .width = 65});
  expect_invalid(100, 8, {.entry_bound = 1e30});
  expect_invalid(100, 8, {.entry_bound = 1, .one_hot_words = 0});
}

}  // namespace
}  // namespace tacit
