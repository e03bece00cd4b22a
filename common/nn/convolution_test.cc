#include "common/nn/convolution.h"

#include <algorithm>
#include <cmath>

#include "common/gates/linear.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

using Values = std::vector<int64_t>;

Window2d Window(size_t batch, size_t channels, size_t height, size_t width,
                size_t kernel, size_t stride, size_t padding) {
  Window2d window{batch, channels, height, width, kernel, kernel};
  window.stride = stride;
  window.padding = padding;
  return window;
}

// Calls visit(value) for each in-image element of a channel's window.
template <typename Visit>
void ForWindow(const Window2d& w, const Values& x, size_t image, size_t oy,
               size_t ox, Visit visit) {
  for (size_t i = 0; i < w.kernel_height; ++i) {
    for (size_t j = 0; j < w.kernel_width; ++j) {
      const size_t y = oy * w.stride + i * w.dilation;
      const size_t c = ox * w.stride + j * w.dilation;
      const bool inside = y >= w.padding && y < w.padding + w.height &&
                          c >= w.padding && c < w.padding + w.width;
      visit(
          i, j,
          inside
              ? x[(image * w.height + y - w.padding) * w.width + c - w.padding]
              : 0);
    }
  }
}

class ConvolutionTest : public testing::TestWithParam<Window2d> {};

TEST_P(ConvolutionTest, ConvolvesExactly) {
  const Window2d w = GetParam();
  std::mt19937_64 rng(3);
  const size_t outs = 3, patch = w.channels * w.kernel_height * w.kernel_width;
  const Values x =
      RandomValues(w.batch * w.channels * w.height * w.width, -500, 500, rng);
  const Values weights = RandomValues(outs * patch, -200, 200, rng);
  const StaticMatrixShares shares =
      TestMatrix(weights, patch, outs, 4, Layout::kTransposed);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a =
            ev.Input({w.batch, w.channels, w.height, w.width}, 32, 4);
        ev.Output(ConvStatic(ev, a, w, Pick(ev, shares), 32));
      },
      {{x, 32}});
  ASSERT_EQ(out.size(), 1u);
  size_t at = 0;
  for (size_t b = 0; b < w.batch; ++b) {
    for (size_t o = 0; o < outs; ++o) {
      for (size_t oy = 0; oy < w.out_height(); ++oy) {
        for (size_t ox = 0; ox < w.out_width(); ++ox) {
          int64_t sum = 0;
          for (size_t c = 0; c < w.channels; ++c) {
            ForWindow(
                w, x, b * w.channels + c, oy, ox,
                [&](size_t i, size_t j, int64_t v) {
                  sum +=
                      v *
                      weights[o * patch +
                              (c * w.kernel_height + i) * w.kernel_width + j];
                });
          }
          ASSERT_EQ(out[0][at++], sum);
        }
      }
    }
  }
}

TEST_P(ConvolutionTest, PoolsMaximaExactlyAndMeansToTheLastBit) {
  const Window2d w = GetParam();
  std::mt19937_64 rng(5);
  const Values x =
      RandomValues(w.batch * w.channels * w.height * w.width, -900, 900, rng);
  const auto out = RunAndCheck(
      [&](Evaluator& ev) {
        const Wire a =
            ev.Input({w.batch, w.channels, w.height, w.width}, 40, 4);
        ev.Output(ToShare(ev, MaxPool(ev, a, w, 14, 20)));
        ev.Output(ToShare(ev, AveragePool(ev, a, w)));
      },
      {{x, 40}});
  ASSERT_EQ(out.size(), 2u);
  size_t at = 0;
  for (size_t image = 0; image < w.batch * w.channels; ++image) {
    for (size_t oy = 0; oy < w.out_height(); ++oy) {
      for (size_t ox = 0; ox < w.out_width(); ++ox) {
        int64_t max = INT64_MIN;
        double sum = 0;
        ForWindow(w, x, image, oy, ox, [&](size_t, size_t, int64_t v) {
          max = std::max(max, v);
          sum += static_cast<double>(v);
        });
        const double mean =
            sum / static_cast<double>(w.kernel_height * w.kernel_width);
        EXPECT_EQ(out[0][at], max);
        EXPECT_NEAR(out[1][at], mean, 1.5);
        ++at;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, ConvolutionTest,
                         testing::Values(Window(1, 1, 1, 1, 1, 1, 0),
                                         Window(2, 3, 8, 8, 2, 2, 0),
                                         Window(1, 2, 7, 5, 3, 1, 1),
                                         Window(1, 4, 9, 9, 3, 2, 1),
                                         Window(3, 1, 5, 6, 5, 1, 2)));

TEST(ConvolutionErrorTest, SizesAreNamed) {
  const StaticMatrixShares shares = TestMatrix(Values(8), 8, 1, 0);
  EXPECT_THAT(DeclaredCost([&](Evaluator& ev) {
                ConvStatic(ev, ev.Input({1, 2, 4, 5}, 32, 0),
                           Window(1, 2, 4, 4, 2, 1, 0), Pick(ev, shares), 32);
              }).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "ConvStatic: input [1, 2, 4, 5]"));
  EXPECT_THAT(DeclaredCost([&](Evaluator& ev) {
                MaxPool(ev, ev.Input({1, 2, 4, 4}, 32, 0),
                        Window(1, 2, 4, 4, 9, 1, 0), 8, 32);
              }).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, "MaxPool"));
}

TEST(FoldBatchNormTest, FoldedWeightsGiveTheNormalisedOutput) {
  const BatchNorm norm{{2, 0.5f}, {1, -1}, {3, -2}, {4, 0.25f}, 0};
  std::vector<float> weights = {1, 2, 3, 4}, bias = {10, 20};
  ASSERT_OK(FoldBatchNorm(norm, weights, bias));
  // ((w x + bias) - mean) * gamma / sqrt(variance) + beta.
  EXPECT_EQ(weights, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(bias, (std::vector<float>{8, 21}));
  std::vector<float> short_bias = {1};
  EXPECT_THAT(FoldBatchNorm(norm, weights, short_bias),
              StatusIs(absl::StatusCode::kInvalidArgument, "2 channels"));
  BatchNorm negative = norm;
  negative.variance[1] = -1;
  EXPECT_THAT(FoldBatchNorm(negative, weights, bias),
              StatusIs(absl::StatusCode::kInvalidArgument, "channel 1"));
}

}  // namespace
}  // namespace tacit
