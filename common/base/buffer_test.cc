#include "common/base/buffer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

std::vector<uint64_t> Values(const Words& words) {
  return {words.begin(), words.end()};
}

class BufferSizeTest : public testing::TestWithParam<size_t> {};

TEST_P(BufferSizeTest, IsAlignedAndWritable) {
  Bytes bytes(GetParam());
  ASSERT_EQ(bytes.size(), GetParam());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % 64, 0);
  std::fill(bytes.begin(), bytes.end(), uint8_t{0x5a});
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 0x5a), GetParam());
}

TEST_P(BufferSizeTest, ZeroedIsZeroAfterReuse) {
  const size_t size = GetParam();
  for (int repeat = 0; repeat < 3; ++repeat) {
    Bytes bytes = Bytes::Zeroed(size);
    EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 0), size);
    std::fill(bytes.begin(), bytes.end(), uint8_t{0x5a});
  }
}

TEST_P(BufferSizeTest, FreedBlocksKeepNothing) {
  const size_t size = GetParam();
  {
    Bytes secret(size);
    std::fill(secret.begin(), secret.end(), uint8_t{0xa7});
  }
  // Most likely the same block; whichever it is, the secret is not in it.
  // (The first 16 bytes of a small block belong to malloc once it is free.)
  Bytes next(size);
  const size_t skip = std::min<size_t>(size, 16);
  EXPECT_EQ(std::count(next.begin() + skip, next.end(), 0xa7), 0);
}

// Around the pool's size classes (quarters of powers of two from 4096 on).
INSTANTIATE_TEST_SUITE_P(Sizes, BufferSizeTest,
                         testing::Values(0, 1, 63, 64, 65, 4095, 4096, 4097,
                                         5120, 5121, 7169, 8191, 8192, 8193,
                                         100003, 1 << 20));

TEST(BufferTest, DefaultIsEmpty) {
  const Words words;
  EXPECT_TRUE(words.empty());
  EXPECT_EQ(words.data(), nullptr);
  EXPECT_EQ(words.begin(), words.end());
}

TEST(BufferTest, MoveLeavesTheSourceEmpty) {
  Words from = Words::Copy(std::array<uint64_t, 2>{3, 4});
  const uint64_t* data = from.data();
  Words to = std::move(from);
  EXPECT_EQ(to.data(), data);
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(from.data(), nullptr);

  Words assigned(100);
  assigned = std::move(to);
  EXPECT_THAT(Values(assigned), ElementsAre(3, 4));
  EXPECT_TRUE(to.empty());  // NOLINT(bugprone-use-after-move)
}

TEST(BufferTest, SelfMoveKeepsTheContents) {
  Words words = Words::Copy(std::array<uint64_t, 2>{3, 4});
  Words& alias = words;
  words = std::move(alias);
  EXPECT_THAT(Values(words), ElementsAre(3, 4));
}

TEST(BufferTest, CloneIsIndependent) {
  Words words = Words::Copy(std::array<uint64_t, 3>{1, 2, 3});
  const Words clone = words.Clone();
  words[1] = 9;
  EXPECT_THAT(Values(clone), ElementsAre(1, 2, 3));
  EXPECT_THAT(Values(words), ElementsAre(1, 9, 3));
}

TEST(BufferTest, ResetEmpties) {
  Words words(10);
  words.Reset();
  EXPECT_TRUE(words.empty());
  words.Reset();
}

TEST(BufferTest, ImpossibleSizesThrow) {
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  EXPECT_THROW(Words words(kMax), std::bad_alloc);
  EXPECT_THROW(Words words(kMax / 8 + 2), std::bad_alloc);  // wraps to 8 bytes
  EXPECT_THROW(Words words((size_t{1} << 45) + 1), std::bad_alloc);
}

TEST(BufferTest, ThreadsMayAllocateAndFree) {
  std::vector<std::thread> threads;
  for (uint64_t id = 0; id < 4; ++id) {
    threads.emplace_back([id] {
      for (size_t i = 0; i < 300; ++i) {
        Words words(600 + i % 7 * 100);
        std::fill(words.begin(), words.end(), id);
        EXPECT_THAT(std::span(words.data(), 8), Each(id));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(SecureWipeTest, WipesExactlyTheRange) {
  std::array<uint8_t, 5> bytes = {1, 2, 3, 4, 5};
  SecureWipe(bytes.data() + 1, 3);
  EXPECT_THAT(bytes, ElementsAre(1, 0, 0, 0, 5));
  SecureWipe(nullptr, 0);
}

}  // namespace
}  // namespace tacit
