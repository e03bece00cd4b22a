// What gpu/fss answers in a build without CUDA.
#include "gpu/kernel/no_cuda.h"

#include "gpu/fss/dpf.h"
#include "gpu/fss/one_hot.h"

namespace tacit::gpu {

Error DpfGen(AesVariant, const DpfGenArgs&, StreamHandle) {
  return NoCudaError();
}
Error DpfEvalPath(AesVariant, const DpfPathArgs&, StreamHandle) {
  return NoCudaError();
}
Error DpfWindowSum(AesVariant, const DpfWindowArgs&, StreamHandle) {
  return NoCudaError();
}
Error OneHotGen(AesVariant, const OneHotGenArgs&, StreamHandle) {
  return NoCudaError();
}
Error OneHotEval(AesVariant, const OneHotEvalArgs&, StreamHandle) {
  return NoCudaError();
}

}  // namespace tacit::gpu
