#include "common/base/bits.h"

#include <cmath>

#include "gtest/gtest.h"

namespace tacit {
namespace {

TEST(BitsTest, LogarithmsOfDoublesAreExactAtPowersOfTwo) {
  for (int k = -1000; k <= 1000; ++k) {
    const double power = std::ldexp(1, k);
    EXPECT_EQ(CeilLog2(power), k);
    EXPECT_EQ(FloorLog2(power), k);
    EXPECT_EQ(CeilLog2(std::nextafter(power, INFINITY)), k + 1);
    EXPECT_EQ(FloorLog2(std::nextafter(power, INFINITY)), k);
    EXPECT_EQ(CeilLog2(std::nextafter(power, 0)), k);
    EXPECT_EQ(FloorLog2(std::nextafter(power, 0)), k - 1);
  }
}

TEST(BitsTest, LogarithmsOfCountsRoundUp) {
  EXPECT_EQ(CeilLog2(size_t{1}), 0);
  EXPECT_EQ(CeilLog2(size_t{2}), 1);
  for (int k = 2; k < 64; ++k) {
    const size_t power = size_t{1} << k;
    EXPECT_EQ(CeilLog2(power - 1), k);
    EXPECT_EQ(CeilLog2(power), k);
    EXPECT_EQ(CeilLog2(power + 1), k + 1);
  }
}

}  // namespace
}  // namespace tacit
