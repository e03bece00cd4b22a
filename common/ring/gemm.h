// Matrix products over Z_{2^64} (hence over every Z_{2^n}).
#ifndef TACIT_COMMON_RING_GEMM_H_
#define TACIT_COMMON_RING_GEMM_H_

#include <cstddef>
#include <cstdint>

#include "common/base/buffer.h"
#include "common/base/thread_pool.h"
#include "common/ring/product.h"

namespace tacit {

// C (op)= A B modulo 2^64; A is [m, k] with row stride lda, C is [m, n] with
// row stride ldc, all in elements. Any size including 0 (k = 0: the product is
// zero). C must not overlap A or B.
//
// Register-tiled over packed panels; m = 1 .. 4, and with AVX-512 m = 5 .. 16
// by a row-major B, take paths that read B once and pack nothing of it. AVX-512
// (vpmullq), AVX2 and portable paths, chosen at run time, give the same bits.
// Runs on `pool`.
struct GemmArgs {
  size_t m, n, k;
  const uint64_t* a;
  size_t lda;
  const uint64_t* b;
  size_t ldb;
  Layout b_layout = Layout::kRowMajor;
  uint64_t* c;
  size_t ldc;
  Accumulate accumulate = Accumulate::kOverwrite;
};
void Gemm(const GemmArgs& args, ThreadPool& pool);

// The definition, as three loops: what every path is tested against.
void GemmReference(const GemmArgs& args);

}  // namespace tacit

#endif  // TACIT_COMMON_RING_GEMM_H_
