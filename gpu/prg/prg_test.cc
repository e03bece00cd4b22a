// The kernels of gpu/prg, every thread of their launches on the host, against
// common/prg. The same bodies run on a device in prg_check.cc.
#include "common/prg/prg.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "common/prg/aes.h"
#include "common/prg/seed.h"
#include "gpu/kernel/phased.h"
#include "gpu/prg/expand.h"
#include "gpu/prg/expand_dispatch.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

Seed TestSeed(uint8_t tag) {
  std::array<uint8_t, Seed::kBytes> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(tag * 37 + i * 11);
  }
  return Seed(bytes);
}

PrgKey KeyOf(const Seed& seed) {
  PrgKey key;
  ExpandPrgKey(seed.bytes().data(), key);
  return key;
}

// A seed whose counter wraps: the low word of nonce + position does.
Seed WrappingSeed() {
  std::array<uint8_t, Seed::kBytes> bytes = TestSeed(9).bytes();
  for (size_t i = 16; i < 24; ++i) bytes[i] = 0xFF;
  return Seed(bytes);
}

TEST(AesTest, KeyExpansionEqualsTheHosts) {
  const Seed seed = TestSeed(1);
  tacit::internal::AesRoundKeys expected;
  tacit::internal::ExpandAesKey(seed.bytes().data(), expected);
  const PrgKey key = KeyOf(seed);
  EXPECT_EQ(std::memcmp(key.words, expected.data(), expected.size()), 0);
}

// FIPS-197, Fig. 7, by its first, last and two middle entries; all entries
// against the circuit.
TEST(AesTest, TableAndCircuitAreTheSBox) {
  EXPECT_EQ(internal::SBox(0x00), 0x63);
  EXPECT_EQ(internal::SBox(0x53), 0xED);
  EXPECT_EQ(internal::SBox(0x9A), 0xB8);
  EXPECT_EQ(internal::SBox(0xFF), 0x16);
  for (uint32_t x = 0; x < 256; ++x) {
    const uint32_t s = internal::SBox(static_cast<uint8_t>(x));
    EXPECT_EQ(planes::SubWord(x * 0x01010101), s * 0x01010101) << x;
  }
}

class AesVariantTest : public testing::TestWithParam<AesVariant> {
 protected:
  // The blocks of a stream from a position on, by one block of threads.
  std::vector<uint64_t> Words(const ExpandWordsArgs& args, uint32_t most) {
    std::vector<uint64_t> out(args.field.n, 0xAAAA);
    ExpandWordsArgs to = args;
    to.out = out.data();
    if (to.combine != Combine::kStore && to.in == nullptr) to.in = out.data();
    EXPECT_TRUE(DispatchWords(GetParam(), to, HostLauncher{most}).ok());
    return out;
  }
  std::vector<uint8_t> Bits(const ExpandBitsArgs& args, uint32_t most) {
    std::vector<uint8_t> out(args.field.n, 1);
    ExpandBitsArgs to = args;
    to.out = out.data();
    EXPECT_TRUE(DispatchBits(GetParam(), to, HostLauncher{most}).ok());
    return out;
  }
};

// FIPS-197, Appendix B, as a stream: nonce + 0 is the plaintext.
TEST_P(AesVariantTest, KnownAnswer) {
  const std::array<uint8_t, Seed::kBytes> bytes = {
      0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15,
      0x88, 0x09, 0xcf, 0x4f, 0x3c, 0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a,
      0x30, 0x8d, 0x31, 0x31, 0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34};
  const PrgKey key = KeyOf(Seed(bytes));
  ExpandWordsArgs args;
  args.key = &key;
  args.field = OneRecord(2, 0);
  EXPECT_EQ(Words(args, 1),
            (std::vector<uint64_t>{0xfb09dc021d842539u, 0x320b6a19978511dcu}));
}

TEST_P(AesVariantTest, WordsEqualTheHostsAtEverySize) {
  for (const Seed& seed : {TestSeed(2), WrappingSeed()}) {
    const Prg prg(seed);
    const PrgKey key = KeyOf(seed);
    for (size_t n :
         {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1000, 5001}) {
      for (uint64_t position :
           {uint64_t{0}, uint64_t{5}, ~uint64_t{0} - 9999}) {
        std::vector<uint64_t> expected(n);
        prg.Fill(position, std::span(expected));
        ExpandWordsArgs args;
        args.key = &key;
        args.field = OneRecord(n, position);
        EXPECT_EQ(Words(args, 3), expected) << n << " from " << position;
      }
    }
  }
}

TEST_P(AesVariantTest, AddsSubtractsAndSumsStreams) {
  const Seed seeds[2] = {TestSeed(3), TestSeed(4)};
  const Prg prg0(seeds[0]), prg1(seeds[1]);
  const PrgKey keys[2] = {KeyOf(seeds[0]), KeyOf(seeds[1])};
  std::mt19937_64 rng(1);
  for (size_t n : {1, 7, 130, 777}) {
    std::vector<uint64_t> in(n);
    for (uint64_t& word : in) word = rng();
    ExpandWordsArgs args;
    args.key = &keys[0];
    args.field = OneRecord(n, 11);
    args.in = in.data();
    std::vector<uint64_t> expected = in;
    prg0.AddTo(11, expected);
    args.combine = Combine::kAdd;
    EXPECT_EQ(Words(args, 2), expected) << n;
    expected = in;
    prg0.SubtractFrom(11, expected);
    args.combine = Combine::kSubtract;
    EXPECT_EQ(Words(args, 2), expected) << n;
    args.second = &keys[1];
    prg1.SubtractFrom(11, expected);
    EXPECT_EQ(Words(args, 2), expected) << n;
    // What FillMask of common/gates/session.h makes.
    prg0.Fill(11, std::span(expected));
    prg1.AddTo(11, expected);
    args.combine = Combine::kStore;
    EXPECT_EQ(Words(args, 2), expected) << n;
  }
}

TEST_P(AesVariantTest, BitsEqualTheHostsAtEverySize) {
  const Seed seeds[2] = {TestSeed(5), TestSeed(6)};
  const Prg prg0(seeds[0]), prg1(seeds[1]);
  const PrgKey keys[2] = {KeyOf(seeds[0]), KeyOf(seeds[1])};
  for (size_t n : {0, 1, 7, 8, 127, 128, 129, 1000, 4096, 33001}) {
    std::vector<uint8_t> expected(n), other(n);
    prg0.FillBits(3, expected);
    ExpandBitsArgs args;
    args.key = &keys[0];
    args.field = OneRecord(n, 3);
    EXPECT_EQ(Bits(args, 2), expected) << n;
    prg1.FillBits(3, other);
    args.in = other.data();
    std::vector<uint8_t> sum(n);
    for (size_t i = 0; i < n; ++i) sum[i] = expected[i] ^ other[i];
    EXPECT_EQ(Bits(args, 2), sum) << n;
    args.in = nullptr;
    args.second = &keys[1];
    EXPECT_EQ(Bits(args, 2), sum) << n;
  }
}

// Records whose streams have gaps between them, the last one elsewhere.
TEST_P(AesVariantTest, RecordsTakeTheirOwnPositions) {
  const Seed seed = TestSeed(7);
  const Prg prg(seed);
  const PrgKey key = KeyOf(seed);
  for (size_t block : {1, 2, 5, 64, 100, 1024}) {
    for (size_t n : {1, 99, 100, 101, 2500}) {
      const size_t last = (n - 1) / block;
      FieldLayout field;
      field.n = n;
      field.block = block;
      field.stream = 4;
      field.stream_step = 1000;
      field.stream_last = 4 + 1000 * last + 17;
      if (last == 0) field.stream = field.stream_last;
      std::vector<uint64_t> expected(n);
      std::vector<uint8_t> expected_bits(n);
      for (size_t r = 0; r <= last; ++r) {
        const size_t begin = r * block, count = std::min(block, n - begin);
        const uint64_t at = r == last ? field.stream_last : 4 + 1000 * r;
        prg.Fill(at, std::span(expected).subspan(begin, count));
        prg.FillBits(at, std::span(expected_bits).subspan(begin, count));
      }
      ExpandWordsArgs words;
      words.key = &key;
      words.field = field;
      EXPECT_EQ(Words(words, 2), expected) << n << " by " << block;
      ExpandBitsArgs bits;
      bits.key = &key;
      bits.field = field;
      EXPECT_EQ(Bits(bits, 2), expected_bits) << n << " by " << block;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllVariants, AesVariantTest,
                         testing::ValuesIn(kAesVariants),
                         [](const testing::TestParamInfo<AesVariant>& info) {
                           return AesVariantName(info.param);
                         });

TEST(ExpandTest, RejectsMissingPointers) {
  ExpandWordsArgs words;
  words.field = OneRecord(1, 0);
  EXPECT_EQ(CheckArgs(words).code(), Code::kInvalidArgument);
  PrgKey key = {};
  uint64_t out = 0;
  words.key = &key;
  words.out = &out;
  EXPECT_TRUE(CheckArgs(words).ok());
  words.combine = Combine::kAdd;
  EXPECT_EQ(CheckArgs(words).code(), Code::kInvalidArgument);
  ExpandBitsArgs bits;
  bits.field = OneRecord(1, 0);
  EXPECT_EQ(CheckArgs(bits).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace tacit::gpu
