#include "common/prg/prg.h"

#include <string.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/prg/aes.h"
#include "common/prg/simd_targets.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using Key = std::array<uint8_t, 16>;

Key CountingKey() {
  Key key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = i;
  return key;
}

Seed MakeSeed(const Key& key, Block nonce) {
  std::array<uint8_t, Seed::kBytes> bytes;
  memcpy(bytes.data(), key.data(), key.size());
  memcpy(bytes.data() + key.size(), &nonce, sizeof(nonce));
  return Seed(bytes);
}

std::string Hex(const void* bytes, size_t size) {
  return absl::BytesToHexString(
      std::string(static_cast<const char*>(bytes), size));
}

std::vector<uint64_t> Stream(const Prg& prg, uint64_t position, size_t words) {
  std::vector<uint64_t> out(words);
  prg.Fill(position, std::span<uint64_t>(out));
  return out;
}

std::string HexBlock(const Prg& prg, uint64_t position) {
  return Hex(Stream(prg, position, 2).data(), 16);
}

class PrgTest : public SimdTargetTest {};
INSTANTIATE_TEST_SUITE_P(AllTargets, PrgTest,
                         ::testing::ValuesIn(CompiledTargets()),
                         TargetTestName);

TEST_P(PrgTest, MatchesFips197AppendixC1) {
  Block plaintext;
  memcpy(&plaintext,
         "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
         16);
  const Prg prg(MakeSeed(CountingKey(), plaintext));
  EXPECT_EQ(HexBlock(prg, 0), "69c4e0d86a7b0430d8cdb78070b4c55a");
}

TEST_P(PrgTest, KeyExpansionMatchesFips197AppendixA1) {
  const Key key = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                   0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
  internal::AesRoundKeys round_keys;
  internal::ExpandAesKey(key.data(), round_keys);
  EXPECT_EQ(Hex(round_keys.data(), 16), "2b7e151628aed2a6abf7158809cf4f3c");
  EXPECT_EQ(Hex(round_keys.data() + 16, 16),
            "a0fafe1788542cb123a339392a6c7605");
  EXPECT_EQ(Hex(round_keys.data() + 160, 16),
            "d014f9a8c9ee2589e13f0cc8b6630ca6");
}

// Expected blocks: AES-ECB of nonce + p mod 2^128 by Python's `cryptography`.
TEST_P(PrgTest, CounterCarriesOver64And128Bits) {
  const Prg carries(MakeSeed(CountingKey(), Block{~uint64_t{0} - 2, 0}));
  const std::vector<uint64_t> run = Stream(carries, 0, 10);
  const struct {
    uint64_t position;
    const char* block;
  } kCases[] = {{0, "66fa963c05968509c0d2e805da90d2c4"},
                {2, "25d4e948bd5e1296afc0bf87095a7248"},
                {3, "5f2c80d352d3e8fcb4aea438188d77c8"},
                {4, "57dfae4563c7d0579a1b58d216a7ab82"}};
  for (const auto& c : kCases) {
    EXPECT_EQ(HexBlock(carries, c.position), c.block) << c.position;
    EXPECT_EQ(Hex(&run[2 * c.position], 16), c.block) << c.position;
  }
  const Prg wraps(MakeSeed(CountingKey(), Block{~uint64_t{0}, ~uint64_t{0}}));
  EXPECT_EQ(HexBlock(wraps, 0), "3c441f32ce07822364d7a2990e50bb13");
  EXPECT_EQ(HexBlock(wraps, 1), "c6a13b37878f5b826f4f8162a1c8d879");
  EXPECT_EQ(Hex(&Stream(wraps, 0, 4)[2], 16),
            "c6a13b37878f5b826f4f8162a1c8d879");
  EXPECT_EQ(HexBlock(wraps, ~uint64_t{0}), "d667140664ad5321035ded704b53604a");
}

// Wherever in a long run the carry falls, each block is that of its position.
TEST_P(PrgTest, CarryFallsAnywhereInARun) {
  for (uint64_t before = 0; before < 70; ++before) {
    const Prg prg(MakeSeed(CountingKey(), Block{-before, 5}));
    const std::vector<uint64_t> run = Stream(prg, 0, 160);
    const Prg after(MakeSeed(CountingKey(), Block{0, before == 0 ? 5u : 6u}));
    const std::vector<uint64_t> expected = Stream(after, 0, 160 - 2 * before);
    EXPECT_TRUE(
        std::equal(expected.begin(), expected.end(), run.begin() + 2 * before))
        << before;
  }
}

TEST_P(PrgTest, FillIsASliceOfTheStream) {
  const Prg prg(MakeSeed(CountingKey(), Block{123, 456}));
  const std::vector<uint64_t> stream = Stream(prg, 0, 600);
  for (uint64_t position : {0, 1, 2, 3, 5, 31, 32, 33, 100}) {
    for (size_t words : {0,  1,  2,  3,  7,  8,  9,   15,  16,  17,
                         31, 32, 63, 64, 65, 66, 127, 128, 129, 255}) {
      const std::vector<uint64_t> part = Stream(prg, position, words);
      EXPECT_TRUE(
          std::equal(part.begin(), part.end(), stream.begin() + 2 * position))
          << position << " " << words;
    }
  }
  std::vector<Block> blocks(77);
  prg.Fill(9, std::span<Block>(blocks));
  for (size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(blocks[i], (Block{stream[18 + 2 * i], stream[19 + 2 * i]}));
  }
}

TEST_P(PrgTest, FillWritesNothingPastItsSpan) {
  const Prg prg(MakeSeed(CountingKey(), Block{}));
  for (size_t words = 0; words < 140; ++words) {
    std::vector<uint64_t> out(words + 1, 42);
    prg.Fill(3, std::span<uint64_t>(out.data(), words));
    prg.AddTo(3, std::span<uint64_t>(out.data(), words));
    EXPECT_EQ(out[words], 42u);
  }
}

TEST_P(PrgTest, AddToAndSubtractFromUseTheSameWords) {
  const Prg prg(MakeSeed(CountingKey(), Block{~uint64_t{0}, 1}));
  for (size_t words : {0, 1, 2, 63, 64, 65, 66, 200, 1001}) {
    const std::vector<uint64_t> stream = Stream(prg, 17, words);
    std::vector<uint64_t> sum(words), difference(words), both(words);
    for (size_t i = 0; i < words; ++i) {
      sum[i] = difference[i] = both[i] = i * 0x9E3779B97F4A7C15;
    }
    const std::vector<uint64_t> before = sum;
    prg.AddTo(17, sum);
    prg.SubtractFrom(17, difference);
    prg.AddTo(17, both);
    prg.SubtractFrom(17, both);
    for (size_t i = 0; i < words; ++i) {
      EXPECT_EQ(sum[i], before[i] + stream[i]);
      EXPECT_EQ(difference[i], before[i] - stream[i]);
    }
    EXPECT_EQ(both, before);
  }
}

TEST_P(PrgTest, FillBitsSpreadsTheStream) {
  const Prg prg(MakeSeed(CountingKey(), Block{7, 7}));
  const std::vector<uint64_t> stream = Stream(prg, 4, 400);
  for (size_t bits :
       {0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 8191, 8192, 8193, 20000}) {
    std::vector<uint8_t> out(bits + 1, 42);
    prg.FillBits(4, std::span<uint8_t>(out.data(), bits));
    for (size_t k = 0; k < bits; ++k) {
      ASSERT_EQ(out[k], (stream[k / 64] >> (k % 64)) & 1) << bits << " " << k;
    }
    EXPECT_EQ(out[bits], 42);
  }
}

TEST_P(PrgTest, BitsAreBalanced) {
  const Prg prg(MakeSeed(CountingKey(), Block{1, 2}));
  std::vector<uint8_t> bits(1 << 16);
  prg.FillBits(0, bits);
  double ones = 0;
  for (uint8_t bit : bits) ones += bit;
  // Fixed seed, so no flakiness; 5 standard deviations of a fair coin.
  EXPECT_LT(std::abs(ones - bits.size() / 2.0), 5 * std::sqrt(bits.size()) / 2);
}

TEST_P(PrgTest, IsWipedWhenDestroyed) {
  alignas(Prg) std::array<unsigned char, sizeof(Prg)> storage = {};
  Prg* prg = new (storage.data()) Prg(MakeSeed(CountingKey(), Block{3, 4}));
  ASSERT_EQ(storage[15], 15);
  prg->~Prg();
  const volatile unsigned char* bytes = storage.data();
  for (size_t i = 0; i < storage.size(); ++i) EXPECT_EQ(bytes[i], 0) << i;
}

// The portable path, whatever the target, on blocks that differ.
TEST(BitslicedAesTest, MatchesTheStreamOfManyKeys) {
  Block key{1, 2};
  for (int round = 0; round < 50; ++round) {
    Key bytes;
    memcpy(bytes.data(), &key, sizeof(key));
    const Prg prg(MakeSeed(bytes, Block{}));
    const std::vector<uint64_t> stream = Stream(prg, 0, 8);
    internal::AesRoundKeys round_keys;
    internal::ExpandAesKey(bytes.data(), round_keys);
    internal::BitslicedKey planes;
    internal::BitsliceKey(round_keys.data(), planes);
    Block blocks[internal::kBitslicedBlocks] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};
    internal::EncryptBitsliced(planes, blocks);
    for (size_t i = 0; i < internal::kBitslicedBlocks; ++i) {
      EXPECT_EQ(blocks[i], (Block{stream[2 * i], stream[2 * i + 1]}));
    }
    key = blocks[3];
  }
}

// The first and the last entries of FIPS-197, Fig. 7.
TEST(BitslicedAesTest, SubWordIsTheSBox) {
  EXPECT_EQ(internal::SubWordBitsliced(0x03020100), 0x7b777c63u);
  EXPECT_EQ(internal::SubWordBitsliced(0xfffefdfc), 0x16bb54b0u);
}

}  // namespace
}  // namespace tacit
