#include "common/fss/dpf.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/buffer.h"
#include "common/fss/fss_internal.h"
#include "common/fss/test_vectors.h"
#include "common/prg/simd_targets.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using Positions = std::vector<uint64_t>;
using Bits = std::vector<uint8_t>;
using Table = std::vector<uint64_t>;

Seed TestSeed(uint8_t tag) {
  std::array<uint8_t, Seed::kBytes> bytes = {};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = 7 * i + tag;
  return Seed(bytes);
}

uint64_t DomainMask(int m) {
  return m == 64 ? ~uint64_t{0} : (uint64_t{1} << m) - 1;
}

Positions RandomPositions(int m, size_t count, uint64_t seed) {
  std::mt19937_64 rng(seed);  // test data, never key material
  Positions out(count);
  for (uint64_t& x : out) x = rng() & DomainMask(m);
  return out;
}

// Key pairs for `alpha`, at an arbitrary position of two streams.
class Pair {
 public:
  Pair(int m, Positions alpha, uint64_t position = 1000, uint8_t tag = 1)
      : m_(m),
        alpha_(std::move(alpha)),
        position_(position),
        prgs_{Prg(TestSeed(tag)), Prg(TestSeed(tag + 1))},
        keys_{Bits(DpfKeyBytes(m, 0, alpha_.size())),
              Bits(DpfKeyBytes(m, 1, alpha_.size()))},
        positive_(alpha_.size(), 42) {
    gen_aes_ =
        internal::CountedDpfGen(m_, alpha_, prgs_[0], prgs_[1], position_,
                                keys_[0], keys_[1], positive_);
  }

  size_t count() const { return alpha_.size(); }
  const Positions& alpha() const { return alpha_; }
  const Bits& key(int party) const { return keys_[party]; }
  const Bits& positive() const { return positive_; }
  uint64_t gen_aes() const { return gen_aes_; }
  DpfKeys View(int party) const {
    return {party, m_, count(), keys_[party], &prgs_[party], position_};
  }

  Bits Prefix(int party, const Positions& t) const {
    Bits out(count(), 42);
    DpfEvalPrefix(View(party), t, out);
    return out;
  }
  Bits Point(int party, const Positions& j) const {
    Bits out(count(), 42);
    DpfEvalPoint(View(party), j, out);
    return out;
  }
  std::vector<uint64_t> Window(int party, const Positions& start,
                               size_t length) const {
    std::vector<uint64_t> out(count() * ((length + 63) / 64), 42);
    DpfEvalWindow(View(party), start, length, out);
    return out;
  }
  // [tables][count]
  std::vector<Table> Sums(int party, const Positions& start,
                          const std::vector<Table>& tables) const {
    std::vector<Table> out(tables.size(), Table(count(), 42));
    std::vector<std::span<const uint64_t>> in(tables.begin(), tables.end());
    std::vector<std::span<uint64_t>> to(out.begin(), out.end());
    DpfWindowSum(View(party), start, WindowTables(in), to);
    return out;
  }

 private:
  int m_;
  Positions alpha_;
  uint64_t position_;
  Prg prgs_[2];
  Bits keys_[2];
  Bits positive_;
  uint64_t gen_aes_;
};

Positions All(uint64_t value, size_t count) { return Positions(count, value); }

Positions EveryPoint(int m) {
  Positions out(size_t{1} << m);
  for (size_t i = 0; i < out.size(); ++i) out[i] = i;
  return out;
}

// ---------------------------------------------------------------------------
// Every alpha and every position, on the best path.

class ExhaustiveTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(SmallDomains, ExhaustiveTest, ::testing::Range(1, 13));

TEST_P(ExhaustiveTest, PointSharesTheIndicator) {
  const Pair pair(GetParam(), EveryPoint(GetParam()));
  for (uint64_t j = 0; j < pair.count(); ++j) {
    const Bits b0 = pair.Point(0, All(j, pair.count()));
    const Bits b1 = pair.Point(1, All(j, pair.count()));
    for (size_t a = 0; a < pair.count(); ++a) {
      ASSERT_EQ(b0[a] ^ b1[a], a == j) << a << " " << j;
      // bit_0 at alpha is the sign.
      if (a == j) {
        ASSERT_EQ(b0[a], pair.positive()[a]) << a;
      }
    }
  }
}

TEST_P(ExhaustiveTest, PrefixSharesTheComparison) {
  const Pair pair(GetParam(), EveryPoint(GetParam()));
  for (uint64_t t = 0; t < pair.count(); ++t) {
    const Bits b0 = pair.Prefix(0, All(t, pair.count()));
    const Bits b1 = pair.Prefix(1, All(t, pair.count()));
    for (size_t a = 0; a < pair.count(); ++a) {
      ASSERT_EQ(b0[a] ^ b1[a], a <= t) << a << " " << t;
    }
  }
}

// The whole domain from every start: each bit is that of DpfEvalPoint.
TEST_P(ExhaustiveTest, WholeWindowsHoldEachPartysBits) {
  const int m = GetParam();
  const size_t size = size_t{1} << m;
  const size_t words = (size + 63) / 64;
  for (int party : {0, 1}) {
    const Pair pair(m, EveryPoint(m));
    std::vector<Bits> points;
    for (uint64_t j = 0; j < size; ++j) {
      points.push_back(pair.Point(party, All(j, size)));
    }
    // One key's window starts at each point: key i at 5 i + 3.
    Positions start(size);
    for (size_t i = 0; i < size; ++i) start[i] = (5 * i + 3) % size;
    const std::vector<uint64_t> bits = pair.Window(party, start, size);
    for (size_t i = 0; i < size; ++i) {
      for (size_t k = 0; k < 64 * words; ++k) {
        const uint64_t bit = (bits[i * words + k / 64] >> (k % 64)) & 1;
        ASSERT_EQ(bit, k < size ? points[(start[i] + k) % size][i] : 0)
            << i << " " << k;
      }
    }
  }
}

// ---------------------------------------------------------------------------
// Shapes, on every path.

class DpfTest : public SimdTargetTest {};
INSTANTIATE_TEST_SUITE_P(AllTargets, DpfTest,
                         ::testing::ValuesIn(CompiledTargets()),
                         TargetTestName);

// Positions that are alpha itself, its neighbours, and random ones.
Positions NearAlpha(int m, const Positions& alpha, uint64_t seed) {
  Positions out = RandomPositions(m, alpha.size(), seed);
  for (size_t i = 0; i < alpha.size(); ++i) {
    if (i % 4 < 3) out[i] = (alpha[i] + i % 4 - 1) & DomainMask(m);
  }
  return out;
}

void ExpectDefinition(int m, size_t count) {
  SCOPED_TRACE(::testing::Message() << "m=" << m << " count=" << count);
  const Pair pair(m, RandomPositions(m, count, 100 * m + count));
  const Positions at = NearAlpha(m, pair.alpha(), count);
  const Bits prefix0 = pair.Prefix(0, at), prefix1 = pair.Prefix(1, at);
  const Bits point0 = pair.Point(0, at), point1 = pair.Point(1, at);
  const Bits sign = pair.Point(0, pair.alpha());
  for (size_t i = 0; i < count; ++i) {
    ASSERT_EQ(prefix0[i] ^ prefix1[i], pair.alpha()[i] <= at[i]) << i;
    ASSERT_EQ(point0[i] ^ point1[i], pair.alpha()[i] == at[i]) << i;
    ASSERT_EQ(pair.positive()[i], sign[i]) << i;
  }
}

TEST_P(DpfTest, EveryDomain) {
  for (int m = 1; m <= kMaxDomainBits; ++m) ExpectDefinition(m, 37);
}

TEST_P(DpfTest, EveryCount) {
  for (size_t count : {0, 1, 2, 63, 64, 65, 127, 128, 129, 1000}) {
    for (int m : {4, 9, 10, 17}) ExpectDefinition(m, count);
  }
}

TEST_P(DpfTest, PositionsAreTakenModuloTheDomain) {
  for (int m : {1, 5, 9, 10, 12, 39}) {
    const Positions alpha = RandomPositions(m, 70, m);
    Positions shifted = alpha;
    for (uint64_t& a : shifted) a += 3 * (DomainMask(m) + 1);
    const Pair pair(m, alpha), same(m, shifted);
    EXPECT_EQ(pair.key(1), same.key(1));
    EXPECT_EQ(pair.positive(), same.positive());
    EXPECT_EQ(pair.Point(0, alpha), pair.Point(0, shifted));
    EXPECT_EQ(pair.Prefix(1, alpha), pair.Prefix(1, shifted));
    EXPECT_EQ(pair.Window(1, alpha, 2), pair.Window(1, shifted, 2));
  }
}

// Windows around alpha, bit by bit against DpfEvalPoint.
void ExpectWindow(int m, size_t length, size_t count) {
  SCOPED_TRACE(::testing::Message()
               << "m=" << m << " length=" << length << " count=" << count);
  const Pair pair(m, RandomPositions(m, count, m + 7 * length + count));
  std::mt19937_64 rng(length);
  Positions start(count);
  for (size_t i = 0; i < count; ++i) {
    start[i] = (pair.alpha()[i] - rng() % (length + 2)) & DomainMask(m);
  }
  if (count > 0) start[0] = DomainMask(m);  // wraps
  const size_t words = (length + 63) / 64;
  std::vector<uint64_t> windows[2];
  for (int party : {0, 1}) {
    windows[party] = pair.Window(party, start, length);
    // Not every bit of long windows; ExhaustiveTest has them all.
    const size_t step = length <= 65 ? 1 : 1 + length / 24;
    for (size_t k = 0; k < length; k += step) {
      Positions j = start;
      for (uint64_t& x : j) x += k;
      const Bits bits = pair.Point(party, j);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ((windows[party][i * words + k / 64] >> (k % 64)) & 1, bits[i])
            << i << " " << k;
      }
    }
  }
  for (size_t i = 0; i < count; ++i) {
    const uint64_t offset = (pair.alpha()[i] - start[i]) & DomainMask(m);
    for (size_t w = 0; w < words; ++w) {
      const uint64_t expected = offset < length && offset / 64 == w
                                    ? uint64_t{1} << (offset % 64)
                                    : 0;
      ASSERT_EQ(windows[0][i * words + w] ^ windows[1][i * words + w], expected)
          << i << " " << w;
    }
  }
}

TEST_P(DpfTest, WindowsOfEveryShape) {
  for (int m : {10, 11, 12, 13, 20, 39, 64}) {
    for (size_t length :
         {1, 2, 63, 64, 65, 127, 128, 129, 130, 160, 256, 257, 384, 385, 512}) {
      ExpectWindow(m, length, 5);
    }
  }
  for (int m = 10; m <= 12; ++m) {
    ExpectWindow(m, size_t{1} << m, 3);
    ExpectWindow(m, (size_t{1} << m) - 1, 3);
  }
}

TEST_P(DpfTest, DirectWindowsOfEveryLength) {
  for (int m = 1; m <= kMaxDirectBits; ++m) {
    for (size_t length = 1; length <= size_t{1} << m;
         length += 1 + length / 16) {
      ExpectWindow(m, length, 5);
    }
    ExpectWindow(m, size_t{1} << m, 65);
  }
}

TEST_P(DpfTest, WindowsOfEveryCount) {
  for (size_t count : {0, 1, 2, 63, 64, 65, 127, 128, 129, 1000}) {
    ExpectWindow(6, 40, count);
    ExpectWindow(12, 160, count);
  }
}

TEST_P(DpfTest, LargeWindows) {
  for (int m : {14, 16, 39}) {
    for (size_t length : {2000, 5000, 16000}) ExpectWindow(m, length, 3);
  }
}

Table RandomTable(size_t length, uint64_t seed) {
  return RandomPositions(64, length, seed);
}

void ExpectSums(int m, size_t length, size_t tables, size_t count) {
  SCOPED_TRACE(::testing::Message()
               << "m=" << m << " length=" << length << " tables=" << tables);
  const Pair pair(m, RandomPositions(m, count, m + length));
  std::vector<Table> t;
  for (size_t q = 0; q < tables; ++q) t.push_back(RandomTable(length, q));
  std::mt19937_64 rng(length);
  Positions start(count);
  for (size_t i = 0; i < count; ++i) {
    start[i] = pair.alpha()[i] - rng() % (length + 2);  // modulo 2^m
  }
  std::vector<Table> sums[2];
  const size_t words = (length + 63) / 64;
  for (int party : {0, 1}) {
    sums[party] = pair.Sums(party, start, t);
    // The definition, from this party's own bits.
    const std::vector<uint64_t> bits = pair.Window(party, start, length);
    for (size_t q = 0; q < tables; ++q) {
      for (size_t i = 0; i < count; ++i) {
        uint64_t sum = 0;
        for (size_t k = 0; k < length; ++k) {
          sum += ((bits[i * words + k / 64] >> (k % 64)) & 1) * t[q][k];
        }
        ASSERT_EQ(sums[party][q][i], party == 0 ? sum : -sum) << q << " " << i;
      }
    }
  }
  for (size_t q = 0; q < tables; ++q) {
    for (size_t i = 0; i < count; ++i) {
      const uint64_t k = (pair.alpha()[i] - start[i]) & DomainMask(m);
      const uint64_t entry = k < length ? t[q][k] : 0;
      ASSERT_EQ(sums[0][q][i] + sums[1][q][i],
                pair.positive()[i] ? entry : -entry)
          << q << " " << i;
    }
  }
}

TEST_P(DpfTest, WindowSumsFollowTheDefinition) {
  for (size_t tables = 0; tables <= kMaxWindowTables; ++tables) {
    for (int m : {1, 3, 5, 6, 9}) {
      ExpectSums(m, size_t{1} << m, tables, 20);
      ExpectSums(m, (size_t{1} << m) / 2 + 1, tables, 20);
    }
    for (int m : {10, 12, 39, 64}) {
      for (size_t length : {1, 63, 64, 65, 127, 128, 129, 160, 384}) {
        ExpectSums(m, length, tables, 20);
      }
    }
  }
  for (size_t count : {0, 1, 63, 64, 65, 1000}) ExpectSums(12, 160, 2, count);
  ExpectSums(16, 5000, 2, 5);
  ExpectSums(10, 1024, 1, 5);
}

// ---------------------------------------------------------------------------
// Formats and costs

TEST_P(DpfTest, MatchesIndependentVectors) {
  for (const VectorRecord& v : ReadVectors("dpf")) {
    const int m = v.Number("m");
    const size_t count = v.Number("count");
    SCOPED_TRACE(::testing::Message() << "m=" << m << " count=" << count);
    const uint64_t position = v.Number("position");
    const Prg prgs[2] = {Prg(v.SeedOf("seed0")), Prg(v.SeedOf("seed1"))};
    Bits key0(DpfKeyBytes(m, 0, count)), key1(DpfKeyBytes(m, 1, count));
    Bits positive(count);
    DpfGen(m, v.Numbers("alpha"), prgs[0], prgs[1], position, key0, key1,
           positive);
    EXPECT_EQ(key1, v.Bytes("key"));
    if (!DpfIsDirect(m)) {
      EXPECT_EQ(key0, key1);
    }
    EXPECT_EQ(positive, v.Bits("positive"));

    const Positions at = v.Numbers("at"), start = v.Numbers("start");
    const size_t length = v.Number("length");
    std::vector<Table> tables(2, Table(length));
    for (uint64_t k = 0; k < length; ++k) {
      for (uint64_t q : {0, 1}) {
        tables[q][k] = (k + 1) * 0x9E3779B97F4A7C15 + q * 0xD1B54A32D192ED03;
      }
    }
    for (int party : {0, 1}) {
      const std::string b = std::to_string(party);
      const DpfKeys keys{party,        m,       count, party ? key1 : key0,
                         &prgs[party], position};
      Bits out(count);
      DpfEvalPrefix(keys, at, out);
      EXPECT_EQ(out, v.Bits("prefix" + b));
      DpfEvalPoint(keys, at, out);
      EXPECT_EQ(out, v.Bits("point" + b));
      std::vector<uint64_t> bits(count * ((length + 63) / 64));
      DpfEvalWindow(keys, start, length, bits);
      EXPECT_EQ(bits, v.Numbers("window" + b));
      Table sums[2] = {Table(count), Table(count)};
      const std::span<const uint64_t> in[2] = {tables[0], tables[1]};
      const std::span<uint64_t> to[2] = {sums[0], sums[1]};
      DpfWindowSum(keys, start, WindowTables(in), to);
      EXPECT_EQ(sums[0], v.Numbers("sum" + b + "0"));
      EXPECT_EQ(sums[1], v.Numbers("sum" + b + "1"));
    }
  }
}

TEST_P(DpfTest, KeyFillsItsBytesToTheLast) {
  for (int m : {1, 3, 4, 9, 10, 39, 64}) {
    for (size_t count : {1, 2, 65}) {
      const size_t bytes = DpfKeyBytes(m, 1, count);
      if (DpfIsDirect(m)) {
        EXPECT_EQ(DpfKeyBytes(m, 0, count), 0u);
      }
      const Pair pair(m, RandomPositions(m, count, 5));
      const DpfKeys whole = pair.View(1);
      // Changing any one byte changes some output: nothing is left unread.
      // Short direct strings (m < 3) use only part of their byte.
      for (size_t at : {size_t{0}, bytes / 2, bytes - 1}) {
        Bits changed = pair.key(1);
        changed[at] ^= 0xFF;
        DpfKeys keys = whole;
        keys.key = changed;
        const size_t length = std::min<uint64_t>(DomainMask(m), 1023) + 1;
        const Positions start =
            m <= 10 ? All(0, count) : pair.alpha();  // all points, if few
        const size_t words = (length + 63) / 64;
        std::vector<uint64_t> before(count * words), after(count * words);
        DpfEvalWindow(whole, start, length, before);
        DpfEvalWindow(keys, start, length, after);
        // A control bit of 0 ignores a correction word, so allow the other
        // party to be the one that reads it.
        DpfKeys other = pair.View(0);
        std::vector<uint64_t> before0(count * words), after0(count * words);
        DpfEvalWindow(other, start, length, before0);
        if (m > kMaxDirectBits) other.key = changed;
        DpfEvalWindow(other, start, length, after0);
        EXPECT_TRUE(before != after || before0 != after0)
            << "m=" << m << " byte " << at;
      }
    }
  }
}

TEST_P(DpfTest, UnalignedKeysWork) {
  const Pair pair(20, RandomPositions(20, 70, 1));
  Bits moved(pair.key(1).size() + 1);
  std::copy(pair.key(1).begin(), pair.key(1).end(), moved.begin() + 1);
  DpfKeys keys = pair.View(1);
  keys.key = std::span<const uint8_t>(moved).subspan(1);
  Bits out(70);
  DpfEvalPrefix(keys, pair.alpha(), out);
  EXPECT_EQ(out, pair.Prefix(1, pair.alpha()));
}

// Whole groups of a batch can be evaluated on their own.
TEST_P(DpfTest, GroupsOfABatchStandAlone) {
  for (int m : {3, 7, 9, 10, 30}) {
    const size_t count = 150, first = 128;
    const Pair pair(m, RandomPositions(m, count, 9));
    for (int party : {0, 1}) {
      DpfKeys keys = pair.View(party);
      keys.key = keys.key.subspan(DpfKeyBytes(m, party, first));
      keys.position += DpfPrgBlocks(m, first);
      keys.count = count - first;
      const Positions t = RandomPositions(m, count, 10);
      Bits out(keys.count);
      DpfEvalPrefix(keys, std::span(t).subspan(first), out);
      const Bits whole = pair.Prefix(party, t);
      EXPECT_TRUE(std::equal(out.begin(), out.end(), whole.begin() + first));
    }
  }
}

TEST_P(DpfTest, CountedAesIsAsDeclared) {
  for (int m : {1, 9, 10, 11, 12, 17, 39, 64}) {
    for (size_t count : {0, 1, 64, 65, 129}) {
      const Pair pair(m, RandomPositions(m, count, 3));
      EXPECT_EQ(pair.gen_aes(), DpfGenAes(m, count));
      Bits out(count);
      const DpfKeys keys = pair.View(0);
      EXPECT_EQ(internal::CountedDpfEvalPrefix(keys, pair.alpha(), out),
                DpfPathAes(m, count));
      EXPECT_EQ(internal::CountedDpfEvalPoint(keys, pair.alpha(), out),
                DpfPathAes(m, count));
      for (size_t length : {1, 2, 127, 128, 129, 160, 384, 5000}) {
        if (m < 13 && length > size_t{1} << m) continue;
        std::vector<uint64_t> bits(count * ((length + 63) / 64));
        EXPECT_EQ(
            internal::CountedDpfEvalWindow(keys, pair.alpha(), length, bits),
            DpfWindowAes(m, length, count))
            << m << " " << length;
        const Table table(length);
        Table sum(count);
        const std::span<const uint64_t> in[1] = {table};
        const std::span<uint64_t> to[1] = {sum};
        EXPECT_EQ(internal::CountedDpfWindowSum(keys, pair.alpha(),
                                                WindowTables(in), to),
                  DpfWindowAes(m, length, count));
      }
    }
  }
}

TEST(DpfWindowAesTest, KnownShapes) {
  // m = 12 has five levels; three leaf blocks under 1, 2, 2, 2, 2 nodes.
  EXPECT_EQ(DpfWindowAes(12, 160, 1), 3u + 2 + 2 + 2 + 2 + 1);
  EXPECT_EQ(DpfWindowAes(12, 1, 1), 6u);                 // one path
  EXPECT_EQ(DpfWindowAes(10, 1024, 1), 8u + 4 + 2 + 1);  // the whole tree
  EXPECT_EQ(DpfWindowAes(9, 512, 100), 0u);
  EXPECT_EQ(DpfWindowAes(39, 160, 10), 10 * DpfWindowAes(39, 160, 1));
}

TEST(DpfDeathTest, WrongSizesEndTheProcess) {
  const Pair pair(12, RandomPositions(12, 4, 1));
  DpfKeys keys = pair.View(1);
  Bits out(4);
  Positions t(4);
  keys.key = keys.key.first(keys.key.size() - 1);
  EXPECT_DEATH(DpfEvalPrefix(keys, t, out), "DpfKeyBytes");
  std::vector<uint64_t> bits(4 * 65);
  EXPECT_DEATH(DpfEvalWindow(pair.View(1), t, 4097, bits), "length <= 2\\^m");
}

// Every path against the baseline, all outputs.
TEST_P(DpfTest, EqualsTheBaselineBitForBit) {
  for (int m : {2, 9, 10, 13, 39, 64}) {
    const Positions alpha = RandomPositions(m, 131, m);
    const Positions at = NearAlpha(m, alpha, 1);
    const size_t length = std::min<uint64_t>(DomainMask(m), 199) + 1;
    const std::vector<Table> tables = {RandomTable(length, 1),
                                       RandomTable(length, 2)};
    const auto outputs = [&](int party) {
      const Pair pair(m, alpha);
      return std::make_tuple(pair.key(party), pair.positive(),
                             pair.Prefix(party, at), pair.Point(party, at),
                             pair.Window(party, at, length),
                             pair.Sums(party, at, tables));
    };
    for (int party : {0, 1}) {
      const auto here = outputs(party);
      ScopedTarget baseline(HWY_STATIC_TARGET);
      const auto there = outputs(party);
      EXPECT_EQ(here, there) << "m=" << m << " party " << party;
    }
    ScopedTarget back(GetParam());
  }
}

// ---------------------------------------------------------------------------
// What one party sees does not depend on alpha. Fixed seeds: these either
// always pass or always fail.

constexpr size_t kSamples = size_t{1} << 14;

// Upper 1e-6 point of chi-square with 255 degrees of freedom, by the
// Wilson-Hilferty cube: 255 (1 - 2/2295 + 4.7534 sqrt(2/2295))^3.
double ChiSquareLimit() {
  const double c = 2.0 / (9 * 255);
  return 255 * std::pow(1 - c + 4.7534 * std::sqrt(c), 3);
}

using Histogram = std::array<double, 256>;

// All a party holds for one key, its part of the stream included:
// histograms by byte offset.
std::vector<Histogram> View(int m, int party, uint64_t alpha, uint8_t tag) {
  const Pair pair(m, All(alpha, kSamples), 0, tag);
  const size_t from_prg =
      DpfIsDirect(m) ? (party == 0 ? DirectBytes(m) : 0) : 16;
  const size_t from_key = DpfKeyBytes(m, party, 1);
  Buffer<Block> stream(DpfPrgBlocks(m, kSamples));
  pair.View(party).prg->Fill(0, std::span<Block>(stream));
  const uint8_t* own = reinterpret_cast<const uint8_t*>(stream.data());
  std::vector<Histogram> view(from_prg + from_key, Histogram{});
  for (size_t i = 0; i < kSamples; ++i) {
    for (size_t k = 0; k < from_prg; ++k) ++view[k][own[i * from_prg + k]];
    for (size_t k = 0; k < from_key; ++k) {
      // Direct keys one after the other; else groups of 64, by level.
      const size_t at = DpfIsDirect(m)
                            ? i * from_key + k
                            : i / kDpfGroup * kDpfGroup * from_key +
                                  (k / 16 * kDpfGroup + i % kDpfGroup) * 16 +
                                  k % 16;
      ++view[from_prg + k][pair.key(party)[at]];
    }
  }
  return view;
}

class DpfViewTest : public ::testing::TestWithParam<std::tuple<int, int>> {};
INSTANTIATE_TEST_SUITE_P(Domains, DpfViewTest,
                         ::testing::Combine(::testing::Values(3, 5, 9, 10, 16,
                                                              39),
                                            ::testing::Values(0, 1)));

TEST_P(DpfViewTest, BytesAreUniformAndIndependentOfAlpha) {
  const auto [m, party] = GetParam();
  const uint64_t alphas[2] = {0, DomainMask(m) / 3 * 2 + 1};
  std::vector<Histogram> views[2];
  for (int s : {0, 1}) {
    // Different streams, so that the two samples are independent.
    views[s] = View(m, party, alphas[s], 10 * s);
    for (size_t k = 0; k < views[s].size(); ++k) {
      const double expected = kSamples / 256.0;
      double chi = 0;
      for (double n : views[s][k]) {
        chi += (n - expected) * (n - expected) / expected;
      }
      EXPECT_LT(chi, ChiSquareLimit())
          << "alpha " << alphas[s] << " byte " << k;
    }
  }
  ASSERT_EQ(views[0].size(), views[1].size());
  for (size_t k = 0; k < views[0].size(); ++k) {  // two samples
    double chi = 0;
    for (size_t v = 0; v < 256; ++v) {
      const double x = views[0][k][v], y = views[1][k][v];
      if (x + y > 0) chi += (x - y) * (x - y) / (x + y);
    }
    EXPECT_LT(chi, ChiSquareLimit()) << "byte " << k;
  }
}

TEST_P(DpfViewTest, BitStringsAreBalanced) {
  const auto [m, party] = GetParam();
  const size_t length = std::min<uint64_t>(DomainMask(m), 255) + 1;
  const Pair pair(m, All(0, 4096));
  const std::vector<uint64_t> bits = pair.Window(party, All(0, 4096), length);
  const size_t words = (length + 63) / 64;
  const double limit = 5.5 * std::sqrt(4096) / 2;
  for (size_t k = 0; k < length; ++k) {  // also at k = alpha
    double ones = 0;
    for (size_t i = 0; i < 4096; ++i) {
      ones += (bits[i * words + k / 64] >> (k % 64)) & 1;
    }
    EXPECT_LT(std::abs(ones - 2048), limit) << k;
  }
}

}  // namespace
}  // namespace tacit
