// What every kernel's function answers in a build without CUDA.
#ifndef TACIT_GPU_KERNEL_NO_CUDA_H_
#define TACIT_GPU_KERNEL_NO_CUDA_H_

#include "gpu/base/error.h"

namespace tacit::gpu {

inline Error NoCudaError() {
  return Error(Code::kUnavailable,
               "this program was built without CUDA; use --device cpu, or "
               "build with TACIT_CUDA=on");
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_KERNEL_NO_CUDA_H_
