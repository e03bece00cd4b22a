// From arguments to the kernel that serves them, on the host or the device.
#ifndef TACIT_GPU_FSS_DPF_DISPATCH_H_
#define TACIT_GPU_FSS_DPF_DISPATCH_H_

#include "gpu/base/error.h"
#include "gpu/fss/dpf.h"
#include "gpu/fss/dpf_direct-inl.h"
#include "gpu/fss/dpf_gen-inl.h"
#include "gpu/fss/dpf_path-inl.h"
#include "gpu/fss/dpf_window-inl.h"
#include "gpu/prg/aes_dispatch.h"

namespace tacit::gpu {

// launch(name, kernel, threads): HostLauncher or DeviceLauncher.
template <class Launcher>
Error DispatchGen(AesVariant variant, const DpfGenArgs& args,
                  const Launcher& launch) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    const size_t threads = TileThreads<Aes>(args.field[0].n);
    return DpfIsDirect(args.m)
               ? launch("DpfGen", DirectGenKernel<Aes>(args), threads)
               : launch("DpfGen", DpfGenKernel<Aes>(args), threads);
  });
}

template <class Launcher>
Error DispatchPath(AesVariant variant, const DpfPathArgs& args,
                   const Launcher& launch) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    const size_t threads = TileThreads<Aes>(args.keys.field.n);
    return DpfIsDirect(args.keys.m)
               ? launch("DpfEvalPath", DirectPathKernel<Aes>(args), threads)
               : launch("DpfEvalPath", DpfPathKernel<Aes>(args), threads);
  });
}

// Leaves of a pass: windows of the usual size fit the smaller one.
inline constexpr int kSmallWindow = 5;
inline constexpr int kLargeWindow = 17;

template <class Aes, int kTables, class Launcher>
Error DispatchWindowOf(const DpfWindowArgs& args, const Launcher& launch) {
  constexpr char kName[] = "DpfWindowSum";
  const size_t threads = TileThreads<Aes>(args.keys.field.n);
  using Small = DpfWindowKernel<Aes, kTables, kSmallWindow>;
  using Large = DpfWindowKernel<Aes, kTables, kLargeWindow>;
  if (DpfIsDirect(args.keys.m)) {
    return launch(kName, DirectWindowKernel<Aes, kTables>(args), threads);
  }
  if (args.length <= Small::kPassPoints) {
    return launch(kName, Small(args), threads);
  }
  return launch(kName, Large(args), threads);
}

template <class Launcher>
Error DispatchWindow(AesVariant variant, const DpfWindowArgs& args,
                     const Launcher& launch) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    return args.table_count == 1 ? DispatchWindowOf<Aes, 1>(args, launch)
                                 : DispatchWindowOf<Aes, 2>(args, launch);
  });
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_DPF_DISPATCH_H_
