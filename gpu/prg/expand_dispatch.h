// From arguments to the kernel that serves them, on the host or the device.
#ifndef TACIT_GPU_PRG_EXPAND_DISPATCH_H_
#define TACIT_GPU_PRG_EXPAND_DISPATCH_H_

#include "gpu/base/error.h"
#include "gpu/prg/aes_dispatch.h"
#include "gpu/prg/expand-inl.h"
#include "gpu/prg/expand.h"

namespace tacit::gpu {

// launch(name, kernel, threads): HostLauncher or DeviceLauncher.
template <class Launcher>
Error DispatchWords(AesVariant variant, const ExpandWordsArgs& args,
                    const Launcher& launch) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    const size_t threads = ExpandThreads<Aes>(args.field, 2);
    return args.second == nullptr
               ? launch("ExpandWords", MakeWordsKernel<Aes, 1>(args), threads)
               : launch("ExpandWords", MakeWordsKernel<Aes, 2>(args), threads);
  });
}

template <class Launcher>
Error DispatchBits(AesVariant variant, const ExpandBitsArgs& args,
                   const Launcher& launch) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    const size_t threads = ExpandThreads<Aes>(args.field, 128);
    return args.second == nullptr
               ? launch("ExpandBits", MakeBitsKernel<Aes, 1>(args), threads)
               : launch("ExpandBits", MakeBitsKernel<Aes, 2>(args), threads);
  });
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_EXPAND_DISPATCH_H_
