// From arguments to the kernel that serves them, on the host or the device.
#ifndef TACIT_GPU_FSS_ONE_HOT_DISPATCH_H_
#define TACIT_GPU_FSS_ONE_HOT_DISPATCH_H_

#include "gpu/base/error.h"
#include "gpu/fss/one_hot-inl.h"
#include "gpu/fss/one_hot.h"
#include "gpu/prg/aes_dispatch.h"

namespace tacit::gpu {

// launch(name, kernel, threads): HostLauncher or DeviceLauncher.
template <class Launcher>
Error DispatchOneHotGen(AesVariant variant, const OneHotGenArgs& args,
                        const Launcher& launch) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    return launch("OneHotGen", OneHotGenKernel<Aes>(args),
                  TileThreads<Aes>(args.field[0].n));
  });
}

template <class Launcher>
Error DispatchOneHotEval(AesVariant variant, const OneHotEvalArgs& args,
                         const Launcher& launch) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    const OneHotEvalKernel<Aes> kernel(args);
    return launch("OneHotEval", kernel, TileThreads<Aes>(kernel.items()));
  });
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_ONE_HOT_DISPATCH_H_
