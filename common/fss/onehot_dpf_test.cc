#include "common/fss/onehot_dpf.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "common/fss/fss_internal.h"
#include "common/fss/test_vectors.h"
#include "common/prg/simd_targets.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

Seed TestSeed(uint8_t tag) {
  std::array<uint8_t, Seed::kBytes> bytes = {};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = 11 * i + tag;
  return Seed(bytes);
}

uint64_t WidthMask(int width) { return ~uint64_t{0} >> (64 - width); }

class Pair {
 public:
  Pair(int m, int width, std::vector<uint64_t> alpha, uint8_t tag = 1)
      : m_(m),
        width_(width),
        alpha_(std::move(alpha)),
        prgs_{Prg(TestSeed(tag)), Prg(TestSeed(tag + 1))},
        key_(OneHotKeyBytes(m, width, alpha_.size())) {
    gen_aes_ = internal::CountedOneHotGen(m, width, alpha_, prgs_[0], prgs_[1],
                                          kPosition, key_);
  }

  const std::vector<uint8_t>& key() const { return key_; }
  uint64_t gen_aes() const { return gen_aes_; }
  OneHotKeys View(int party) const {
    return {party, m_, width_, alpha_.size(), key_, &prgs_[party], kPosition};
  }
  std::vector<uint64_t> Eval(int party, const std::vector<uint64_t>& top,
                             size_t size) const {
    std::vector<uint64_t> out(alpha_.size() * size, 42);
    eval_aes_ = internal::CountedOneHotEval(View(party), top, size, out);
    return out;
  }
  uint64_t eval_aes() const { return eval_aes_; }

 private:
  static constexpr uint64_t kPosition = 77;
  int m_, width_;
  std::vector<uint64_t> alpha_;
  Prg prgs_[2];
  std::vector<uint8_t> key_;
  uint64_t gen_aes_;
  mutable uint64_t eval_aes_ = 0;
};

class OneHotTest : public SimdTargetTest {};
INSTANTIATE_TEST_SUITE_P(AllTargets, OneHotTest,
                         ::testing::ValuesIn(CompiledTargets()),
                         TargetTestName);

void ExpectOneHot(int m, int width, const std::vector<uint64_t>& alpha,
                  const std::vector<uint64_t>& top, size_t size) {
  SCOPED_TRACE(::testing::Message()
               << "m=" << m << " width=" << width << " size=" << size);
  const Pair pair(m, width, alpha);
  const std::vector<uint64_t> out0 = pair.Eval(0, top, size);
  const std::vector<uint64_t> out1 = pair.Eval(1, top, size);
  const uint64_t domain_mask = (uint64_t{1} << m) - 1;
  for (size_t i = 0; i < alpha.size(); ++i) {
    for (size_t v = 0; v < size; ++v) {
      const uint64_t sum = out0[i * size + v] + out1[i * size + v];
      ASSERT_EQ(sum & WidthMask(width),
                (alpha[i] & domain_mask) == ((top[i] - v) & domain_mask))
          << i << " " << v;
    }
  }
}

// Every alpha; tops go round the domain.
TEST_P(OneHotTest, EveryAlpha) {
  for (int m = 1; m <= 7; ++m) {
    const size_t points = size_t{1} << m;
    std::vector<uint64_t> alpha(points), top(points);
    for (size_t shift = 0; shift < points; shift += 1 + points / 8) {
      for (size_t i = 0; i < points; ++i) {
        alpha[i] = i;
        top[i] = i + shift;
      }
      for (int width : {1, 16, 32, 33, 64}) {
        ExpectOneHot(m, width, alpha, top, points);
      }
    }
  }
}

TEST_P(OneHotTest, EveryCountAndSize) {
  std::mt19937_64 rng(5);
  for (size_t count : {0, 1, 2, 15, 16, 17, 65}) {
    std::vector<uint64_t> alpha(count), top(count);
    for (size_t i = 0; i < count; ++i) {
      alpha[i] = rng();
      top[i] = alpha[i] + rng() % 70;
    }
    for (size_t size : {0, 1, 2, 63, 64, 65, 255, 256}) {
      ExpectOneHot(8, 40, alpha, top, size);
      ExpectOneHot(8, 20, alpha, top, size);
    }
  }
}

// More leaves than one run; sizes that end inside one.
TEST_P(OneHotTest, LargeDomains) {
  for (int m : {12, 13, 14}) {
    for (int width : {32, 64}) {
      ExpectOneHot(m, width, {5, 4095, 77}, {9, 3, 70}, (size_t{1} << m) - 700);
    }
  }
}

TEST_P(OneHotTest, MatchesIndependentVectors) {
  for (const VectorRecord& v : ReadVectors("onehot")) {
    const int m = v.Number("m"), width = v.Number("width");
    SCOPED_TRACE(::testing::Message() << "m=" << m << " width=" << width);
    const size_t count = v.Number("count"), size = v.Number("size");
    const Prg prgs[2] = {Prg(v.SeedOf("seed0")), Prg(v.SeedOf("seed1"))};
    std::vector<uint8_t> key(OneHotKeyBytes(m, width, count));
    OneHotGen(m, width, v.Numbers("alpha"), prgs[0], prgs[1],
              v.Number("position"), key);
    EXPECT_EQ(key, v.Bytes("key"));
    for (int party : {0, 1}) {
      std::vector<uint64_t> out(count * size);
      OneHotEval(
          {party, m, width, count, key, &prgs[party], v.Number("position")},
          v.Numbers("top"), size, out);
      for (uint64_t& x : out) x &= WidthMask(width);
      EXPECT_EQ(out, v.Numbers("out" + std::to_string(party)));
    }
  }
}

TEST_P(OneHotTest, CountedAesIsAsDeclared) {
  for (int m : {1, 2, 3, 8, 13}) {
    for (int width : {32, 64}) {
      for (size_t count : {1, 3, 17}) {
        const Pair pair(m, width, std::vector<uint64_t>(count, 1));
        EXPECT_EQ(pair.gen_aes(), OneHotGenAes(m, width, count));
        pair.Eval(0, std::vector<uint64_t>(count), 2);
        EXPECT_EQ(pair.eval_aes(), OneHotEvalAes(m, width, count));
      }
    }
  }
}

TEST_P(OneHotTest, EqualsTheBaselineBitForBit) {
  for (int m : {1, 2, 6, 11}) {
    for (int width : {20, 32, 64}) {
      const std::vector<uint64_t> alpha = {1, 2, 1000}, top = {5, 2, 900};
      const auto outputs = [&](int party) {
        const Pair pair(m, width, alpha);
        return std::make_pair(pair.key(),
                              pair.Eval(party, top, size_t{1} << m));
      };
      for (int party : {0, 1}) {
        const auto here = outputs(party);
        ScopedTarget baseline(HWY_STATIC_TARGET);
        EXPECT_EQ(here, outputs(party)) << m << " " << width;
      }
      ScopedTarget back(GetParam());
    }
  }
}

// The largest domain, on the best path only: 2^24 points.
TEST(OneHotLargestTest, SharesOneHot) {
  ExpectOneHot(kMaxOneHotBits, 32, {0xABCDEF}, {0xABCDEF + 12345}, 20000);
  ExpectOneHot(kMaxOneHotBits, 64, {0xABCDEF}, {3}, 20000);
}

// Bytes of the key are uniform, whatever alpha is; see dpf_test.cc.
TEST(OneHotViewTest, KeyBytesAreUniformAndIndependentOfAlpha) {
  constexpr size_t kSamples = size_t{1} << 14;
  const double c = 2.0 / (9 * 255);
  const double limit = 255 * std::pow(1 - c + 4.7534 * std::sqrt(c), 3);
  for (int width : {32, 64}) {
    const size_t bytes = OneHotKeyBytes(5, width, 1);
    std::vector<std::array<double, 256>> counts[2];
    for (int s : {0, 1}) {
      const Pair pair(5, width, std::vector<uint64_t>(kSamples, s ? 21 : 0),
                      20 * s);
      counts[s].resize(bytes, {});
      for (size_t i = 0; i < pair.key().size(); ++i) {
        ++counts[s][i % bytes][pair.key()[i]];
      }
      for (size_t k = 0; k < bytes; ++k) {
        double chi = 0;
        for (double n : counts[s][k]) chi += (n - 64) * (n - 64) / 64;
        EXPECT_LT(chi, limit) << width << " " << k;
      }
    }
    for (size_t k = 0; k < bytes; ++k) {
      double chi = 0;
      for (size_t v = 0; v < 256; ++v) {
        const double x = counts[0][k][v], y = counts[1][k][v];
        if (x + y > 0) chi += (x - y) * (x - y) / (x + y);
      }
      EXPECT_LT(chi, limit) << width << " " << k;
    }
  }
}

}  // namespace
}  // namespace tacit
