// Ring ops and packing, every thread of their launches on the host, against
// common/ring. The same bodies run on a device in elementwise_check.cc.
#include <cstdint>
#include <random>
#include <vector>

#include "common/ring/bitpack.h"
#include "common/ring/elementwise.h"
#include "gpu/elementwise/map.h"
#include "gpu/elementwise/pack_ops-inl.h"
#include "gpu/elementwise/ring_ops-inl.h"
#include "gpu/elementwise/row_sum-inl.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

using Vec = std::vector<uint64_t>;
constexpr size_t kSizes[] = {0, 1, 2, 255, 256, 257, 1000, 3001};

Vec RandomVec(size_t n, uint64_t seed) {
  std::mt19937_64 rng(seed);
  Vec words(n);
  for (uint64_t& word : words) word = rng();
  return words;
}

template <class Op>
void RunHost(const Op& op, size_t n) {
  ASSERT_TRUE(RunOpOnHost(op, n).ok());
}

TEST(RingOpsTest, BinaryOpsEqualTheHosts) {
  for (size_t n : kSizes) {
    const Vec a = RandomVec(n, 1), b = RandomVec(n, 2), old = RandomVec(n, 3);
    Vec out(n), expected(n);
    Add(a, b, expected);
    RunHost(AddOp{a.data(), b.data(), out.data()}, n);
    EXPECT_EQ(out, expected);
    Sub(a, b, expected);
    RunHost(SubOp{a.data(), b.data(), out.data()}, n);
    EXPECT_EQ(out, expected);
    Mul(a, b, expected);
    RunHost(MulOp{a.data(), b.data(), out.data()}, n);
    EXPECT_EQ(out, expected);
    out = expected = old;
    MulAdd(a, b, expected);
    RunHost(MulAddOp{a.data(), b.data(), out.data()}, n);
    EXPECT_EQ(out, expected);
    MulSub(a, b, expected);
    RunHost(MulSubOp{a.data(), b.data(), out.data()}, n);
    EXPECT_EQ(out, expected);
  }
}

TEST(RingOpsTest, UnaryOpsEqualTheHosts) {
  for (size_t n : kSizes) {
    const Vec a = RandomVec(n, 4);
    Vec out(n), expected(n);
    Negate(a, expected);
    RunHost(NegateOp{a.data(), out.data()}, n);
    EXPECT_EQ(out, expected);
    AddScalar(a, 12345, expected);
    RunHost(AddScalarOp{a.data(), 12345, out.data()}, n);
    EXPECT_EQ(out, expected);
    MulScalar(a, ~uint64_t{6}, expected);
    RunHost(MulScalarOp{a.data(), ~uint64_t{6}, out.data()}, n);
    EXPECT_EQ(out, expected);
  }
}

TEST(RingOpsTest, ShiftsAndReductionsEqualTheHostsAtEveryWidth) {
  const size_t n = 257;
  const Vec a = RandomVec(n, 5);
  Vec out(n), expected(n);
  for (int width = 1; width <= 64; ++width) {
    ReduceAll(a, width, expected);
    RunHost(ReduceOp{a.data(), width, out.data()}, n);
    EXPECT_EQ(out, expected) << width;
    for (int bits : {0, 1, width / 2, width - 1}) {
      ShiftRight(a, width, bits, expected);
      RunHost(ShiftRightOp{a.data(), width, bits, out.data()}, n);
      EXPECT_EQ(out, expected) << width << " by " << bits;
    }
    ShiftLeft(a, width - 1, expected);
    RunHost(ShiftLeftOp{a.data(), width - 1, out.data()}, n);
    EXPECT_EQ(out, expected) << width;
  }
}

TEST(RingOpsTest, RowsAreScaledRepeatedGatheredSlicedAndTransposed) {
  const size_t rows = 7, d = 53;
  const Vec a = RandomVec(rows * d, 6), factors = RandomVec(d, 7);
  Vec out(rows * d);
  RunHost(MulRowOp{a.data(), factors.data(), d, out.data()}, rows * d);
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i], a[i] * factors[i % d]);
  }
  RunHost(RepeatLastOp{a.data(), d, out.data()}, rows * d);
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], a[i / d]);
  const Vec order = {3, 3, 0, 6, 1, 2, 5};
  RunHost(GatherRowsOp{a.data(), order.data(), d, out.data()}, rows * d);
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i], a[order[i / d] * d + i % d]);
  }
  Vec part(rows * 10);
  RunHost(SliceLastOp{a.data(), d, 43, 10, part.data()}, part.size());
  for (size_t i = 0; i < part.size(); ++i) {
    EXPECT_EQ(part[i], a[i / 10 * d + 43 + i % 10]);
  }
  // [7, 53] to [53, 7].
  RunHost(TransposeOp{a.data(), {1, 1, d, rows}, {0, 0, 1, d}, out.data()},
          rows * d);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t j = 0; j < d; ++j) EXPECT_EQ(out[j * rows + r], a[r * d + j]);
  }
}

TEST(RingOpsTest, RowSumsEqualTheHosts) {
  for (size_t d : {0, 1, 5, 32, 33, 64, 65, 256, 257, 1000}) {
    const size_t rows = 5;
    const Vec a = RandomVec(rows * d, 8), add = RandomVec(rows, 9);
    Vec out(rows);
    ASSERT_TRUE(DispatchRowSum(WordTerm{a.data()}, rows, d, add.data(),
                               out.data(), HostLauncher())
                    .ok());
    for (size_t r = 0; r < rows; ++r) {
      EXPECT_EQ(out[r], Sum(std::span(a).subspan(r * d, d)) + add[r]) << d;
    }
    ASSERT_TRUE(DispatchRowSum(SelfSquareTerm{a.data()}, rows, d, nullptr,
                               out.data(), HostLauncher())
                    .ok());
    for (size_t r = 0; r < rows; ++r) {
      const std::span<const uint64_t> row = std::span(a).subspan(r * d, d);
      EXPECT_EQ(out[r], Dot(row, row)) << d;
    }
  }
}

TEST(RingOpsTest, RejectsParametersOutOfRange) {
  Vec a(1), out(1);
  EXPECT_EQ(RunOpOnHost(ReduceOp{a.data(), 0, out.data()}, 1).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(RunOpOnHost(ShiftRightOp{a.data(), 65, 0, out.data()}, 1).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(RunOpOnHost(ShiftLeftOp{a.data(), 64, out.data()}, 1).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(RunOpOnHost(MulRowOp{a.data(), a.data(), 0, out.data()}, 1).code(),
            Code::kInvalidArgument);
}

// Records of `block` elements `gap` bytes apart, from `skew` on.
FieldLayout Records(size_t n, size_t block, size_t width, size_t skew,
                    size_t gap) {
  FieldLayout field = OneRecord(n, 0, skew);
  if (n <= block) return field;
  const size_t last = (n - 1) / block;
  field.block = block;
  field.bytes_step = PackedBytes(block, static_cast<int>(width)) + gap;
  field.bytes_last = skew + last * field.bytes_step + 1;
  return field;
}

// fn(first element, elements, bytes where they begin) for each record.
template <class Fn>
void ForRecords(const FieldLayout& field, const Fn& fn) {
  for (uint64_t r = 0; r < field.records(); ++r) {
    const FieldRecord record = RecordAt(field, r);
    fn(record.first, record.count, record.bytes);
  }
}

class PackOpsTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(AllWidths, PackOpsTest, testing::Range(1, 65));

TEST_P(PackOpsTest, PacksAndUnpacksAsTheHost) {
  const int width = GetParam();
  for (size_t n : {0, 1, 2, 7, 64, 65, 300, 1111}) {
    for (size_t block : {8, 64, 1024}) {
      for (size_t skew : {0, 3, 8}) {
        const FieldLayout field = Records(n, block, width, skew, 2);
        const Vec in = RandomVec(n, n + skew);
        const size_t end =
            field.bytes_last + PackedBytes(std::min(n, block), width);
        // A multiple of eight bytes, as device memory is.
        std::vector<uint8_t> out((end + 15) / 8 * 8, 0xEE), expected = out;
        Vec unpacked(n, 42), values(n);
        ForRecords(field, [&](size_t first, size_t count, size_t bytes) {
          const auto to =
              std::span(expected).subspan(bytes, PackedBytes(count, width));
          Pack(std::span(in).subspan(first, count), width, to);
          Unpack(to, width, std::span(values).subspan(first, count));
        });
        const PackOp pack{in.data(), field, width, out.data()};
        RunHost(pack, pack.items());
        EXPECT_EQ(out, expected) << n << " by " << block << " at " << skew;
        RunHost(UnpackOp{out.data(), field, width, unpacked.data()}, n);
        EXPECT_EQ(unpacked, values) << n << " by " << block << " at " << skew;
      }
    }
  }
}

TEST(PackBitsOpsTest, PacksAndUnpacksAsTheHost) {
  for (size_t n : {0, 1, 7, 8, 9, 64, 1000, 1025}) {
    for (size_t block : {8, 24, 1024}) {
      const FieldLayout field = Records(n, block, 1, 1, 1);
      std::vector<uint8_t> in(n), unpacked(n, 42);
      std::mt19937_64 rng(n);
      for (uint8_t& bit : in) bit = rng() & 1;
      std::vector<uint8_t> out(field.bytes_last + block + 8, 0xEE);
      std::vector<uint8_t> expected = out;
      ForRecords(field, [&](size_t first, size_t count, size_t bytes) {
        PackBits(std::span(in).subspan(first, count),
                 std::span(expected).subspan(bytes, PackedBytes(count, 1)));
      });
      const PackBitsOp pack{in.data(), field, out.data()};
      RunHost(pack, pack.items());
      EXPECT_EQ(out, expected) << n << " by " << block;
      RunHost(UnpackBitsOp{out.data(), field, unpacked.data()}, n);
      EXPECT_EQ(unpacked, in) << n << " by " << block;
    }
  }
}

}  // namespace
}  // namespace tacit::gpu
