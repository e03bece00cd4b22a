// Where functions that compose kernels run them.
#ifndef TACIT_GPU_ELEMENTWISE_BACKENDS_H_
#define TACIT_GPU_ELEMENTWISE_BACKENDS_H_

#include <cstddef>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"
#include "gpu/elementwise/map.h"
#include "gpu/prg/expand.h"
#include "gpu/prg/expand_dispatch.h"

namespace tacit::gpu {

// Enqueues on a stream of the device.
struct DeviceBackend {
  StreamHandle stream = nullptr;

  Error ExpandWords(const ExpandWordsArgs& args) const {
    return gpu::ExpandWords(DefaultAesVariant(args.field.n / 2), args, stream);
  }
  Error ExpandBits(const ExpandBitsArgs& args) const {
    return gpu::ExpandBits(DefaultAesVariant(args.field.n / 128), args, stream);
  }
  template <class Op>
  Error RunOp(const Op& op, size_t n) const {
    return gpu::RunOp(op, n, stream);
  }
};

// The same bodies on the host: the reference.
struct HostBackend {
  Error ExpandWords(const ExpandWordsArgs& args) const {
    return DispatchWords(AesVariant::kTable1, args, HostLauncher());
  }
  Error ExpandBits(const ExpandBitsArgs& args) const {
    return DispatchBits(AesVariant::kTable1, args, HostLauncher());
  }
  template <class Op>
  Error RunOp(const Op& op, size_t n) const {
    return RunOpOnHost(op, n);
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_BACKENDS_H_
