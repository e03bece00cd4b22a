#include "common/ring/gemm_together.h"

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "common/base/buffer.h"

namespace tacit {
namespace {

void Update(Accumulate accumulate, const uint64_t* product, size_t n,
            uint64_t* c) {
  for (size_t j = 0; j < n; ++j) {
    c[j] = accumulate == Accumulate::kOverwrite ? product[j]
           : accumulate == Accumulate::kAdd     ? c[j] + product[j]
                                                : c[j] - product[j];
  }
}

}  // namespace

bool SameRightOperand(const GemmArgs& x, const GemmArgs& y) {
  return x.b == y.b && x.ldb == y.ldb && x.b_layout == y.b_layout &&
         x.n == y.n && x.k == y.k;
}

void GemmTogether(std::span<const GemmArgs* const> products, ThreadPool& pool) {
  if (products.empty()) return;
  GemmArgs all = *products.front();
  if (products.size() == 1) return Gemm(all, pool);
  const size_t n = all.n, k = all.k;
  all.m = 0;
  for (const GemmArgs* product : products) {
    assert(SameRightOperand(all, *product));
    all.m += product->m;
  }
  Words rows(all.m * k), results(all.m * n);
  uint64_t* to = rows.data();
  for (const GemmArgs* product : products) {
    for (size_t i = 0; i < product->m; ++i, to += k) {
      std::copy_n(product->a + i * product->lda, k, to);
    }
  }
  all.a = rows.data();
  all.lda = k;
  all.c = results.data();
  all.ldc = n;
  all.accumulate = Accumulate::kOverwrite;
  Gemm(all, pool);
  const uint64_t* from = results.data();
  for (const GemmArgs* product : products) {
    for (size_t i = 0; i < product->m; ++i, from += n) {
      Update(product->accumulate, from, n, product->c + i * product->ldc);
    }
  }
}

}  // namespace tacit
