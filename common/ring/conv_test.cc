#include "common/ring/conv.h"

#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Vec = std::vector<uint64_t>;

Vec Unfold(const Window2d& w, const Vec& image) {
  EXPECT_TRUE(CheckWindow(w).ok()) << CheckWindow(w);
  Vec out(w.batch * w.out_height() * w.out_width() * w.channels *
              w.kernel_height * w.kernel_width,
          42);
  Im2col(w, image, out);
  return out;
}

Vec Iota(size_t n) {
  Vec v(n);
  std::iota(v.begin(), v.end(), 1);
  return v;
}

// The definition of the header, with signed positions.
Vec UnfoldReference(const Window2d& w, const Vec& image) {
  Vec out;
  const auto at = [&](size_t b, size_t c, int64_t y, int64_t x) -> uint64_t {
    if (y < 0 || x < 0 || y >= int64_t(w.height) || x >= int64_t(w.width)) {
      return 0;
    }
    return image[((b * w.channels + c) * w.height + y) * w.width + x];
  };
  for (size_t b = 0; b < w.batch; ++b) {
    for (size_t y = 0; y < w.out_height(); ++y) {
      for (size_t x = 0; x < w.out_width(); ++x) {
        for (size_t c = 0; c < w.channels; ++c) {
          for (size_t i = 0; i < w.kernel_height; ++i) {
            for (size_t j = 0; j < w.kernel_width; ++j) {
              out.push_back(at(
                  b, c,
                  int64_t(y * w.stride + i * w.dilation) - int64_t(w.padding),
                  int64_t(x * w.stride + j * w.dilation) - int64_t(w.padding)));
            }
          }
        }
      }
    }
  }
  return out;
}

TEST(Im2colTest, KnownAnswer) {
  const Window2d w{.batch = 1,
                   .channels = 1,
                   .height = 2,
                   .width = 3,
                   .kernel_height = 2,
                   .kernel_width = 2};
  EXPECT_THAT(Unfold(w, {1, 2, 3, 4, 5, 6}),
              ElementsAre(1, 2, 4, 5, 2, 3, 5, 6));
}

TEST(Im2colTest, PaddingIsZero) {
  const Window2d w{.batch = 1,
                   .channels = 1,
                   .height = 1,
                   .width = 1,
                   .kernel_height = 3,
                   .kernel_width = 3,
                   .padding = 1};
  EXPECT_THAT(Unfold(w, {7}), ElementsAre(0, 0, 0, 0, 7, 0, 0, 0, 0));
}

TEST(Im2colTest, FollowsTheDefinition) {
  for (const size_t kernel : {1, 2, 3, 5}) {
    for (const size_t stride : {1, 2, 3}) {
      for (const size_t padding : {0, 1, 2, 6}) {
        for (const size_t dilation : {1, 2}) {
          const Window2d w{.batch = 2,
                           .channels = 3,
                           .height = 9,
                           .width = 11,
                           .kernel_height = kernel,
                           .kernel_width = 3,
                           .stride = stride,
                           .padding = padding,
                           .dilation = dilation};
          const Vec image = Iota(2 * 3 * 9 * 11);
          EXPECT_EQ(Unfold(w, image), UnfoldReference(w, image))
              << kernel << " " << stride << " " << padding << " " << dilation;
        }
      }
    }
  }
}

TEST(CheckWindowTest, RejectsBadSizes) {
  const Window2d good{.batch = 1,
                      .channels = 3,
                      .height = 8,
                      .width = 8,
                      .kernel_height = 3,
                      .kernel_width = 3};
  ASSERT_TRUE(CheckWindow(good).ok());
  const auto reject = [&](size_t Window2d::*field, size_t value,
                          const char* message) {
    Window2d bad = good;
    bad.*field = value;
    const absl::Status status = CheckWindow(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  };
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  reject(&Window2d::batch, 0, "image is empty or too large: batch 0");
  reject(&Window2d::channels, 0, "image is empty or too large");
  reject(&Window2d::height, 0, "image is empty or too large");
  reject(&Window2d::width, kMax, "image is empty or too large");
  reject(&Window2d::kernel_height, 0, "zero or too large");
  reject(&Window2d::kernel_width, 0, "zero or too large");
  reject(&Window2d::kernel_width, kMax, "zero or too large");
  reject(&Window2d::stride, 0, "zero or too large");
  reject(&Window2d::dilation, 0, "zero or too large");
  reject(&Window2d::dilation, kMax, "zero or too large");
  reject(&Window2d::padding, kMax, "zero or too large");
  reject(&Window2d::kernel_height, 9, "larger than the padded image");
  reject(&Window2d::dilation, 4, "larger than the padded image");
  reject(&Window2d::batch, size_t{1} << 40, "unfolded image is too large");
}

}  // namespace
}  // namespace tacit
