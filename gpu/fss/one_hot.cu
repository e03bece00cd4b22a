#include "gpu/fss/one_hot.h"
#include "gpu/fss/one_hot_dispatch.h"
#include "gpu/kernel/phased_launch.cuh"

namespace tacit::gpu {

Error OneHotGen(AesVariant variant, const OneHotGenArgs& args,
                StreamHandle stream) {
  return DispatchOneHotGen(variant, args, DeviceLauncher{stream});
}

Error OneHotEval(AesVariant variant, const OneHotEvalArgs& args,
                 StreamHandle stream) {
  return DispatchOneHotEval(variant, args, DeviceLauncher{stream});
}

}  // namespace tacit::gpu
