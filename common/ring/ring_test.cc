#include "common/ring/ring.h"

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace tacit {
namespace {

TEST(RingTest, WidthsAreOneTo64) {
  EXPECT_FALSE(IsWidth(-1));
  EXPECT_FALSE(IsWidth(0));
  EXPECT_TRUE(IsWidth(1));
  EXPECT_TRUE(IsWidth(64));
  EXPECT_FALSE(IsWidth(65));
}

TEST(RingTest, LowMaskHasWidthOnes) {
  EXPECT_EQ(LowMask(0), 0);
  EXPECT_EQ(LowMask(1), 1);
  EXPECT_EQ(LowMask(40), 0xFFFFFFFFFF);
  EXPECT_EQ(LowMask(63), 0x7FFFFFFFFFFFFFFF);
  EXPECT_EQ(LowMask(64), 0xFFFFFFFFFFFFFFFF);
}

TEST(RingTest, ReduceKeepsTheLowBits) {
  EXPECT_EQ(Reduce(0x123456789ABCDEF0, 16), 0xDEF0);
  EXPECT_EQ(Reduce(~uint64_t{0}, 64), ~uint64_t{0});
  EXPECT_EQ(Reduce(2, 1), 0);
}

TEST(RingTest, ToSignedReadsTheTopBitAsSign) {
  EXPECT_EQ(ToSigned(0, 1), 0);
  EXPECT_EQ(ToSigned(1, 1), -1);
  EXPECT_EQ(ToSigned(0x7F, 8), 127);
  EXPECT_EQ(ToSigned(0x80, 8), -128);
  EXPECT_EQ(ToSigned(0xAB80, 8), -128);  // bits above the width are ignored
  EXPECT_EQ(ToSigned(uint64_t{1} << 63, 64),
            std::numeric_limits<int64_t>::min());
}

TEST(RingTest, ToSignedInvertsReduceForEveryWidth) {
  for (int width = 1; width <= 64; ++width) {
    const int64_t low = -1 - static_cast<int64_t>(LowMask(width - 1));
    const int64_t high = static_cast<int64_t>(LowMask(width - 1));
    for (int64_t value : {low, low / 2, int64_t{0}, high / 2, high}) {
      EXPECT_EQ(ToSigned(Reduce(static_cast<uint64_t>(value), width), width),
                value)
          << "width " << width;
    }
  }
}

}  // namespace
}  // namespace tacit
