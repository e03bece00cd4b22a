// One-hot kernels, every thread of their launches on the host, against
// common/fss/onehot_dpf.h.
#include "gpu/fss/one_hot.h"

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "common/fss/onehot_dpf.h"
#include "common/prg/prg.h"
#include "common/prg/seed.h"
#include "gpu/fss/one_hot_dispatch.h"
#include "gpu/kernel/phased.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

Seed TestSeed(uint8_t tag) {
  std::array<uint8_t, Seed::kBytes> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(tag * 53 + i * 17);
  }
  return Seed(bytes);
}

std::vector<uint64_t> RandomWords(size_t n, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<uint64_t> words(n);
  for (uint64_t& word : words) word = rng();
  return words;
}

using Param = std::tuple<AesVariant, int, int>;  // m, width
class OneHotTest : public testing::TestWithParam<Param> {};

TEST_P(OneHotTest, KeysAndVectorsEqualTheHosts) {
  const auto [variant, m, width] = GetParam();
  const Seed seeds[2] = {TestSeed(1), TestSeed(2)};
  const Prg prg[2] = {Prg(seeds[0]), Prg(seeds[1])};
  PrgKey key[2];
  for (int b = 0; b < 2; ++b) ExpandPrgKey(seeds[b].bytes().data(), key[b]);
  for (size_t n : {1, 2, 7, 33}) {
    const auto alpha = RandomWords(n, n), top = RandomWords(n, n + 1);
    std::vector<uint8_t> expected(OneHotKeyBytes(m, width, n));
    tacit::OneHotGen(m, width, alpha, prg[0], prg[1], 50, expected);
    std::vector<uint8_t> material[2];
    OneHotGenArgs gen;
    gen.m = m;
    gen.width = width;
    for (int b = 0; b < 2; ++b) {
      const size_t skew = b == 0 ? 0 : 5;
      material[b] = std::vector<uint8_t>(expected.size() + skew);
      gen.field[b] = OneRecord(n, 50, skew);
      gen.material[b] = material[b].data();
      gen.key[b] = &key[b];
    }
    gen.alpha.words = alpha.data();
    ASSERT_TRUE(DispatchOneHotGen(variant, gen, HostLauncher()).ok());
    EXPECT_EQ(material[0], expected) << n;
    EXPECT_EQ(std::vector<uint8_t>(material[1].begin() + 5, material[1].end()),
              expected)
        << n;
    for (int party = 0; party < 2; ++party) {
      for (uint64_t size :
           {uint64_t{1}, (uint64_t{1} << m) * 3 / 4, uint64_t{1} << m}) {
        if (size == 0) continue;
        std::vector<uint64_t> vectors(n * size), out(n * size, 42);
        tacit::OneHotEval({party, m, width, n, expected, &prg[party], 50}, top,
                          size, vectors);
        OneHotEvalArgs eval;
        eval.party = party;
        eval.m = m;
        eval.width = width;
        eval.field = gen.field[party];
        eval.material = material[party].data();
        eval.key = &key[party];
        eval.top.words = top.data();
        eval.size = size;
        eval.out = out.data();
        ASSERT_TRUE(DispatchOneHotEval(variant, eval, HostLauncher()).ok());
        EXPECT_EQ(out, vectors) << n << " size " << size;
      }
    }
  }
}

std::string ParamName(const testing::TestParamInfo<Param>& info) {
  return std::string(AesVariantName(std::get<0>(info.param))) + "_m" +
         std::to_string(std::get<1>(info.param)) + "_width" +
         std::to_string(std::get<2>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Default, OneHotTest,
                         testing::Combine(testing::Values(AesVariant::kTable1),
                                          testing::Values(1, 2, 3, 4, 5, 8, 11),
                                          testing::Values(1, 17, 32, 33, 64)),
                         ParamName);
INSTANTIATE_TEST_SUITE_P(Others, OneHotTest,
                         testing::Combine(testing::Values(AesVariant::kTable2,
                                                          AesVariant::kTable4,
                                                          AesVariant::kPlanes2,
                                                          AesVariant::kPlanes8),
                                          testing::Values(1, 9),
                                          testing::Values(20, 40)),
                         ParamName);

TEST(OneHotArgsTest, RejectsBadShapes) {
  uint8_t material[64] = {};
  PrgKey key = {};
  uint64_t word = 0, out[4];
  OneHotEvalArgs eval{0,       2, 20, OneRecord(1, 0), material, &key,
                      {&word}, 4, out};
  EXPECT_TRUE(CheckArgs(eval).ok());
  eval.size = 5;
  EXPECT_EQ(CheckArgs(eval).code(), Code::kInvalidArgument);
  eval.size = 4;
  eval.m = 25;
  EXPECT_EQ(CheckArgs(eval).code(), Code::kInvalidArgument);
  OneHotGenArgs gen;
  gen.field[0] = gen.field[1] = OneRecord(1, 0);
  gen.m = 2;
  gen.width = 65;
  EXPECT_EQ(CheckArgs(gen).code(), Code::kInvalidArgument);
  gen.width = 64;
  gen.alpha.words = &word;
  EXPECT_EQ(CheckArgs(gen).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace tacit::gpu
