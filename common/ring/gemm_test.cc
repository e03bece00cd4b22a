#include "common/ring/gemm.h"

#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "common/ring/targets_test_util.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using Vec = std::vector<uint64_t>;

// One product with strides wider than the matrices; C has a border that no
// product may touch.
struct Case {
  size_t m, n, k;
  Layout layout = Layout::kRowMajor;
  Accumulate accumulate = Accumulate::kOverwrite;
  size_t extra = 0;  // of every stride
};

class GemmTest : public TargetTest {
 protected:
  static GemmArgs Args(const Case& t, const Vec& a, const Vec& b, Vec& c) {
    return {.m = t.m,
            .n = t.n,
            .k = t.k,
            .a = a.data(),
            .lda = t.k + t.extra,
            .b = b.data(),
            .ldb = (t.layout == Layout::kRowMajor ? t.n : t.k) + t.extra,
            .b_layout = t.layout,
            .c = c.data(),
            .ldc = t.n + t.extra,
            .accumulate = t.accumulate};
  }

  void Check(const Case& t, ThreadPool& pool) {
    const size_t b_rows = t.layout == Layout::kRowMajor ? t.k : t.n;
    const size_t b_cols = t.layout == Layout::kRowMajor ? t.n : t.k;
    // No element after the last row, so that a sanitizer sees every overrun.
    const auto size = [&](size_t rows, size_t cols) {
      return rows == 0 ? 0 : rows * (cols + t.extra) - t.extra;
    };
    const Vec a = RandomWords(size(t.m, t.k), rng_);
    const Vec b = RandomWords(size(b_rows, b_cols), rng_);
    Vec expected = RandomWords(size(t.m, t.n), rng_);
    Vec c = expected;
    GemmReference(Args(t, a, b, expected));
    Gemm(Args(t, a, b, c), pool);
    ASSERT_TRUE(c == expected)
        << "m " << t.m << ", n " << t.n << ", k " << t.k << ", "
        << (t.layout == Layout::kRowMajor ? "row major" : "transposed")
        << ", accumulate " << static_cast<int>(t.accumulate) << ", threads "
        << pool.threads();
  }

  // Both layouts, all three updates.
  void CheckAll(size_t m, size_t n, size_t k, size_t extra, ThreadPool& pool) {
    for (Layout layout : {Layout::kRowMajor, Layout::kTransposed}) {
      for (Accumulate accumulate :
           {Accumulate::kOverwrite, Accumulate::kAdd, Accumulate::kSubtract}) {
        ASSERT_NO_FATAL_FAILURE(
            Check({m, n, k, layout, accumulate, extra}, pool));
      }
    }
  }

  std::mt19937_64 rng_{7};
};

TEST_P(GemmTest, ReferenceKnownAnswer) {
  const Vec a = {1, 2, 3, 4};
  const Vec b = {5, 6, 7, ~uint64_t{0}};
  Vec c = {1, 1, 1, 1};
  Case t{2, 2, 2, Layout::kRowMajor, Accumulate::kAdd};
  GemmReference(Args(t, a, b, c));
  EXPECT_EQ(c, Vec({20, 5, 44, 15}));
  t.accumulate = Accumulate::kSubtract;
  GemmReference(Args(t, a, b, c));
  EXPECT_EQ(c, Vec({1, 1, 1, 1}));
  t.accumulate = Accumulate::kOverwrite;
  t.layout = Layout::kTransposed;
  GemmReference(Args(t, a, b, c));
  EXPECT_EQ(c, Vec({17, 5, 39, 17}));
}

TEST_P(GemmTest, SmallSizesMatchTheDefinition) {
  for (size_t m : {0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 25}) {
    for (size_t n : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33}) {
      for (size_t k : {0, 1, 2, 3, 4, 5, 7, 8, 9, 17}) {
        ASSERT_NO_FATAL_FAILURE(CheckAll(m, n, k, 0, InlinePool()));
        ASSERT_NO_FATAL_FAILURE(CheckAll(m, n, k, 3, InlinePool()));
      }
    }
  }
}

TEST_P(GemmTest, SizesAroundTheBlocksMatchTheDefinition) {
  for (size_t m : {1, 3, 4, 127, 128, 129}) {
    for (size_t n : {1, 127, 128, 129}) {
      for (size_t k : {127, 128, 129, 255, 256, 257, 1000}) {
        const Layout layout = n % 2 ? Layout::kRowMajor : Layout::kTransposed;
        ASSERT_NO_FATAL_FAILURE(
            Check({m, n, k, layout, Accumulate::kAdd, 5}, InlinePool()));
      }
    }
  }
  // Several strips of columns, the last one not whole.
  for (size_t m : {5, 8, 9, 16}) CheckAll(m, 1000, 301, 1, InlinePool());
  CheckAll(2, 1000, 1000, 1, InlinePool());
  CheckAll(1000, 2, 1000, 1, InlinePool());
  CheckAll(1000, 1000, 2, 1, InlinePool());
}

TEST_P(GemmTest, ThreadsGiveTheSameBits) {
  for (int threads : {2, 3, 8}) {
    ThreadPool pool(threads);
    for (size_t m : {1, 4, 9, 129, 1000}) {
      for (size_t n : {1, 64, 129, 1000}) {
        ASSERT_NO_FATAL_FAILURE(CheckAll(m, n, 65, 1, pool));
      }
    }
  }
}

// A is packed in several chunks when m * k is large.
TEST_P(GemmTest, ManyRowsMatchTheDefinition) {
  ThreadPool pool(2);
  Check({5000, 17, 300, Layout::kRowMajor, Accumulate::kOverwrite, 0}, pool);
  Check({5000, 9, 300, Layout::kTransposed, Accumulate::kSubtract, 0}, pool);
}

TEST_P(GemmTest, SeveralCallersShareAPool) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  std::vector<Vec> results(4);
  const Vec a = RandomWords(40 * 300, rng_), b = RandomWords(300 * 200, rng_);
  const Case t{40, 200, 300};
  Vec expected(40 * 200);
  GemmReference(Args(t, a, b, expected));
  for (Vec& c : results) {
    c.resize(40 * 200);
    callers.emplace_back([&] {
      for (int i = 0; i < 10; ++i) Gemm(Args(t, a, b, c), pool);
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const Vec& c : results) EXPECT_EQ(c, expected);
}

TACIT_INSTANTIATE_TARGET_TEST(GemmTest);

}  // namespace
}  // namespace tacit
