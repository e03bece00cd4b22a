#include "common/ring/gemm_batcher.h"

#include <algorithm>
#include <barrier>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tacit {
namespace {

using Vec = std::vector<uint64_t>;

Vec RandomVec(size_t n, std::mt19937_64& rng) {
  Vec v(n);
  for (uint64_t& x : v) x = rng();
  return v;
}

// A caller's product with a shared matrix: strides wider than the rows, and
// what C held before.
class Caller {
 public:
  Caller(size_t m, size_t n, size_t k, const Vec& b, Layout layout,
         Accumulate accumulate, std::mt19937_64& rng)
      : a_(RandomVec(m * (k + 1), rng)), c_(RandomVec(m * (n + 3), rng)) {
    args_ = {.m = m,
             .n = n,
             .k = k,
             .a = a_.data(),
             .lda = k + 1,
             .b = b.data(),
             .ldb = layout == Layout::kRowMajor ? n : k,
             .b_layout = layout,
             .c = c_.data(),
             .ldc = n + 3,
             .accumulate = accumulate};
    expected_ = c_;
    GemmArgs reference = args_;
    reference.c = expected_.data();
    GemmReference(reference);
  }

  const GemmArgs& args() const { return args_; }
  bool IsRight() const { return c_ == expected_; }

 private:
  Vec a_, c_, expected_;
  GemmArgs args_;
};

constexpr GemmBatcher::Options kAll{
    .max_rows = 8, .max_batch_rows = 24, .min_bytes = 0};

TEST(GemmBatcherTest, EqualsGemmFromManyThreads) {
  constexpr size_t kThreads = 12, kN = 700, kK = 301;
  std::mt19937_64 rng(3);
  ThreadPool pool(2);
  for (Layout layout : {Layout::kRowMajor, Layout::kTransposed}) {
    const Vec b[2] = {RandomVec(kN * kK, rng), RandomVec(kN * kK, rng)};
    GemmBatcher batcher(pool, kAll);
    std::vector<std::vector<Caller>> callers(kThreads);
    uint64_t batchable = 0;
    for (size_t t = 0; t < kThreads; ++t) {
      for (size_t i = 0; i < 20; ++i) {
        // Up to one row more than is batched; none too.
        const size_t m = rng() % 10;
        batchable += m >= 1 && m <= kAll.max_rows;
        callers[t].emplace_back(m, kN, kK, b[i % 2], layout,
                                static_cast<Accumulate>(rng() % 3), rng);
      }
    }
    std::barrier start(kThreads);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        start.arrive_and_wait();
        for (Caller& caller : callers[t]) {
          batcher.Multiply(caller.args(), InlinePool());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& of_thread : callers) {
      for (const Caller& caller : of_thread) ASSERT_TRUE(caller.IsRight());
    }
    EXPECT_EQ(batcher.stats().products, batchable);
    // Twelve threads with two matrices are more often together than not.
    EXPECT_LT(batcher.stats().passes, batchable);
  }
}

// One product of kLeaderRows rows, and while it is under way kOthers of one.
class Meeting {
 public:
  static constexpr size_t kLeaderRows = 8, kOthers = 4;

  Meeting(const Vec& b, size_t n, size_t k, std::mt19937_64& rng)
      : leader_(kLeaderRows, n, k, b, Layout::kRowMajor, Accumulate::kOverwrite,
                rng) {
    for (size_t i = 0; i < kOthers; ++i) {
      others_.emplace_back(1, n, k, b, Layout::kRowMajor, Accumulate::kSubtract,
                           rng);
    }
  }

  // Returns the passes that it took.
  uint64_t Run(GemmBatcher& batcher) {
    const uint64_t before = batcher.stats().passes;
    std::thread lead([&] { batcher.Multiply(leader_.args(), InlinePool()); });
    while (batcher.stats().passes == before) std::this_thread::yield();
    std::vector<std::thread> threads;
    for (Caller& other : others_) {
      threads.emplace_back(
          [&] { batcher.Multiply(other.args(), InlinePool()); });
    }
    for (std::thread& thread : threads) thread.join();
    lead.join();
    return batcher.stats().passes - before;
  }

  bool IsRight() const {
    return leader_.IsRight() &&
           std::all_of(others_.begin(), others_.end(),
                       [](const Caller& other) { return other.IsRight(); });
  }

 private:
  Caller leader_;
  std::vector<Caller> others_;
};

TEST(GemmBatcherTest, WhoComesMeanwhileSharesOnePass) {
  // The leader takes some ten milliseconds. Where threads start too late for
  // that, another attempt follows.
  constexpr size_t kN = 4000, kK = 1000;
  std::mt19937_64 rng(4);
  const Vec b = RandomVec(kN * kK, rng);
  GemmBatcher batcher(InlinePool(),
                      {.max_rows = 8, .max_batch_rows = 64, .min_bytes = 0});
  uint64_t passes = 0;
  for (int attempt = 0; attempt < 50 && passes != 2; ++attempt) {
    Meeting meeting(b, kN, kK, rng);
    passes = meeting.Run(batcher);
    ASSERT_TRUE(meeting.IsRight());
  }
  EXPECT_EQ(passes, 2u);
}

TEST(GemmBatcherTest, ABatchHasItsLimit) {
  constexpr size_t kN = 4000, kK = 1000;
  std::mt19937_64 rng(5);
  const Vec b = RandomVec(kN * kK, rng);
  GemmBatcher batcher(InlinePool(),
                      {.max_rows = 8, .max_batch_rows = 2, .min_bytes = 0});
  for (int i = 0; i < 3; ++i) {
    Meeting meeting(b, kN, kK, rng);
    EXPECT_GE(meeting.Run(batcher), 1 + Meeting::kOthers / 2);
    EXPECT_TRUE(meeting.IsRight());
  }
}

TEST(GemmBatcherTest, SmallMatricesAndManyRowsGoAlone) {
  std::mt19937_64 rng(6);
  const Vec b = RandomVec(64 * 64, rng);
  GemmBatcher batcher(InlinePool());
  for (size_t m : {1, 100}) {
    Caller caller(m, 64, 64, b, Layout::kRowMajor, Accumulate::kAdd, rng);
    batcher.Multiply(caller.args(), InlinePool());
    EXPECT_TRUE(caller.IsRight());
  }
  EXPECT_EQ(batcher.stats().products, 0u);
}

// The same memory read as another matrix is another right operand.
TEST(GemmBatcherTest, OtherShapesOfTheSameMemoryAreKeptApart) {
  constexpr size_t kThreads = 8;
  std::mt19937_64 rng(7);
  const Vec b = RandomVec(200 * 300, rng);
  GemmBatcher batcher(InlinePool(), kAll);
  std::vector<Caller> callers;
  for (size_t t = 0; t < kThreads; ++t) {
    const bool wide = t % 2 == 0;
    callers.emplace_back(2, wide ? 300 : 200, wide ? 200 : 300, b,
                         t % 4 < 2 ? Layout::kRowMajor : Layout::kTransposed,
                         Accumulate::kOverwrite, rng);
  }
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (Caller& caller : callers) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      for (int i = 0; i < 10; ++i) {
        batcher.Multiply(caller.args(), InlinePool());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Caller& caller : callers) EXPECT_TRUE(caller.IsRight());
}

}  // namespace
}  // namespace tacit
