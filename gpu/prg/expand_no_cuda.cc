// What expand.h answers in a build without CUDA.
#include "gpu/kernel/no_cuda.h"
#include "gpu/prg/expand.h"

namespace tacit::gpu {

Error ExpandWords(AesVariant, const ExpandWordsArgs&, StreamHandle) {
  return NoCudaError();
}
Error ExpandBits(AesVariant, const ExpandBitsArgs&, StreamHandle) {
  return NoCudaError();
}

}  // namespace tacit::gpu
