// For tests of ring products on the host: every thread of every launch, with
// the tensor cores' instruction and the int8 library emulated.
#ifndef TACIT_GPU_RING_GEMM_TEST_UTIL_H_
#define TACIT_GPU_RING_GEMM_TEST_UTIL_H_

#include <cstdint>
#include <vector>

#include "gpu/ring/gemm-inl.h"
#include "gpu/ring/gemv.h"
#include "gpu/ring/gemv_host.h"
#include "gtest/gtest.h"

namespace tacit::gpu {

using Vec = std::vector<uint64_t>;

// Words whose digits are extreme: every digit -128, carries through all digits,
// digits at both ends, and what a narrower ring leaves above its width.
inline constexpr uint64_t kAdversarial[] = {
    0,
    1,
    ~uint64_t{0},
    0x8080808080808080,
    0x7f7f7f7f7f7f7f80,  // all digits -128
    0x7f7f7f7f7f7f7f7f,  // all digits 127
    0x8000000000000000,
    0x7fffffffffffffff,
    0x00ff00ff00ff00ff,
    0x0123456789abcdef,
};

// C = A B^T in loops, with sums wide enough to see that int32 does not
// overflow.
inline void MultiplyInLoops(const Int8Product& p) {
  for (size_t matrix = 0; matrix < p.batch; ++matrix) {
    for (size_t i = 0; i < p.m; ++i) {
      for (size_t j = 0; j < p.n; ++j) {
        const int8_t* a = p.a + matrix * p.a_batch_stride + i * p.lda;
        const int8_t* b = p.b + matrix * p.b_batch_stride + j * p.ldb;
        int64_t sum = 0;
        for (size_t k = 0; k < p.k; ++k) sum += int64_t{a[k]} * b[k];
        ASSERT_EQ(sum, static_cast<int32_t>(sum));
        p.c[matrix * p.c_batch_stride + i * p.ldc + j] =
            static_cast<int32_t>(sum);
      }
    }
  }
}

class HostBackend {
 public:
  explicit HostBackend(int multiprocessors = 1)
      : multiprocessors_(multiprocessors) {}

  template <typename Body>
  Error Run(const char*, const Body& body) {
    RunOnHost(body.launch(), body);
    return {};
  }
  Error Gemv(int limbs, int right_limbs, const GemvArgs& args) {
    DispatchGemv(limbs, right_limbs, args,
                 [&]<int kLimbs, int kRight, int kTiles>() {
                   GemvOnHost<kLimbs, kRight, kTiles>(args);
                 });
    return {};
  }
  Error Multiply(const Int8Product& p, void*) {
    // What the library demands (int8_product.h).
    EXPECT_EQ(p.n % 16, 0);
    EXPECT_EQ((p.k | p.lda | p.ldb | p.ldc) % 16, 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p.a) % 16, 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p.b) % 16, 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p.c) % 16, 0);
    EXPECT_LT(p.k, size_t{1} << 17);
    MultiplyInLoops(p);
    return {};
  }
  int multiprocessors() const { return multiprocessors_; }

 private:
  const int multiprocessors_;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMM_TEST_UTIL_H_
