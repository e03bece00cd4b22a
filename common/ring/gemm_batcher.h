// Products of several callers with the same right operand in one pass over it.
#ifndef TACIT_COMMON_RING_GEMM_BATCHER_H_
#define TACIT_COMMON_RING_GEMM_BATCHER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "common/base/thread_pool.h"
#include "common/ring/gemm.h"

namespace tacit {

// Decoding multiplies one row by all weights and is bound by reading them, so
// that sessions which decode at the same time should read them once. Nobody
// waits for company: the first caller multiplies at once, those who come for
// the same weights in the meantime are served together when it is done
// (continuous batching; Yu et al., Orca, OSDI 2022, batch at the level of an
// iteration, this at the level of a product).
//
// Rows of several sessions lie side by side in one buffer, which is wiped; no
// row has an influence on another's product. Thread-safe.
class GemmBatcher {
 public:
  struct Options {
    // Products of more rows are bound by arithmetic: they go alone.
    size_t max_rows = 16;
    // Of one pass.
    size_t max_batch_rows = 128;
    // Bytes of the right operand from which on a pass over it costs more than
    // waking another thread: what does not stay in a core's cache.
    size_t min_bytes = size_t{1} << 20;
  };
  struct Stats {
    uint64_t products = 0;  // that could be batched
    uint64_t passes = 0;    // over a right operand for them
  };

  // `pool` must outlive the batcher.
  explicit GemmBatcher(ThreadPool& pool) : GemmBatcher(pool, Options()) {}
  GemmBatcher(ThreadPool& pool, const Options& options)
      : pool_(pool), options_(options) {}
  GemmBatcher(const GemmBatcher&) = delete;
  GemmBatcher& operator=(const GemmBatcher&) = delete;

  // Gemm(args), with others' products if they come at the same time. The right
  // operand must not change while any caller multiplies by it. Products that
  // go alone run on `own`, the caller's pool.
  void Multiply(const GemmArgs& args, ThreadPool& own);

  Stats stats() const;

 private:
  struct Request {
    const GemmArgs& args;
    bool done = false;   // somebody else has multiplied
    bool leads = false;  // it is this caller's turn to multiply for all
    std::condition_variable changed{};
  };
  using Batch = std::vector<Request*>;

  // `request` and what waits with it. Requires mutex_.
  Batch Collect(Request& request, std::deque<Request*>& waiting) const;
  void Run(const Batch& batch);

  ThreadPool& pool_;
  const Options options_;
  mutable std::mutex mutex_;
  // By right operand: who waits for the pass under way over it to end.
  std::map<const uint64_t*, std::deque<Request*>> busy_;
  Stats stats_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_RING_GEMM_BATCHER_H_
