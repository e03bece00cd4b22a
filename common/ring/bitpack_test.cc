#include "common/ring/bitpack.h"

#include <cstdint>
#include <random>
#include <vector>

#include "common/ring/ring.h"
#include "common/ring/targets_test_util.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr size_t kCounts[] = {0,  1,  2,  3,  7,   8,   9,   15,  16,
                              17, 63, 64, 65, 127, 128, 129, 1000};

// The definition, bit by bit.
std::vector<uint8_t> PackReference(const std::vector<uint64_t>& in, int width) {
  std::vector<uint8_t> out(PackedBytes(in.size(), width));
  for (size_t i = 0; i < in.size() * width; ++i) {
    out[i / 8] |= (in[i / width] >> i % width & 1) << i % 8;
  }
  return out;
}

// Bytes around the message show a write past its ends.
constexpr size_t kGuard = 80;
constexpr uint8_t kUntouched = 0xA5;

class BitpackTest : public TargetTest {
 protected:
  std::mt19937_64 rng_{7};
};

TEST_P(BitpackTest, PackFollowsTheDefinitionForEveryWidth) {
  for (int width = 1; width <= 64; ++width) {
    for (size_t n : kCounts) {
      const std::vector<uint64_t> in = RandomWords(n, rng_);
      const size_t bytes = PackedBytes(n, width);
      std::vector<uint8_t> guarded(bytes + 2 * kGuard, kUntouched);
      Pack(in, width, std::span(guarded).subspan(kGuard, bytes));
      const auto message = guarded.begin() + kGuard;
      ASSERT_EQ(std::vector<uint8_t>(message, message + bytes),
                PackReference(in, width))
          << "width " << width << ", n " << n;
      ASSERT_THAT(std::vector<uint8_t>(guarded.begin(), message),
                  Each(kUntouched));
      ASSERT_THAT(std::vector<uint8_t>(message + bytes, guarded.end()),
                  Each(kUntouched))
          << "width " << width << ", n " << n;
    }
  }
}

TEST_P(BitpackTest, UnpackInvertsPackForEveryWidth) {
  for (int width = 1; width <= 64; ++width) {
    for (size_t n : kCounts) {
      std::vector<uint64_t> in = RandomWords(n, rng_);
      const std::vector<uint8_t> packed = PackReference(in, width);
      for (uint64_t& word : in) word = Reduce(word, width);
      std::vector<uint64_t> out(n + 1, 42);
      Unpack(packed, width, std::span(out).first(n));
      ASSERT_EQ(out[n], 42) << "width " << width << ", n " << n;
      out.pop_back();
      ASSERT_EQ(out, in) << "width " << width << ", n " << n;
    }
  }
}

TEST_P(BitpackTest, BitsFollowTheDefinitionBothWays) {
  for (size_t n : kCounts) {
    std::vector<uint8_t> bits(n);
    for (uint8_t& bit : bits) bit = rng_() & 1;
    std::vector<uint8_t> packed(PackedBytes(n, 1), 0xFF);
    PackBits(bits, packed);
    EXPECT_EQ(packed, PackReference({bits.begin(), bits.end()}, 1)) << n;
    std::vector<uint8_t> unpacked(n, 0xFF);
    UnpackBits(packed, unpacked);
    EXPECT_EQ(unpacked, bits) << n;
  }
}

TEST_P(BitpackTest, KnownAnswer) {
  std::vector<uint8_t> out(5);
  Pack(std::vector<uint64_t>{0xFFFF'FABC, 0x123, 0x7}, 12, out);
  EXPECT_THAT(out, ElementsAre(0xBC, 0x3A, 0x12, 0x07, 0x00));
}

TACIT_INSTANTIATE_TARGET_TEST(BitpackTest);

}  // namespace
}  // namespace tacit
