// Data parallelism inside one role.
#ifndef TACIT_COMMON_BASE_THREAD_POOL_H_
#define TACIT_COMMON_BASE_THREAD_POOL_H_

#include <cstddef>
#include <memory>

#include "absl/functional/function_ref.h"

namespace tacit {

// A fixed set of workers that share loops with the calling thread. Loops from
// several callers may run at once; a loop inside a loop runs on its caller.
// Thread-safe.
class ThreadPool {
 public:
  // `threads` counts the caller: 1 (or less) starts no worker at all.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(begin, end) on disjoint ranges that cover [0, n), each of
  // `grain` elements (the last one shorter), and returns when all are done.
  // `body` must not throw.
  void ParallelFor(size_t n, size_t grain,
                   absl::FunctionRef<void(size_t begin, size_t end)> body);

 private:
  struct State;
  const int threads_;
  std::unique_ptr<State> state_;
};

// A pool without workers, for callers that want none.
ThreadPool& InlinePool();

}  // namespace tacit

#endif  // TACIT_COMMON_BASE_THREAD_POOL_H_
