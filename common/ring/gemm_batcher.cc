#include "common/ring/gemm_batcher.h"

#include <algorithm>

#include "common/base/buffer.h"

namespace tacit {
namespace {

// Whether both read the same elements as the same matrix.
bool SameRightOperand(const GemmArgs& x, const GemmArgs& y) {
  return x.b == y.b && x.ldb == y.ldb && x.b_layout == y.b_layout &&
         x.n == y.n && x.k == y.k;
}

void Update(Accumulate accumulate, const uint64_t* product, size_t n,
            uint64_t* c) {
  for (size_t j = 0; j < n; ++j) {
    c[j] = accumulate == Accumulate::kOverwrite ? product[j]
           : accumulate == Accumulate::kAdd     ? c[j] + product[j]
                                                : c[j] - product[j];
  }
}

}  // namespace

void GemmBatcher::Multiply(const GemmArgs& args, ThreadPool& own) {
  if (args.m == 0 || args.m > options_.max_rows ||
      args.n * args.k * sizeof(uint64_t) < options_.min_bytes) {
    return Gemm(args, own);
  }
  Request request{args};
  std::unique_lock<std::mutex> lock(mutex_);
  ++stats_.products;
  const auto [entry, first] = busy_.try_emplace(args.b);
  std::deque<Request*>& waiting = entry->second;
  if (!first) {
    waiting.push_back(&request);
    request.changed.wait(lock, [&] { return request.done || request.leads; });
    if (request.done) return;
  }
  const Batch batch = Collect(request, waiting);
  ++stats_.passes;
  lock.unlock();
  Run(batch);
  lock.lock();
  // Notified under the lock: a request lives on its caller's stack, and goes
  // once the caller sees that it is done.
  for (Request* served : batch) {
    if (served == &request) continue;
    served->done = true;
    served->changed.notify_one();
  }
  if (waiting.empty()) {
    busy_.erase(entry);
    return;
  }
  Request* next = waiting.front();
  waiting.pop_front();
  next->leads = true;
  next->changed.notify_one();
}

GemmBatcher::Batch GemmBatcher::Collect(Request& request,
                                        std::deque<Request*>& waiting) const {
  Batch batch = {&request};
  size_t rows = request.args.m;
  std::erase_if(waiting, [&](Request* other) {
    if (!SameRightOperand(request.args, other->args) ||
        rows + other->args.m > options_.max_batch_rows) {
      return false;
    }
    rows += other->args.m;
    batch.push_back(other);
    return true;
  });
  return batch;
}

void GemmBatcher::Run(const Batch& batch) {
  GemmArgs all = batch.front()->args;
  if (batch.size() == 1) return Gemm(all, pool_);
  const size_t n = all.n, k = all.k;
  all.m = 0;
  for (const Request* request : batch) all.m += request->args.m;
  Words rows(all.m * k), product(all.m * n);
  uint64_t* to = rows.data();
  for (const Request* request : batch) {
    const GemmArgs& args = request->args;
    for (size_t i = 0; i < args.m; ++i, to += k) {
      std::copy_n(args.a + i * args.lda, k, to);
    }
  }
  all.a = rows.data();
  all.lda = k;
  all.c = product.data();
  all.ldc = n;
  all.accumulate = Accumulate::kOverwrite;
  Gemm(all, pool_);
  const uint64_t* from = product.data();
  for (const Request* request : batch) {
    const GemmArgs& args = request->args;
    for (size_t i = 0; i < args.m; ++i, from += n) {
      Update(args.accumulate, from, n, args.c + i * args.ldc);
    }
  }
}

GemmBatcher::Stats GemmBatcher::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

}  // namespace tacit
