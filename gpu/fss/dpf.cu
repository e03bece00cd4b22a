#include "gpu/fss/dpf.h"
#include "gpu/fss/dpf_dispatch.h"
#include "gpu/kernel/phased_launch.cuh"

namespace tacit::gpu {

Error DpfGen(AesVariant variant, const DpfGenArgs& args, StreamHandle stream) {
  return DispatchGen(variant, args, DeviceLauncher{stream});
}

Error DpfEvalPath(AesVariant variant, const DpfPathArgs& args,
                  StreamHandle stream) {
  return DispatchPath(variant, args, DeviceLauncher{stream});
}

}  // namespace tacit::gpu
