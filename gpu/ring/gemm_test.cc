// Ring products on the host against the CPU's definition.
#include "gpu/ring/gemm.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "common/ring/gemm.h"
#include "common/ring/ring.h"
#include "gpu/ring/gemm_test_util.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

struct Case {
  size_t m, n, k;
  int width = 64;
  size_t batch = 1;
  Layout a_layout = Layout::kRowMajor;
  Layout b_layout = Layout::kTransposed;
  Accumulate accumulate = Accumulate::kOverwrite;
  size_t extra = 0;  // of every row stride
  bool shared_b = false;
  bool pack_a = false, pack_b = false;
  int multiprocessors = 1;
  bool least = false;  // the least workspace
  int b_digits = 0;
};

class RingGemmTest : public testing::TestWithParam<bool> {  // with a library?
 protected:
  static bool library() { return GetParam(); }

  Vec Words(size_t size) {
    Vec words(size);
    for (uint64_t& word : words) word = rng_();
    return words;
  }

  // Integers that fit in so many digits, the least and the greatest among them;
  // random bits above the ring's width.
  Vec SmallWords(size_t size, int width, int digits) {
    std::uniform_int_distribution<int64_t> inside(LeastOf(digits),
                                                  GreatestOf(digits));
    Vec words(size);
    for (size_t i = 0; i < size; ++i) {
      int64_t value = inside(rng_);
      if (i < size / 4) value = LeastOf(digits);
      if (i > size / 4 * 3) value = GreatestOf(digits);
      words[i] = Reduce(static_cast<uint64_t>(value), width) |
                 (rng_() & ~LowMask(width));
    }
    return words;
  }

  // Enough for the matrix in either layout, with `extra` words after each row.
  static size_t Size(const Case& t, size_t rows, size_t columns) {
    return t.batch *
           std::max(rows * (columns + t.extra), columns * (rows + t.extra));
  }

  static GemmOperand Operand(const Vec& words, size_t rows, size_t columns,
                             Layout layout, size_t extra, bool same) {
    if (layout == Layout::kTransposed) std::swap(rows, columns);
    return {.words = words.data(),
            .ld = columns + extra,
            .batch_stride = same ? 0 : rows * (columns + extra),
            .layout = layout};
  }

  static std::vector<Bytes16> Packed(const LimbShape& shape,
                                     GemmOperand& operand, size_t batch) {
    if (operand.batch_stride == 0) batch = 1;
    const size_t bytes = shape.bytes();
    std::vector<Bytes16> limbs(batch * bytes / sizeof(Bytes16));
    int8_t* to = reinterpret_cast<int8_t*>(limbs.data());
    const auto body = Decomposition(shape, operand, batch, to, bytes);
    RunOnHost(body.launch(), body);
    operand = {.limbs = to,
               .limb_batch_stride = operand.batch_stride == 0 ? 0 : bytes};
    return limbs;
  }

  void Check(const Case& t, const Vec& a, const Vec& b) {
    RingProduct p{.m = t.m, .n = t.n, .k = t.k, .width = t.width};
    p.batch = t.batch;
    p.b_digits = t.b_digits;
    p.a = Operand(a, t.m, t.k, t.a_layout, t.extra, false);
    // The right operand [k, n]; transposed, it is held as [n, k].
    p.b = Operand(b, t.k, t.n, t.b_layout, t.extra, t.shared_b);
    Vec expected = Words(t.batch * t.m * (t.n + t.extra)), c = expected;
    p.c = c.data();
    p.ldc = t.n + t.extra;
    p.c_batch_stride = t.m * p.ldc;
    p.accumulate = t.accumulate;
    Reference(p, expected);
    const auto packed_a =
        t.pack_a ? Packed(p.left(), p.a, t.batch) : std::vector<Bytes16>();
    const auto packed_b =
        t.pack_b ? Packed(p.right(), p.b, t.batch) : std::vector<Bytes16>();
    ASSERT_TRUE(Run(p, t).ok());
    ExpectSameResidues(p, c, expected);
  }

  // Random operands.
  void Check(const Case& t) {
    Check(t, Words(Size(t, t.m, t.k)), Words(Size(t, t.k, t.n)));
  }

  static Error Run(const RingProduct& p, const Case& t) {
    TACIT_GPU_RETURN_IF_ERROR(gpu::Check(p));
    const size_t bytes = PlanFor(p, library(), 512, t.least).bytes;
    Result<GemmPlan> plan = PlanWithin(p, library(), 512, bytes);
    if (!plan.ok()) return plan.error();
    EXPECT_EQ(plan->by_library, library() && t.m > 16);
    std::vector<Bytes16> workspace(bytes / sizeof(Bytes16));
    std::fill_n(reinterpret_cast<uint8_t*>(workspace.data()), bytes, 0xa5);
    HostBackend backend(t.multiprocessors);
    return GemmSteps<HostBackend>(p, *plan, workspace.data(), backend).Run();
  }

  static void Reference(const RingProduct& p, Vec& c) {
    for (size_t matrix = 0; matrix < p.batch; ++matrix) {
      // GemmReference has A in rows: a transposed one is copied.
      Vec a(p.m * p.k);
      const uint64_t* from = p.a.words + matrix * p.a.batch_stride;
      for (size_t i = 0; i < p.m; ++i) {
        for (size_t q = 0; q < p.k; ++q) {
          a[i * p.k + q] = p.a.layout == Layout::kRowMajor
                               ? from[i * p.a.ld + q]
                               : from[q * p.a.ld + i];
        }
      }
      GemmReference({.m = p.m,
                     .n = p.n,
                     .k = p.k,
                     .a = a.data(),
                     .lda = p.k,
                     .b = p.b.words + matrix * p.b.batch_stride,
                     .ldb = p.b.ld,
                     .b_layout = p.b.layout,
                     .c = c.data() + matrix * p.c_batch_stride,
                     .ldc = p.ldc,
                     .accumulate = p.accumulate});
    }
  }

  // The product where it is, and untouched words beside it.
  static void ExpectSameResidues(const RingProduct& p, const Vec& c,
                                 const Vec& expected) {
    for (size_t i = 0; i < c.size(); ++i) {
      const bool border = p.ldc > 0 && i % p.ldc >= p.n;
      const int width = border ? 64 : p.width;
      ASSERT_EQ(Reduce(c[i], width), Reduce(expected[i], width))
          << "m " << p.m << ", n " << p.n << ", k " << p.k << ", width "
          << p.width << ", batch " << p.batch << ", at " << i;
    }
  }

  std::mt19937_64 rng_{7};  // test data
};

TEST_P(RingGemmTest, EverySizeMatchesTheDefinition) {
  for (size_t m : {0, 1, 7, 8, 9, 16, 17, 33}) {
    for (size_t n : {0, 1, 15, 16, 17, 33}) {
      for (size_t k : {0, 1, 63, 64, 65}) {
        ASSERT_NO_FATAL_FAILURE(Check({.m = m, .n = n, .k = k, .width = 48}));
        ASSERT_NO_FATAL_FAILURE(Check({.m = m,
                                       .n = n,
                                       .k = k,
                                       .accumulate = Accumulate::kSubtract,
                                       .extra = 3}));
      }
    }
  }
}

TEST_P(RingGemmTest, EveryWidthMatchesTheDefinition) {
  for (int width = 1; width <= 64; ++width) {
    for (size_t m : {1, 9, 20}) {
      ASSERT_NO_FATAL_FAILURE(
          Check({.m = m, .n = 18, .k = 70, .width = width}));
    }
  }
}

TEST_P(RingGemmTest, LayoutsAndUpdatesMatchTheDefinition) {
  for (Layout a : {Layout::kRowMajor, Layout::kTransposed}) {
    for (Layout b : {Layout::kRowMajor, Layout::kTransposed}) {
      for (Accumulate accumulate :
           {Accumulate::kOverwrite, Accumulate::kAdd, Accumulate::kSubtract}) {
        for (size_t m : {5, 40}) {
          ASSERT_NO_FATAL_FAILURE(Check({.m = m,
                                         .n = 35,
                                         .k = 90,
                                         .width = 56,
                                         .a_layout = a,
                                         .b_layout = b,
                                         .accumulate = accumulate,
                                         .extra = 2}));
        }
      }
    }
  }
}

// Weights x public and share x public: either side may have been packed before.
TEST_P(RingGemmTest, PackedOperandsMatchTheDefinition) {
  for (bool pack_a : {false, true}) {
    for (bool pack_b : {false, true}) {
      for (size_t m : {3, 20}) {
        ASSERT_NO_FATAL_FAILURE(Check({.m = m,
                                       .n = 20,
                                       .k = 100,
                                       .width = 40,
                                       .batch = 2,
                                       .pack_a = pack_a,
                                       .pack_b = pack_b}));
      }
    }
  }
}

// Attention: queries by keys, probabilities by values; keys shared by heads.
TEST_P(RingGemmTest, BatchesMatchTheDefinition) {
  for (size_t m : {1, 4, 24}) {
    for (bool shared : {false, true}) {
      ASSERT_NO_FATAL_FAILURE(Check({.m = m,
                                     .n = 30,
                                     .k = 64,
                                     .batch = 5,
                                     .extra = 1,
                                     .shared_b = shared}));
      ASSERT_NO_FATAL_FAILURE(Check({.m = m,
                                     .n = 64,
                                     .k = 30,
                                     .width = 46,
                                     .batch = 3,
                                     .b_layout = Layout::kRowMajor,
                                     .accumulate = Accumulate::kAdd,
                                     .shared_b = shared}));
    }
  }
}

TEST_P(RingGemmTest, ExtremeDigitsMatchTheDefinition) {
  for (uint64_t x : kAdversarial) {
    for (uint64_t y : kAdversarial) {
      for (int width : {8, 33, 64}) {
        for (size_t m : {2, 18}) {
          const Case t{.m = m, .n = 3, .k = 70, .width = width};
          ASSERT_NO_FATAL_FAILURE(Check(t, Vec(m * 70, x), Vec(3 * 70, y)));
        }
      }
    }
  }
}

// Deeper than one chunk, with the digits whose products are largest: the sums
// reach the bound that chunks are made for.
TEST_P(RingGemmTest, DepthBeyondTheSplitMatchesTheDefinition) {
  for (size_t m : {2, 17}) {
    for (Accumulate accumulate :
         {Accumulate::kOverwrite, Accumulate::kAdd, Accumulate::kSubtract}) {
      const Case t{.m = m, .n = 2, .k = 17000, .accumulate = accumulate};
      ASSERT_NO_FATAL_FAILURE(Check(t));
      ASSERT_NO_FATAL_FAILURE(Check(t, Vec(m * 17000, 0x7f7f7f7f7f7f7f80),
                                    Vec(2 * 17000, 0x7f7f7f7f7f7f7f80)));
    }
  }
  // Three chunks, and the last one short.
  Check({.m = 17, .n = 1, .k = 132000, .width = 16});
  Check({.m = 2, .n = 1, .k = 132000, .width = 16});
}

// Few rows of the right operand: blocks share the depth and add atomically.
TEST_P(RingGemmTest, BlocksThatShareTheDepthMatchTheDefinition) {
  for (Accumulate accumulate :
       {Accumulate::kOverwrite, Accumulate::kAdd, Accumulate::kSubtract}) {
    Check({.m = 3,
           .n = 20,
           .k = 9000,
           .accumulate = accumulate,
           .extra = 2,
           .multiprocessors = 132});
  }
}

// A model's weights at the dealer: at both ends of what the digits can be, and
// with anything above the ring's width.
TEST_P(RingGemmTest, SmallRightOperandsMatchTheDefinition) {
  for (int width = 17; width <= 64; ++width) {
    for (int digits : {2, 3}) {
      if (digits >= LimbsOf(width)) continue;
      for (size_t m : {3, 12, 18}) {
        const Case t{.m = m,
                     .n = 19,
                     .k = 70,
                     .width = width,
                     .pack_b = true,
                     .b_digits = digits};
        ASSERT_NO_FATAL_FAILURE(
            Check(t, Words(m * 70), SmallWords(19 * 70, width, digits)));
      }
    }
  }
}

TEST_P(RingGemmTest, LittleWorkspaceGivesTheSameResult) {
  for (size_t n : {255, 256, 257, 700}) {
    Check({.m = 19, .n = n, .k = 65, .width = 24, .extra = 1, .least = true});
    Check({.m = 19, .n = n, .k = 65, .width = 24, .batch = 2, .least = true});
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, RingGemmTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "Library" : "OwnKernel";
                         });

}  // namespace
}  // namespace tacit::gpu
