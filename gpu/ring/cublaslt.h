// int8 products by cuBLASLt.
#ifndef TACIT_GPU_RING_CUBLASLT_H_
#define TACIT_GPU_RING_CUBLASLT_H_

#include <memory>

#include "gpu/ring/int8_product.h"

namespace tacit::gpu {

// For the calling thread's device. The library is loaded when this is first
// called and not linked: it is half a gigabyte, a build does not need it, and a
// program starts on machines without it. Looked for as libcublasLt.so.13 and
// .12, the way the system looks for libraries (LD_LIBRARY_PATH, ld.so.conf),
// then in /usr/local/cuda; TACIT_CUBLASLT names another file. The object is
// thread-safe.
//
// UNAVAILABLE if there is none that fits, with the names that were tried and
// what to do; RingGemm does without then.
Result<std::unique_ptr<Int8Multiplier>> CreateCublasLt();

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_CUBLASLT_H_
