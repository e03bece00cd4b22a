#include "gpu/kernel/phased_launch.cuh"
#include "gpu/prg/expand.h"
#include "gpu/prg/expand_dispatch.h"

namespace tacit::gpu {

Error ExpandWords(AesVariant variant, const ExpandWordsArgs& args,
                  StreamHandle stream) {
  return DispatchWords(variant, args, DeviceLauncher{stream});
}

Error ExpandBits(AesVariant variant, const ExpandBitsArgs& args,
                 StreamHandle stream) {
  return DispatchBits(variant, args, DeviceLauncher{stream});
}

}  // namespace tacit::gpu
