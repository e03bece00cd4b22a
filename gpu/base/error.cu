#include <string>

#include "gpu/base/launch.cuh"

namespace tacit::gpu {
namespace {

struct Advice {
  Code code;
  const char* what_to_do;
};

Advice AdviceFor(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation:
      return {Code::kResourceExhausted,
              "use fewer sessions, a shorter context or a larger device"};
    case cudaErrorNoDevice:
      return {Code::kUnavailable,
              "use --device cpu, or make a GPU visible (nvidia-smi, "
              "CUDA_VISIBLE_DEVICES)"};
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return {Code::kUnavailable,
              "install a driver at least as new as the CUDA toolkit that this "
              "was built with, or use --device cpu"};
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return {Code::kUnavailable,
              "build with this device's architecture in "
              "TACIT_CUDA_ARCHITECTURES"};
    case cudaErrorSystemNotReady:
      return {Code::kUnavailable,
              "the driver is starting or its services are down: look at "
              "nvidia-smi and the kernel log"};
    case cudaErrorInvalidDevice:
      return {Code::kInvalidArgument, "name a device that nvidia-smi lists"};
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidPc:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorDevicesUnavailable:
      return {Code::kUnavailable,
              "the device cannot be used by this process any more: restart it, "
              "and look at the kernel log if it happens again"};
    default:
      return {Code::kInternal, "report this"};
  }
}

}  // namespace

Error FromCuda(cudaError_t code, std::string_view what) {
  if (code == cudaSuccess) return {};
  (void)cudaGetLastError();  // else the next launch reports this one's error
  const Advice advice = AdviceFor(code);
  return Error(advice.code,
               std::string(what) + ": " + cudaGetErrorString(code) + " (" +
                   cudaGetErrorName(code) + "); " + advice.what_to_do);
}

}  // namespace tacit::gpu
