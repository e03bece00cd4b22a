// CUDA's errors as ours. Needs no device: CUDA knows its words without one.
#include <string>

#include "gpu/base/launch.cuh"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

struct Case {
  cudaError_t cuda;
  Code code;
  const char* words;       // CUDA's
  const char* what_to_do;  // ours
};

TEST(FromCudaTest, SuccessIsNoError) {
  EXPECT_TRUE(FromCuda(cudaSuccess, "anything").ok());
}

TEST(FromCudaTest, SaysWhatCudaSaysAndWhatToDo) {
  const Case cases[] = {
      {cudaErrorNoDevice, Code::kUnavailable, "no CUDA-capable device",
       "--device cpu"},
      {cudaErrorInsufficientDriver, Code::kUnavailable, "insufficient",
       "install a driver"},
      {cudaErrorMemoryAllocation, Code::kResourceExhausted, "out of memory",
       "fewer sessions"},
      {cudaErrorIllegalAddress, Code::kUnavailable, "illegal memory access",
       "restart"},
      {cudaErrorLaunchFailure, Code::kUnavailable, "launch failure", "restart"},
      {cudaErrorNoKernelImageForDevice, Code::kUnavailable, "no kernel image",
       "TACIT_CUDA_ARCHITECTURES"},
      {cudaErrorInvalidDevice, Code::kInvalidArgument, "invalid device",
       "nvidia-smi"},
      {cudaErrorInvalidConfiguration, Code::kInternal, "configuration",
       "report this"},
  };
  for (const Case& c : cases) {
    const Error error = FromCuda(c.cuda, "product");
    EXPECT_EQ(error.code(), c.code) << error.message();
    EXPECT_EQ(error.message().rfind("product: ", 0), 0) << error.message();
    EXPECT_NE(error.message().find(c.words), std::string::npos)
        << error.message();
    EXPECT_NE(error.message().find(c.what_to_do), std::string::npos)
        << error.message();
  }
}

}  // namespace
}  // namespace tacit::gpu
