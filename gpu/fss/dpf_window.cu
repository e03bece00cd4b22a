#include "gpu/fss/dpf.h"
#include "gpu/fss/dpf_dispatch.h"
#include "gpu/kernel/phased_launch.cuh"

namespace tacit::gpu {

Error DpfWindowSum(AesVariant variant, const DpfWindowArgs& args,
                   StreamHandle stream) {
  return DispatchWindow(variant, args, DeviceLauncher{stream});
}

}  // namespace tacit::gpu
