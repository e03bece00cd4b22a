// A kernel that writes where it must not, for gpu_fault_check alone.
#ifndef TACIT_GPU_CHECK_FAULT_H_
#define TACIT_GPU_CHECK_FAULT_H_

#include "gpu/base/error.h"

namespace tacit::gpu {

// Enqueues a write to an address that is nobody's.
Error LaunchIllegalWrite();

}  // namespace tacit::gpu

#endif  // TACIT_GPU_CHECK_FAULT_H_
