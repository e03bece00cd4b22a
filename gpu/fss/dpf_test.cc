// The kernels of gpu/fss, every thread of their launches on the host, against
// common/fss: keys of either side are evaluated by the other. The same bodies
// run on a device in dpf_check.cc.
#include "common/fss/dpf.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "common/fss/fss_internal.h"
#include "common/prg/prg.h"
#include "common/prg/seed.h"
#include "gpu/fss/dpf.h"
#include "gpu/fss/dpf_dispatch.h"
#include "gpu/kernel/phased.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

using Positions = std::vector<uint64_t>;
using Bytes = std::vector<uint8_t>;

Seed TestSeed(uint8_t tag) {
  std::array<uint8_t, Seed::kBytes> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(tag * 41 + i * 13);
  }
  return Seed(bytes);
}

Positions RandomPositions(size_t count, uint64_t seed) {
  std::mt19937_64 rng(seed);
  Positions out(count);
  for (uint64_t& x : out) x = rng();
  return out;
}

// n keys in records of `block`, made by common/fss; the records lie `skew`
// bytes after an aligned address, with a gap after each.
class HostKeys {
 public:
  static constexpr uint8_t kGap = 0xA5;

  HostKeys(int m, size_t n, size_t block, size_t skew)
      : m_(m), alpha_(RandomPositions(n, m * 1000 + n)), positive_(n) {
    for (int b = 0; b < 2; ++b) {
      seed_[b] = std::make_unique<Seed>(TestSeed(static_cast<uint8_t>(b + 1)));
      prg_[b] = std::make_unique<Prg>(*seed_[b]);
      ExpandPrgKey(seed_[b]->bytes().data(), key_[b]);
      field_[b] = Layout(b, n, block, skew);
      material_[b] =
          Bytes(field_[b].bytes_last + DpfKeyBytes(m, b, block) + 64, kGap);
    }
    ForRecords([&](const FieldRecord& r) {
      const std::span<const uint64_t> alpha(alpha_);
      tacit::DpfGen(m, alpha.subspan(r.first, r.count), *prg_[0], *prg_[1],
                    r.stream, Key(0, r), Key(1, r),
                    std::span(positive_).subspan(r.first, r.count));
    });
  }

  DpfBatch Batch(int party) const {
    return {party, m_, field_[party], material_[party].data(), &key_[party]};
  }
  // Arguments of a generation of the same keys into `material`.
  DpfGenArgs GenArgs(Bytes (&material)[2], Bytes& positive) const {
    DpfGenArgs args;
    args.m = m_;
    for (int b = 0; b < 2; ++b) {
      material[b] = Bytes(material_[b].size(), kGap);
      args.field[b] = field_[b];
      args.material[b] = material[b].data();
      args.key[b] = &key_[b];
    }
    args.alpha.words = alpha_.data();
    positive = Bytes(alpha_.size(), 42);
    args.positive = positive.data();
    return args;
  }

  // fn(record, the record's keys as common/fss takes them).
  template <class Fn>
  void ForBatches(int party, const Fn& fn) const {
    ForRecords([&](const FieldRecord& r) {
      fn(r,
         DpfKeys{party, m_, r.count,
                 std::span<const uint8_t>(material_[party])
                     .subspan(Begin(party, r), DpfKeyBytes(m_, party, r.count)),
                 prg_[party].get(), r.stream});
    });
  }

  size_t n() const { return alpha_.size(); }
  const Positions& alpha() const { return alpha_; }
  const Bytes& material(int party) const { return material_[party]; }
  const Bytes& positive() const { return positive_; }

 private:
  FieldLayout Layout(int party, size_t n, size_t block, size_t skew) const {
    const size_t last = n == 0 ? 0 : (n - 1) / block;
    FieldLayout field;
    field.n = n;
    field.block = block;
    field.stream = 1000;
    field.stream_step = DpfPrgBlocks(m_, block) + 2;
    field.stream_last = 1000 + last * field.stream_step + (last > 0 ? 1 : 0);
    field.bytes = skew;
    field.bytes_step = DpfKeyBytes(m_, party, block) + 8;
    field.bytes_last = skew + last * field.bytes_step + (last > 0 ? 3 : 0);
    if (last == 0) {
      field.stream = field.stream_last;
      field.bytes = field.bytes_last;
    }
    return field;
  }
  template <class Fn>
  void ForRecords(const Fn& fn) const {
    for (uint64_t r = 0; r < field_[0].records(); ++r) {
      fn(RecordAt(field_[0], r));
    }
  }
  size_t Begin(int party, const FieldRecord& r) const {
    return RecordAt(field_[party], r.first / field_[party].block).bytes;
  }
  std::span<uint8_t> Key(int party, const FieldRecord& r) {
    return std::span(material_[party])
        .subspan(Begin(party, r), DpfKeyBytes(m_, party, r.count));
  }

  int m_;
  Positions alpha_;
  Bytes positive_;
  std::unique_ptr<Seed> seed_[2];
  std::unique_ptr<Prg> prg_[2];
  PrgKey key_[2];
  FieldLayout field_[2];
  Bytes material_[2];
};

struct Shape {
  size_t n, block, skew;
};
constexpr Shape kShapes[] = {{0, 64, 0},    {1, 64, 0},    {2, 8, 8},
                             {63, 1024, 5}, {64, 64, 0},   {65, 1024, 8},
                             {200, 64, 3},  {257, 128, 0}, {300, 17, 1}};

TEST(HashKeyTest, EqualsTheHosts) {
  const tacit::internal::AesRoundKeys& expected =
      tacit::internal::HashRoundKeys();
  EXPECT_EQ(std::memcmp(HashKey().words, expected.data(), expected.size()), 0);
}

class DpfVariantTest
    : public testing::TestWithParam<std::tuple<AesVariant, int>> {
 protected:
  AesVariant variant() const { return std::get<0>(GetParam()); }
  int m() const { return std::get<1>(GetParam()); }
};

TEST_P(DpfVariantTest, GenWritesTheHostsKeysAndNothingElse) {
  for (const Shape& shape : kShapes) {
    const HostKeys keys(m(), shape.n, shape.block, shape.skew);
    Bytes material[2], positive;
    const DpfGenArgs args = keys.GenArgs(material, positive);
    ASSERT_TRUE(DispatchGen(variant(), args, HostLauncher()).ok());
    EXPECT_EQ(positive, keys.positive()) << shape.n;
    EXPECT_EQ(material[0], keys.material(0)) << shape.n;
    EXPECT_EQ(material[1], keys.material(1)) << shape.n;
  }
}

// Points equal to alpha, beside it, and anywhere.
TEST_P(DpfVariantTest, PathsEqualTheHosts) {
  for (const Shape& shape : kShapes) {
    const HostKeys keys(m(), shape.n, shape.block, shape.skew);
    Positions points = RandomPositions(shape.n, 5);
    for (size_t i = 0; i + 2 < shape.n; i += 4) {
      points[i] = keys.alpha()[i];
      points[i + 1] = keys.alpha()[i + 1] - 1;
    }
    for (int party = 0; party < 2; ++party) {
      Bytes prefix(shape.n), point(shape.n);
      keys.ForBatches(party, [&](const FieldRecord& r, const DpfKeys& batch) {
        const std::span<const uint64_t> at =
            std::span<const uint64_t>(points).subspan(r.first, r.count);
        DpfEvalPrefix(batch, at, std::span(prefix).subspan(r.first, r.count));
        DpfEvalPoint(batch, at, std::span(point).subspan(r.first, r.count));
      });
      Bytes out(shape.n, 42);
      DpfPathArgs args;
      args.keys = keys.Batch(party);
      args.points.words = points.data();
      args.out = out.data();
      ASSERT_TRUE(DispatchPath(variant(), args, HostLauncher()).ok());
      EXPECT_EQ(out, prefix) << shape.n << " party " << party;
      args.output = PathOutput::kPoint;
      ASSERT_TRUE(DispatchPath(variant(), args, HostLauncher()).ok());
      EXPECT_EQ(out, point) << shape.n << " party " << party;
    }
  }
}

// Lengths around leaves, passes and the whole domain; windows that wrap.
TEST_P(DpfVariantTest, WindowSumsEqualTheHosts) {
  const uint64_t domain = m() >= 63 ? ~uint64_t{0} : uint64_t{1} << m();
  for (uint64_t length : {1, 2, 64, 65, 127, 128, 129, 257, 400, 512, 513, 1024,
                          2047, 2048, 2049, 5000}) {
    if (length > domain) length = domain;
    const Shape& shape = kShapes[length % 3 + 4];
    const HostKeys keys(m(), shape.n, shape.block, shape.skew);
    std::vector<Positions> tables = {RandomPositions(length, 6),
                                     RandomPositions(length, 7)};
    Positions start = RandomPositions(shape.n, 8);
    for (size_t i = 0; i + 1 < shape.n; i += 2) {  // windows that meet alpha
      start[i] = keys.alpha()[i] - start[i] % length;
    }
    for (int party = 0; party < 2; ++party) {
      std::vector<Positions> expected(2, Positions(shape.n));
      keys.ForBatches(party, [&](const FieldRecord& r, const DpfKeys& batch) {
        const std::array<std::span<const uint64_t>, 2> in = {tables[0],
                                                             tables[1]};
        const std::array<std::span<uint64_t>, 2> out = {
            std::span(expected[0]).subspan(r.first, r.count),
            std::span(expected[1]).subspan(r.first, r.count)};
        tacit::DpfWindowSum(
            batch, std::span<const uint64_t>(start).subspan(r.first, r.count),
            WindowTables(in), out);
      });
      for (int count : {1, 2}) {
        std::vector<Positions> out(2, Positions(shape.n, 42));
        DpfWindowArgs args;
        args.keys = keys.Batch(party);
        args.start.words = start.data();
        args.length = length;
        args.table_count = count;
        for (int q = 0; q < count; ++q) {
          args.tables[q] = tables[q].data();
          args.out[q] = out[q].data();
        }
        ASSERT_TRUE(DispatchWindow(variant(), args, HostLauncher()).ok());
        for (int q = 0; q < count; ++q) {
          EXPECT_EQ(out[q], expected[q])
              << "length " << length << " table " << q << " party " << party;
        }
      }
    }
    if (length == domain) break;
  }
}

std::string ParamName(
    const testing::TestParamInfo<DpfVariantTest::ParamType>& info) {
  return std::string(AesVariantName(std::get<0>(info.param))) + "_m" +
         std::to_string(std::get<1>(info.param));
}

// All direct domains, the smallest trees, and domains of comparisons.
INSTANTIATE_TEST_SUITE_P(Default, DpfVariantTest,
                         testing::Combine(testing::Values(AesVariant::kTable1),
                                          testing::Values(1, 2, 3, 4, 5, 6, 7,
                                                          8, 9, 10, 11, 12, 13,
                                                          17, 24, 39, 63, 64)),
                         ParamName);
INSTANTIATE_TEST_SUITE_P(Others, DpfVariantTest,
                         testing::Combine(testing::Values(AesVariant::kTable2,
                                                          AesVariant::kTable4,
                                                          AesVariant::kPlanes2,
                                                          AesVariant::kPlanes8),
                                          testing::Values(3, 7, 9, 12, 39)),
                         ParamName);

// What gates pass: a truncated wire, less the window's end; and the second
// step of Interpolated.
TEST(DpfWindowTest, TakesPointsFromWiresAndInterpolates) {
  const int m = 14, width = 20, shift = 6;
  const HostKeys keys(m, 130, 64, 0);
  const Positions wire = RandomPositions(130, 9);
  const Positions value = RandomPositions(300, 10);
  const Positions slope = RandomPositions(300, 11);
  for (int party = 0; party < 2; ++party) {
    Positions start(130), expected(130), slopes(130);
    for (size_t i = 0; i < 130; ++i) {
      start[i] = ((wire[i] & 0xFFFFF) >> shift) - 77;
    }
    keys.ForBatches(party, [&](const FieldRecord& r, const DpfKeys& batch) {
      const std::array<std::span<const uint64_t>, 2> in = {value, slope};
      const std::array<std::span<uint64_t>, 2> out = {
          std::span(expected).subspan(r.first, r.count),
          std::span(slopes).subspan(r.first, r.count)};
      tacit::DpfWindowSum(
          batch, std::span<const uint64_t>(start).subspan(r.first, r.count),
          WindowTables(in), out);
    });
    for (size_t i = 0; i < 130; ++i) {
      expected[i] = (expected[i] << 5) + slopes[i] * (wire[i] & 63);
    }
    Positions sum(130), out(130 * 3, 42);
    DpfWindowArgs args;
    args.keys = keys.Batch(party);
    args.start = {wire.data(), width, shift, 77};
    args.length = 300;
    args.table_count = 2;
    args.tables[0] = value.data();
    args.tables[1] = slope.data();
    args.interpolate = true;
    args.step_bits = shift;
    args.value_shift = 5;
    args.out[0] = out.data();
    args.out[1] = out.data() + 1;
    args.out_stride = 3;
    ASSERT_TRUE(DispatchWindow(AesVariant::kTable1, args, HostLauncher()).ok());
    for (size_t i = 0; i < 130; ++i) {
      EXPECT_EQ(out[3 * i], expected[i]) << i;
      EXPECT_EQ(out[3 * i + 1], slopes[i]) << i;
      EXPECT_EQ(out[3 * i + 2], 42) << i;
    }
  }
}

TEST(DpfArgsTest, RejectsBadShapes) {
  const HostKeys keys(20, 3, 64, 0);
  const Positions points(3);
  Bytes out(3);
  DpfPathArgs path;
  path.keys = keys.Batch(0);
  path.points.words = points.data();
  path.out = out.data();
  EXPECT_TRUE(CheckArgs(path).ok());
  for (int m : {0, 65}) {
    DpfPathArgs bad = path;
    bad.keys.m = m;
    EXPECT_EQ(CheckArgs(bad).code(), Code::kInvalidArgument) << m;
  }
  DpfPathArgs bad = path;
  bad.keys.party = 2;
  EXPECT_EQ(CheckArgs(bad).code(), Code::kInvalidArgument);
  bad = path;
  bad.keys.material = nullptr;
  EXPECT_EQ(CheckArgs(bad).code(), Code::kInvalidArgument);
  bad.keys.m = 9;  // party 0 reads its stream alone
  EXPECT_TRUE(CheckArgs(bad).ok());

  Positions table(2), sums(3);
  DpfWindowArgs window;
  window.keys = keys.Batch(1);
  window.start.words = points.data();
  window.length = 2;
  window.tables[0] = table.data();
  window.out[0] = sums.data();
  EXPECT_TRUE(CheckArgs(window).ok());
  for (uint64_t length : {uint64_t{0}, (uint64_t{1} << 20) + 1}) {
    DpfWindowArgs wrong = window;
    wrong.length = length;
    EXPECT_EQ(CheckArgs(wrong).code(), Code::kInvalidArgument) << length;
  }
  DpfWindowArgs wrong = window;
  wrong.interpolate = true;
  EXPECT_EQ(CheckArgs(wrong).code(), Code::kInvalidArgument);
  wrong = window;
  wrong.table_count = 3;
  EXPECT_EQ(CheckArgs(wrong).code(), Code::kInvalidArgument);

  Bytes material[2], positive;
  DpfGenArgs gen = keys.GenArgs(material, positive);
  EXPECT_TRUE(CheckArgs(gen).ok());
  gen.field[1].n = 2;
  EXPECT_EQ(CheckArgs(gen).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace tacit::gpu
