#include "common/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace tacit {
namespace {

// How long a thread spins before it sleeps. Waking a sleeper costs about as
// much; longer would steal time from the other roles on the same cores.
constexpr std::chrono::microseconds kSpin{20};

// True on a thread that is running chunks of a shared loop.
thread_local bool inside_loop = false;

void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Condition>
void SpinUntil(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (condition()) return;
      CpuRelax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
}

// One ParallelFor call; lives on its caller's stack.
struct Loop {
  const size_t n;
  const size_t grain;
  const size_t chunks;
  const absl::FunctionRef<void(size_t, size_t)> body;
  std::atomic<size_t> next_chunk{0};
  // Workers that may still touch this loop. Changes under State::mutex only;
  // atomic so that the caller can spin on it.
  std::atomic<int> workers{0};
  std::condition_variable idle{};  // workers fell to 0

  bool HasChunks() const {
    return next_chunk.load(std::memory_order_relaxed) < chunks;
  }

  // noexcept: unwinding past a loop that workers still use must not happen.
  void RunChunks() noexcept {
    inside_loop = true;
    // Relaxed: the mutex orders the results of `body`, not the claims.
    for (size_t chunk; (chunk = next_chunk.fetch_add(
                            1, std::memory_order_relaxed)) < chunks;) {
      const size_t begin = chunk * grain;
      body(begin, begin + std::min(grain, n - begin));
    }
    inside_loop = false;
  }
};

}  // namespace

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable work;
  std::vector<Loop*> loops;  // oldest first
  // Counts published loops, and the stop; changes under `mutex` only.
  std::atomic<uint64_t> published{0};
  size_t spinning = 0;
  size_t sleeping = 0;
  bool stop = false;
  std::vector<std::thread> workers;

  void Work();
  void Publish(Loop* loop);
  void Retire(Loop* loop);
  Loop* FindLoop() const;
};

Loop* ThreadPool::State::FindLoop() const {
  for (Loop* loop : loops) {
    if (loop->HasChunks()) return loop;
  }
  return nullptr;
}

void ThreadPool::State::Work() {
  std::unique_lock<std::mutex> lock(mutex);
  while (!stop) {
    if (Loop* loop = FindLoop(); loop != nullptr) {
      ++loop->workers;
      lock.unlock();
      loop->RunChunks();
      lock.lock();
      // Notified under the lock: the caller cannot return, and so end the
      // loop's life, in between.
      if (--loop->workers == 0) loop->idle.notify_one();
      continue;
    }
    const uint64_t seen = published;
    ++spinning;
    lock.unlock();
    SpinUntil([&] { return published != seen; });
    lock.lock();
    --spinning;
    ++sleeping;
    work.wait(lock, [&] { return published != seen; });
    --sleeping;
  }
}

void ThreadPool::State::Publish(Loop* loop) {
  size_t wake;
  {
    std::lock_guard<std::mutex> lock(mutex);
    loops.push_back(loop);
    ++published;
    const size_t wanted = std::min(loop->chunks - 1, workers.size());
    wake = std::min(sleeping, wanted - std::min(wanted, spinning));
  }
  for (; wake > 0; --wake) work.notify_one();
}

void ThreadPool::State::Retire(Loop* loop) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    std::erase(loops, loop);  // no worker joins it from here on
  }
  SpinUntil([&] { return loop->workers == 0; });
  std::unique_lock<std::mutex> lock(mutex);
  loop->idle.wait(lock, [&] { return loop->workers == 0; });
}

ThreadPool::ThreadPool(int threads)
    : threads_(std::max(threads, 1)), state_(std::make_unique<State>()) {
  // Under the lock: workers.size() is read under it.
  std::lock_guard<std::mutex> lock(state_->mutex);
  for (int i = 1; i < threads_; ++i) {
    state_->workers.emplace_back([state = state_.get()] { state->Work(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stop = true;
    ++state_->published;
  }
  state_->work.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

void ThreadPool::ParallelFor(
    size_t n, size_t grain,
    absl::FunctionRef<void(size_t begin, size_t end)> body) {
  if (n == 0) return;
  grain = std::max<size_t>(grain, 1);
  const size_t chunks = (n - 1) / grain + 1;
  if (chunks == 1 || threads_ == 1 || inside_loop) {
    for (size_t begin = 0; begin < n;) {
      const size_t end = begin + std::min(grain, n - begin);
      body(begin, end);
      begin = end;
    }
    return;
  }
  Loop loop{.n = n, .grain = grain, .chunks = chunks, .body = body};
  state_->Publish(&loop);
  loop.RunChunks();
  state_->Retire(&loop);
}

ThreadPool& InlinePool() {
  static ThreadPool& pool = *new ThreadPool(1);
  return pool;
}

}  // namespace tacit
