#include "common/ring/elementwise.h"

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "common/ring/targets_test_util.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using Vec = std::vector<uint64_t>;

constexpr size_t kCounts[] = {0,  1,  2,  3,  7,  8,   9,   15,  16,
                              17, 31, 32, 33, 63, 127, 128, 129, 1000};

class ElementwiseTest : public TargetTest {
 protected:
  // Checks `run` against `expected`, element by element, for every count and
  // with `out` apart from the inputs, the same as a, and the same as b.
  void Check(
      const std::function<void(ConstWordSpan, ConstWordSpan, WordSpan)>& run,
      const std::function<uint64_t(uint64_t a, uint64_t b, uint64_t out)>&
          expected) {
    for (size_t n : kCounts) {
      const Vec a = RandomWords(n, rng_), b = RandomWords(n, rng_);
      const Vec old = RandomWords(n, rng_);
      Vec out = old, in_a = a, in_b = b;
      run(a, b, out);
      run(in_a, b, in_a);
      run(a, in_b, in_b);
      for (size_t i = 0; i < n; ++i) {
        ASSERT_EQ(out[i], expected(a[i], b[i], old[i])) << i << " of " << n;
        ASSERT_EQ(in_a[i], expected(a[i], b[i], a[i])) << i << " of " << n;
        ASSERT_EQ(in_b[i], expected(a[i], b[i], b[i])) << i << " of " << n;
      }
    }
  }
  void CheckUnary(const std::function<void(ConstWordSpan, WordSpan)>& run,
                  const std::function<uint64_t(uint64_t)>& expected) {
    Check([&](ConstWordSpan a, ConstWordSpan, WordSpan out) { run(a, out); },
          [&](uint64_t a, uint64_t, uint64_t) { return expected(a); });
  }

  std::mt19937_64 rng_{7};
};

using W = uint64_t;

TEST_P(ElementwiseTest, AddsModulo64Bits) {
  Check(Add, [](W a, W b, W) { return a + b; });
}

TEST_P(ElementwiseTest, SubtractsModulo64Bits) {
  Check(Sub, [](W a, W b, W) { return a - b; });
}

TEST_P(ElementwiseTest, MultipliesModulo64Bits) {
  Check(Mul, [](W a, W b, W) { return a * b; });
}

TEST_P(ElementwiseTest, AddsProductToOut) {
  Check(MulAdd, [](W a, W b, W out) { return out + a * b; });
}

TEST_P(ElementwiseTest, SubtractsProductFromOut) {
  Check(MulSub, [](W a, W b, W out) { return out - a * b; });
}

TEST_P(ElementwiseTest, Negates) {
  CheckUnary(Negate, [](W a) { return -a; });
}

TEST_P(ElementwiseTest, AddsAndMultipliesByScalar) {
  for (const uint64_t s : {W{0}, W{1}, ~W{0}, W{0x123456789ABCDEF1}}) {
    CheckUnary([s](ConstWordSpan a, WordSpan out) { AddScalar(a, s, out); },
               [s](W a) { return a + s; });
    CheckUnary([s](ConstWordSpan a, WordSpan out) { MulScalar(a, s, out); },
               [s](W a) { return a * s; });
  }
}

TEST_P(ElementwiseTest, ShiftsRightWithinTheWidth) {
  for (const int width : {1, 7, 32, 40, 63, 64}) {
    for (const int bits : {0, 1, 12, 40, 63}) {
      const unsigned __int128 modulus = static_cast<unsigned __int128>(1)
                                        << width;
      CheckUnary([&](ConstWordSpan a,
                     WordSpan out) { ShiftRight(a, width, bits, out); },
                 [&](W a) { return static_cast<W>(a % modulus >> bits); });
    }
  }
}

TEST_P(ElementwiseTest, ShiftsLeft) {
  for (const int bits : {0, 1, 12, 40, 63}) {
    CheckUnary(
        [bits](ConstWordSpan a, WordSpan out) { ShiftLeft(a, bits, out); },
        [bits](W a) { return a * (W{1} << bits); });
  }
}

TEST_P(ElementwiseTest, ReducesModuloEveryWidth) {
  for (int width = 1; width <= 64; ++width) {
    const unsigned __int128 modulus = static_cast<unsigned __int128>(1)
                                      << width;
    CheckUnary([=](ConstWordSpan a, WordSpan out) { ReduceAll(a, width, out); },
               [=](W a) { return static_cast<W>(a % modulus); });
  }
}

TEST_P(ElementwiseTest, SumsAndInnerProducts) {
  for (size_t n : kCounts) {
    const Vec a = RandomWords(n, rng_), b = RandomWords(n, rng_);
    uint64_t sum = 0, dot = 0;
    for (size_t i = 0; i < n; ++i) {
      sum += a[i];
      dot += a[i] * b[i];
    }
    EXPECT_EQ(Sum(a), sum) << n;
    EXPECT_EQ(Dot(a, b), dot) << n;
  }
}

TACIT_INSTANTIATE_TARGET_TEST(ElementwiseTest);

}  // namespace
}  // namespace tacit
