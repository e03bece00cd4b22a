#include "common/ring/gemm_batcher.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "common/ring/gemm_test_util.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using std::chrono::hours;

constexpr size_t kN = 40, kK = 30;
constexpr std::chrono::nanoseconds kForever = hours(1), kNever{0};

// Every product may be batched; who waits does so until the others come.
constexpr GemmBatcher::Options kPatient{.max_rows = 4,
                                        .max_batch_rows = 64,
                                        .min_bytes = 0,
                                        .least_wait = kForever,
                                        .longest_meeting = kForever,
                                        .longest_gathering = kForever};

GemmBatcher::Options NoMeetingWaits() {
  GemmBatcher::Options options = kPatient;
  options.longest_meeting = kNever;
  return options;
}

// Sessions with a weight matrix or two, each a thread while it does something.
class GemmBatcherTest : public testing::Test {
 protected:
  void SetUp(const GemmBatcher::Options& options, size_t sessions) {
    batcher_ = std::make_unique<GemmBatcher>(InlinePool(), options);
    for (size_t i = 0; i < sessions; ++i) {
      members_.push_back(std::make_unique<GemmBatcher::Member>(*batcher_));
    }
  }
  ~GemmBatcherTest() override { Join(); }

  GemmBatcher::Stats stats() const { return batcher_->stats(); }

  // One of session `i`'s products, with the right result.
  void Multiply(size_t i, const std::vector<uint64_t>& b, size_t m = 1) {
    std::mt19937_64 rng(100 * i + m);
    const TestProduct product(m, kN, kK, b, Layout::kRowMajor, Accumulate::kAdd,
                              rng);
    members_[i]->Multiply(product.args(), InlinePool());
    EXPECT_TRUE(product.IsRight());
  }
  void BeginStep(size_t i, size_t rows = 1) { members_[i]->BeginStep(rows); }

  void Start(std::function<void()> action) {
    threads_.emplace_back(std::move(action));
  }
  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void AwaitWaiting(size_t count) const {
    while (stats().waiting != count) std::this_thread::yield();
  }

  // All sessions, which were in no step before, begin one together.
  void GatherAll() {
    Multiply(0, b_);  // from here on it is known that there are matrices
    BeginStep(0);     // nobody else decodes: alone
    for (size_t i = 1; i < members_.size(); ++i) {
      Start([this, i] { BeginStep(i); });
    }
    AwaitWaiting(members_.size() - 1);
    BeginStep(0);
    Join();
    before_ = stats();
  }
  uint64_t Passes() const { return stats().passes - before_.passes; }
  uint64_t Products() const { return stats().products - before_.products; }
  uint64_t Late() const { return stats().late - before_.late; }

  std::mt19937_64 rng_{7};
  const std::vector<uint64_t> b_ = RandomVector(kN * kK, rng_);
  const std::vector<uint64_t> other_ = RandomVector(kN * kK, rng_);
  std::unique_ptr<GemmBatcher> batcher_;
  std::vector<std::unique_ptr<GemmBatcher::Member>> members_;
  std::vector<std::thread> threads_;
  GemmBatcher::Stats before_;
};

TEST_F(GemmBatcherTest, ACohortMultipliesInOnePass) {
  SetUp(kPatient, 5);
  GatherAll();
  for (size_t i = 0; i < members_.size(); ++i) {
    Start([this, i] {
      for (int step = 0; step < 3; ++step) {
        for (int j = 0; j < 10; ++j) Multiply(i, j % 2 == 0 ? b_ : other_);
        BeginStep(i);
      }
    });
  }
  Join();
  EXPECT_EQ(Products(), 150u);
  EXPECT_EQ(Passes(), 30u);
  EXPECT_EQ(Late(), 0u);
}

TEST_F(GemmBatcherTest, ASessionAloneNeverWaits) {
  SetUp(kPatient, 2);  // the other one does nothing
  for (int i = 0; i < 3; ++i) {
    Multiply(0, b_);
    BeginStep(0);
  }
  EXPECT_EQ(Passes(), 3u);
  EXPECT_EQ(Late(), 0u);
}

TEST_F(GemmBatcherTest, WhoIsLateIsLeftBehindOnce) {
  SetUp(NoMeetingWaits(), 3);
  GatherAll();
  Multiply(0, b_);
  EXPECT_EQ(Late(), 2u);
  for (int i = 0; i < 5; ++i) Multiply(0, b_);
  EXPECT_EQ(Late(), 2u);
  // Those who were late are together, until one of them is late again.
  Multiply(1, b_);
  EXPECT_EQ(Late(), 3u);
  Multiply(2, b_);
  EXPECT_EQ(Late(), 3u);
  EXPECT_EQ(Passes(), 8u);
}

TEST_F(GemmBatcherTest, WhoWasLeftBehindIsJoinedAtTheNextStep) {
  SetUp(NoMeetingWaits(), 2);
  GatherAll();
  Multiply(0, b_);
  EXPECT_EQ(Late(), 1u);
  Start([this] { BeginStep(0); });
  AwaitWaiting(1);
  BeginStep(1);
  Join();
  Multiply(0, b_);
  EXPECT_EQ(Late(), 2u);  // it was waited for
}

TEST_F(GemmBatcherTest, WhoMissesAGatheringIsNotWaitedForUntilItComes) {
  GemmBatcher::Options options = kPatient;
  options.longest_gathering = kNever;
  SetUp(options, 2);
  Multiply(0, b_);
  BeginStep(0);
  BeginStep(1);
  EXPECT_EQ(Late(), 1u);
  for (int i = 0; i < 5; ++i) BeginStep(1);
  EXPECT_EQ(Late(), 1u);
  BeginStep(0);
  EXPECT_EQ(Late(), 2u);
}

TEST_F(GemmBatcherTest, WaitsFollowTheLengthOfSteps) {
  static GemmBatcher::Clock::time_point now;
  now = GemmBatcher::Clock::time_point(hours(1));
  GemmBatcher::Options options = kPatient;
  options.least_wait = kNever;
  options.now = [] { return now; };
  SetUp(options, 2);
  Multiply(0, b_);
  BeginStep(0);
  BeginStep(1);  // no step was measured yet: without a wait
  EXPECT_EQ(Late(), 1u);
  now += hours(2);
  Multiply(1, b_);
  now += hours(20);  // what a gateway takes is no part of it
  Start([this] { BeginStep(1); });
  Join();  // nobody is expected
  Start([this] { BeginStep(0); });
  AwaitWaiting(1);
  BeginStep(1);
  Join();
  Start([this] { Multiply(0, b_); });
  AwaitWaiting(1);
  Multiply(1, b_);
  Join();
  EXPECT_EQ(Late(), 1u);
  EXPECT_EQ(Passes(), 3u);
}

TEST_F(GemmBatcherTest, WhoIsGoneIsWaitedForNoLonger) {
  SetUp(kPatient, 3);
  GatherAll();
  Start([this] { Multiply(0, b_); });
  Start([this] { Multiply(1, b_); });
  AwaitWaiting(2);
  members_[2].reset();
  Join();
  EXPECT_EQ(Passes(), 1u);
  Start([this] { BeginStep(0); });
  AwaitWaiting(1);
  members_[1].reset();
  Join();
}

TEST_F(GemmBatcherTest, WhoPrefillsIsWaitedForNoLonger) {
  SetUp(kPatient, 2);
  GatherAll();
  Start([this] { Multiply(0, b_); });
  AwaitWaiting(1);
  Multiply(1, b_, kPatient.max_rows + 1);  // alone
  Join();
  EXPECT_EQ(Products(), 1u);
  BeginStep(0);
  Start([this] { BeginStep(1); });
  AwaitWaiting(1);
  BeginStep(0);
  Join();
  Start([this] { BeginStep(0); });
  AwaitWaiting(1);
  BeginStep(1, kPatient.max_rows + 1);
  Join();
  EXPECT_EQ(Late(), 0u);
}

TEST_F(GemmBatcherTest, OtherProgramsAreSplitOff) {
  SetUp(kPatient, 4);
  GatherAll();
  Start([this] { Multiply(0, b_); });
  Start([this] { Multiply(1, other_); });
  Start([this] { Multiply(2, b_); });
  AwaitWaiting(3);
  Multiply(3, other_);
  Join();
  EXPECT_EQ(Passes(), 2u);
  for (size_t first : {0, 1}) {  // without the two others
    Start([this, first] { Multiply(first, b_); });
    AwaitWaiting(1);
    Multiply(first + 2, b_);
    Join();
  }
  EXPECT_EQ(Passes(), 4u);
  EXPECT_EQ(Late(), 0u);
}

TEST_F(GemmBatcherTest, APassHasItsLimit) {
  GemmBatcher::Options options = kPatient;
  options.max_batch_rows = 5;
  SetUp(options, 4);
  GatherAll();
  for (size_t i = 0; i < members_.size(); ++i) {
    Start([this, i] { Multiply(i, b_, 2); });
  }
  Join();
  EXPECT_EQ(Passes(), 2u);
}

TEST_F(GemmBatcherTest, WithSmallMatricesOnlyNobodyWaits) {
  GemmBatcher::Options options = kPatient;
  options.min_bytes = kN * kK * sizeof(uint64_t) + 1;
  SetUp(options, 2);
  for (size_t i : {0, 1, 0, 1}) {
    Multiply(i, b_);
    BeginStep(i);
  }
  EXPECT_EQ(stats().products, 0u);
}

TEST_F(GemmBatcherTest, ComingAndGoingMixesNothingUp) {
  constexpr size_t kThreads = 12;
  ThreadPool pool(2);
  // Waits that end at any moment.
  GemmBatcher batcher(pool,
                      {.max_rows = 4,
                       .max_batch_rows = 9,
                       .min_bytes = 0,
                       .least_wait = std::chrono::microseconds(50),
                       .longest_meeting = std::chrono::microseconds(200),
                       .longest_gathering = std::chrono::microseconds(500)});
  for (size_t t = 0; t < kThreads; ++t) {
    Start([&, t] {
      std::mt19937_64 rng(t);
      for (int session = 0; session < 4; ++session) {
        GemmBatcher::Member member(batcher);
        for (int i = 0; i < 60; ++i) {
          if (i % 6 == 0) member.BeginStep(rng() % 6);
          const TestProduct product(rng() % 6, kN, kK,
                                    rng() % 8 == 0 ? other_ : b_,
                                    static_cast<Layout>(rng() % 2),
                                    static_cast<Accumulate>(rng() % 3), rng);
          member.Multiply(product.args(), InlinePool());
          ASSERT_TRUE(product.IsRight());
        }
      }
    });
  }
  Join();
  const GemmBatcher::Stats stats = batcher.stats();
  EXPECT_LE(stats.passes, stats.products);
  EXPECT_EQ(stats.waiting, 0u);
}

}  // namespace
}  // namespace tacit
