// Sums over rows: one block of threads to a row, in a tree of barriers.
#ifndef TACIT_GPU_ELEMENTWISE_ROW_SUM_INL_H_
#define TACIT_GPU_ELEMENTWISE_ROW_SUM_INL_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/error.h"
#include "gpu/base/host_device.h"
#include "gpu/base/launch.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/product_ops-inl.h"
#include "gpu/kernel/phased.h"

namespace tacit::gpu {

// The elements themselves; SquareTerm and SelfSquareTerm are others.
struct WordTerm {
  const uint64_t* a;
  TACIT_HOST_DEVICE uint64_t operator()(size_t i) const { return a[i]; }
};

// out[r] = sum of term(r d + j) over j < d, plus add[r] if add is not null.
template <class Term, uint32_t kThreadsEach>
struct RowSumKernel {
  static constexpr uint32_t kThreads = kThreadsEach;
  static constexpr int Log(uint32_t n) { return n <= 1 ? 0 : 1 + Log(n / 2); }
  static constexpr int kHalvings = Log(kThreads);
  static_assert(kThreads == uint32_t{1} << kHalvings);
  static constexpr int kPhases = 2 + kHalvings;
  struct Shared {
    uint64_t part[kThreads];
  };

  Term term;
  size_t d;
  const uint64_t* add;
  uint64_t* out;

  template <int kPhase>
  TACIT_HOST_DEVICE void Run(Shared& shared, const Thread& thread) const {
    const uint32_t t = thread.thread;
    const size_t row = thread.block;
    if constexpr (kPhase == 0) {
      uint64_t sum = 0;
      for (size_t j = t; j < d; j += kThreads) sum += term(row * d + j);
      shared.part[t] = sum;
    } else if constexpr (kPhase <= kHalvings) {
      constexpr uint32_t kHalf = kThreads >> kPhase;
      if (t < kHalf) shared.part[t] += shared.part[t + kHalf];
    } else {
      if (t == 0) {
        out[row] = shared.part[0] + (add == nullptr ? 0 : add[row]);
        shared.part[0] = 0;  // of secrets: don't leave the sum behind
      } else {
        shared.part[t] = 0;
      }
    }
  }
};

// Short rows by a warp, others by eight.
template <class Term, class Launcher>
Error DispatchRowSum(const Term& term, size_t rows, size_t d,
                     const uint64_t* add, uint64_t* out,
                     const Launcher& launch) {
  if (rows > kMaxBlocks || (rows > 0 && out == nullptr)) {
    return Error(Code::kInvalidArgument,
                 "SumRows: an output, and at most 2^31 - 1 rows, are needed");
  }
  const uint32_t blocks = static_cast<uint32_t>(rows);
  if (d <= 64) {
    return launch.Blocks("SumRows", RowSumKernel<Term, 32>{term, d, add, out},
                         blocks);
  }
  return launch.Blocks("SumRows", RowSumKernel<Term, 256>{term, d, add, out},
                       blocks);
}

// On the device; Term is WordTerm, SquareTerm or SelfSquareTerm. Errors as
// RunOp (map.h).
template <class Term>
Error SumRows(const Term& term, size_t rows, size_t d, const uint64_t* add,
              uint64_t* out, StreamHandle stream);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_ROW_SUM_INL_H_
