// int8 products by plain loops on the device: what takes cuBLASLt's place in
// checks, where the library would be too much (compute-sanitizer) or is what is
// suspected. Slow.
#ifndef TACIT_GPU_RING_LOOP_MULTIPLIER_H_
#define TACIT_GPU_RING_LOOP_MULTIPLIER_H_

#include <memory>

#include "gpu/ring/int8_product.h"

namespace tacit::gpu {

// One thread for an element of C.
struct LoopProductBody {
  Int8Product p;

  Launch launch() const { return Cover(p.batch * p.m * p.n); }

  TACIT_HOST_DEVICE void operator()(const Thread& thread) const {
    for (size_t i = thread.index(); i < p.batch * p.m * p.n;
         i += thread.stride()) {
      const size_t matrix = i / (p.m * p.n), item = i % (p.m * p.n);
      const size_t row = item / p.n, column = item % p.n;
      const int8_t* a = p.a + matrix * p.a_batch_stride + row * p.lda;
      const int8_t* b = p.b + matrix * p.b_batch_stride + column * p.ldb;
      int32_t sum = 0;
      for (size_t k = 0; k < p.k; ++k) sum += a[k] * b[k];
      p.c[matrix * p.c_batch_stride + row * p.ldc + column] = sum;
    }
  }
};

std::unique_ptr<Int8Multiplier> MakeLoopMultiplier();

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_LOOP_MULTIPLIER_H_
