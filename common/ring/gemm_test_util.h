// Products with known results, for tests of code that computes several.
#ifndef TACIT_COMMON_RING_GEMM_TEST_UTIL_H_
#define TACIT_COMMON_RING_GEMM_TEST_UTIL_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "common/ring/gemm.h"

namespace tacit {

inline std::vector<uint64_t> RandomVector(size_t n, std::mt19937_64& rng) {
  std::vector<uint64_t> v(n);
  for (uint64_t& x : v) x = rng();
  return v;
}

// A product with `b`, a matrix of [k, n] without padding: strides of A and C
// wider than the rows, and something in C before.
class TestProduct {
 public:
  TestProduct(size_t m, size_t n, size_t k, const std::vector<uint64_t>& b,
              Layout layout, Accumulate accumulate, std::mt19937_64& rng)
      : a_(RandomVector(m * (k + 1), rng)), c_(RandomVector(m * (n + 3), rng)) {
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
  // Whether C is what one product makes of it.
  bool IsRight() const { return c_ == expected_; }

 private:
  std::vector<uint64_t> a_, c_, expected_;
  GemmArgs args_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_RING_GEMM_TEST_UTIL_H_
