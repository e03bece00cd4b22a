#include "gpu/base/device.h"
#include "gpu/base/launch.cuh"
#include "gpu/ring/gemm-inl.h"
#include "gpu/ring/gemm.h"
#include "gpu/ring/gemv.h"

namespace tacit::gpu {
namespace {

class DeviceBackend {
 public:
  DeviceBackend(Int8Multiplier* multiplier, int multiprocessors,
                StreamHandle stream)
      : multiplier_(multiplier),
        multiprocessors_(multiprocessors),
        stream_(stream) {}

  template <typename Body>
  Error Run(const char* name, const Body& body) {
    return LaunchBody(name, body.launch(), body, stream_);
  }
  Error Gemv(int limbs, int right_limbs, const GemvArgs& args) {
    return gpu::Gemv(limbs, right_limbs, args, stream_);
  }
  Error Multiply(const Int8Product& product, void* workspace) {
    return multiplier_->Multiply(product, workspace, stream_);
  }
  int multiprocessors() const { return multiprocessors_; }

 private:
  Int8Multiplier* const multiplier_;
  const int multiprocessors_;
  const StreamHandle stream_;
};

size_t LibraryBytes(const Int8Multiplier* multiplier) {
  return multiplier == nullptr ? 0 : multiplier->workspace_bytes();
}

}  // namespace

Result<RingGemm> RingGemm::Create(std::unique_ptr<Int8Multiplier> multiplier) {
  TACIT_GPU_RETURN_IF_ERROR(DeviceCount().error());
  int device = 0, multiprocessors = 0;
  TACIT_RETURN_IF_CUDA_ERROR(cudaGetDevice(&device), "device");
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount,
                             device),
      "device");
  return RingGemm(std::move(multiplier), multiprocessors);
}

Error RingGemm::Pack(const LimbShape& shape, const GemmOperand& words,
                     size_t batch, int8_t* limbs, StreamHandle stream) const {
  const DecomposeBody body =
      Decomposition(shape, words, batch, limbs, shape.bytes());
  return LaunchBody("limbs", body.launch(), body, stream);
}

size_t RingGemm::WorkspaceBytes(const RingProduct& product) const {
  return PlanFor(product, has_multiplier(), LibraryBytes(multiplier_.get()),
                 /*least=*/false)
      .bytes;
}

size_t RingGemm::MinWorkspaceBytes(const RingProduct& product) const {
  return PlanFor(product, has_multiplier(), LibraryBytes(multiplier_.get()),
                 /*least=*/true)
      .bytes;
}

Error RingGemm::Multiply(const RingProduct& product, void* workspace,
                         size_t workspace_bytes, StreamHandle stream) const {
  TACIT_GPU_RETURN_IF_ERROR(Check(product));
  TACIT_GPU_ASSIGN_OR_RETURN(
      const GemmPlan plan,
      PlanWithin(product, has_multiplier(), LibraryBytes(multiplier_.get()),
                 workspace_bytes));
  DeviceBackend backend(multiplier_.get(), multiprocessors_, stream);
  return GemmSteps<DeviceBackend>(product, plan, workspace, backend).Run();
}

}  // namespace tacit::gpu
