#include "common/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <limits>
#include <mutex>
#include <numeric>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace tacit {
namespace {

using Range = std::pair<size_t, size_t>;

// The ranges `pool` hands out, in order of their begin.
std::vector<Range> Ranges(ThreadPool& pool, size_t n, size_t grain) {
  std::mutex mutex;
  std::vector<Range> ranges;
  pool.ParallelFor(n, grain, [&](size_t begin, size_t end) {
    std::lock_guard<std::mutex> lock(mutex);
    ranges.emplace_back(begin, end);
  });
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

class ThreadPoolTest
    : public testing::TestWithParam<std::tuple<int, size_t, size_t>> {};

TEST_P(ThreadPoolTest, RangesCoverTheLoopOnceInGrains) {
  const auto [threads, n, grain] = GetParam();
  ThreadPool pool(threads);
  size_t begin = 0;
  for (const Range& range : Ranges(pool, n, grain)) {
    EXPECT_EQ(range.first, begin);
    EXPECT_EQ(range.second, std::min(begin + grain, n));
    begin = range.second;
  }
  EXPECT_EQ(begin, n);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolTest,
                         testing::Combine(testing::Values(-1, 1, 2, 4),
                                          testing::Values(0, 1, 2, 127, 128,
                                                          129, 1000),
                                          testing::Values(1, 7, 128, 5000)));

TEST(ThreadPoolTest, CountsTheCaller) {
  EXPECT_EQ(ThreadPool(0).threads(), 1);
  EXPECT_EQ(ThreadPool(3).threads(), 3);
  EXPECT_EQ(InlinePool().threads(), 1);
}

TEST(ThreadPoolTest, GrainNearSizeMaxDoesNotOverflow) {
  constexpr size_t kMax = std::numeric_limits<size_t>::max();
  ThreadPool pool(2);
  EXPECT_EQ(Ranges(pool, kMax, kMax - 1),
            (std::vector<Range>{{0, kMax - 1}, {kMax - 1, kMax}}));
}

TEST(ThreadPoolTest, InlinePoolRunsOnTheCaller) {
  const std::thread::id caller = std::this_thread::get_id();
  InlinePool().ParallelFor(100, 1, [&](size_t, size_t) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
  });
}

TEST(ThreadPoolTest, WorkersTakePart) {
  ThreadPool pool(3);
  // Every chunk waits for the two others: only three threads get through.
  std::mutex mutex;
  std::condition_variable all_here;
  int here = 0;
  pool.ParallelFor(3, 1, [&](size_t, size_t) {
    std::unique_lock<std::mutex> lock(mutex);
    if (++here == 3) all_here.notify_all();
    all_here.wait(lock, [&] { return here == 3; });
  });
  EXPECT_EQ(here, 3);
}

TEST(ThreadPoolTest, NestedLoopRunsOnItsCaller) {
  ThreadPool pool(4);
  std::atomic<int> calls{0};
  pool.ParallelFor(16, 1, [&](size_t, size_t) {
    const std::thread::id caller = std::this_thread::get_id();
    pool.ParallelFor(10, 3, [&](size_t, size_t) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      ++calls;
    });
  });
  EXPECT_EQ(calls, 16 * 4);
}

TEST(ThreadPoolTest, WritesAreVisibleToTheCaller) {
  ThreadPool pool(4);
  for (int repeat = 0; repeat < 1000; ++repeat) {
    std::vector<int> values(40);  // not atomic: ThreadSanitizer checks these
    pool.ParallelFor(values.size(), 3, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) values[i] = repeat;
    });
    EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0), 40 * repeat);
  }
}

TEST(ThreadPoolTest, CallersShareThePool) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&pool, caller] {
      for (size_t n = 0; n < 500; ++n) {
        std::vector<size_t> values(n, 0);
        pool.ParallelFor(n, 1 + caller, [&](size_t begin, size_t end) {
          for (size_t i = begin; i < end; ++i) values[i] += i;
        });
        EXPECT_EQ(std::accumulate(values.begin(), values.end(), size_t{0}),
                  n < 2 ? 0 : n * (n - 1) / 2);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadPoolTest, CallerDoesNotWaitForAnotherLoop) {
  ThreadPool pool(2);
  std::mutex mutex;
  std::condition_variable changed;
  int blocked = 0;
  bool release = false;
  // Holds the other caller and the only worker.
  std::thread other([&] {
    pool.ParallelFor(2, 1, [&](size_t, size_t) {
      std::unique_lock<std::mutex> lock(mutex);
      ++blocked;
      changed.notify_all();
      changed.wait(lock, [&] { return release; });
    });
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return blocked == 2; });
  }
  EXPECT_EQ(Ranges(pool, 100, 7).size(), 15);  // returns while both are held
  {
    std::lock_guard<std::mutex> lock(mutex);
    release = true;
  }
  changed.notify_all();
  other.join();
}

TEST(ThreadPoolTest, SleepingWorkersWakeUp) {
  ThreadPool pool(2);
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> here{0};
    pool.ParallelFor(2, 1, [&](size_t, size_t) {
      ++here;
      while (here < 2) std::this_thread::yield();
    });
    EXPECT_EQ(here, 2);
  }
}

TEST(ThreadPoolTest, StartsAndStopsWithoutALoop) {
  for (int repeat = 0; repeat < 50; ++repeat) ThreadPool pool(4);
}

}  // namespace
}  // namespace tacit
