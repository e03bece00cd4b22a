// Products of int8 matrices with int32 sums: the part of a ring product that a
// library does. cuBLASLt on the device (cublaslt.h); tests put plain loops
// here.
#ifndef TACIT_GPU_RING_INT8_PRODUCT_H_
#define TACIT_GPU_RING_INT8_PRODUCT_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"

namespace tacit::gpu {

// C = A B^T for each of `batch` matrices: A is [m, k], B is [n, k], C is [m,
// n], rows contiguous. Pointers are aligned to 16 bytes; n, k, strides and ldc
// are multiples of 16. k * 2^14 < 2^31: no sum overflows.
struct Int8Product {
  size_t m, n, k, batch;
  const int8_t* a;
  size_t lda, a_batch_stride;
  const int8_t* b;
  size_t ldb, b_batch_stride;
  int32_t* c;
  size_t ldc, c_batch_stride;
};

class Int8Multiplier {
 public:
  virtual ~Int8Multiplier() = default;

  // Bytes of device memory that Multiply may use between its start and its end.
  virtual size_t workspace_bytes() const = 0;

  // Enqueues on `stream`. Workspaces of products that may run at the same time
  // must be distinct.
  virtual Error Multiply(const Int8Product& product, void* workspace,
                         StreamHandle stream) = 0;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_INT8_PRODUCT_H_
