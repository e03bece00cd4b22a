#include "gpu/ring/limbs.h"

#include <cstdint>
#include <iterator>
#include <random>
#include <vector>

#include "common/ring/ring.h"
#include "gpu/ring/gemm_test_util.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

TEST(LimbsTest, DigitsAddUpToTheWord) {
  std::mt19937_64 rng(1);
  Vec words(std::begin(kAdversarial), std::end(kAdversarial));
  for (int i = 0; i < 1000; ++i) words.push_back(rng());
  for (uint64_t word : words) {
    const uint64_t digits = BalancedDigits(word);
    for (int limbs = 1; limbs <= kMaxLimbs; ++limbs) {
      uint64_t sum = 0;
      for (int i = 0; i < limbs; ++i) {
        // Byte i with its sign.
        const auto digit = static_cast<int64_t>(digits << (56 - 8 * i)) >> 56;
        sum += static_cast<uint64_t>(digit) << (8 * i);
      }
      ASSERT_EQ(Reduce(sum, 8 * limbs), Reduce(word, 8 * limbs)) << word;
    }
  }
  EXPECT_EQ(BalancedDigits(0x7f7f7f7f7f7f7f80), 0x8080808080808080);
}

TEST(LimbsTest, DigitsHoldWhatTheySay) {
  EXPECT_EQ(LeastOf(2), -32896);
  EXPECT_EQ(GreatestOf(2), 32639);
  for (int digits : {1, 2, 3}) {
    for (int64_t value : {LeastOf(digits), GreatestOf(digits), int64_t{0}}) {
      const uint64_t bytes = BalancedDigits(static_cast<uint64_t>(value));
      int64_t sum = 0;
      for (int i = digits - 1; i >= 0; --i) {
        sum = sum * 256 + (static_cast<int64_t>(bytes << (56 - 8 * i)) >> 56);
      }
      EXPECT_EQ(sum, value);
    }
  }
}

TEST(LimbShapeTest, NoChunkCanOverflowInt32) {
  for (int width = 1; width <= 64; ++width) {
    for (size_t depth :
         {0, 1, 63, 64, 65, 16320, 16321, 131008, 131009, 1 << 20}) {
      const LimbShape shape{5, depth, width, Operand::kRight};
      size_t total = 0;
      for (size_t chunk = 0; chunk < shape.chunks(); ++chunk) {
        EXPECT_EQ(shape.chunk_offset(chunk),
                  total * shape.limbs() * shape.stored_rows());
        EXPECT_GT(shape.depth_of(chunk), 0);
        EXPECT_LT(shape.depth_of(chunk) * shape.limbs(), 1 << 17);
        total += shape.depth_of(chunk);
      }
      EXPECT_EQ(total, shape.stored_depth());
      EXPECT_EQ(shape.bytes(), 16 * shape.limbs() * total);
    }
  }
}

}  // namespace
}  // namespace tacit::gpu
