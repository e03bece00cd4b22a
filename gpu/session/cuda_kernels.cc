#include "gpu/session/cuda_kernels.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "gpu/base/memory.h"
#include "gpu/base/pinned_ring.h"
#include "gpu/base/stream.h"
#include "gpu/elementwise/backends.h"
#include "gpu/ring/cublaslt.h"

namespace tacit::gpu {
namespace {

// Pinned memory of a session, for what gates read once, for material and for
// what comes back.
constexpr size_t kSlots = 4;
constexpr size_t kUploadBytes = size_t{256} << 10;
constexpr size_t kMaterialBytes = size_t{2} << 20;
constexpr size_t kToHostBytes = size_t{1} << 20;

// Host memory to the device through pinned slots: small pieces share one.
class Upload {
 public:
  explicit Upload(PinnedRing ring) : ring_(std::move(ring)) {}

  Error Copy(void* device, const void* host, size_t bytes,
             StreamHandle stream) {
    uint8_t* to = static_cast<uint8_t*>(device);
    const uint8_t* from = static_cast<const uint8_t*>(host);
    while (bytes > 0) {
      if (slot_ == nullptr || used_ == ring_.slot_bytes()) {
        TACIT_GPU_ASSIGN_OR_RETURN(void* const next, ring_.Next());
        slot_ = static_cast<uint8_t*>(next);
        used_ = 0;
      }
      const size_t part = std::min(bytes, ring_.slot_bytes() - used_);
      std::memcpy(slot_ + used_, from, part);
      TACIT_GPU_RETURN_IF_ERROR(CopyToDevice(to, slot_ + used_, part, stream));
      // Later pieces in the slot record again; the last counts.
      TACIT_GPU_RETURN_IF_ERROR(ring_.Done(stream));
      used_ += part;
      to += part;
      from += part;
      bytes -= part;
    }
    return {};
  }

 private:
  PinnedRing ring_;
  uint8_t* slot_ = nullptr;
  size_t used_ = 0;
};

class CudaKernels final : public Kernels {
 public:
  CudaKernels(std::shared_ptr<const RingGemm> gemm, Stream compute, Stream copy,
              Event copied, PinnedRing to_device, PinnedRing material,
              PinnedRing to_host)
      : gemm_(std::move(gemm)),
        compute_(std::move(compute)),
        copy_(std::move(copy)),
        copied_(std::move(copied)),
        upload_(std::move(to_device)),
        material_(std::move(material)),
        to_host_(std::move(to_host)) {}
  ~CudaKernels() override {
    (void)copy_.Synchronize();
    (void)compute_.Synchronize();
  }

  Result<void*> Allocate(size_t bytes) override {
    return AllocateInOrder(Up(bytes), stream());
  }
  // A failure is the device's and shows in what comes next.
  void Free(void* memory, size_t bytes) override {
    (void)FreeInOrder(memory, Up(bytes), stream());
  }
  Result<void*> Material(std::span<const std::span<const uint8_t>> blocks,
                         size_t room) override {
    TACIT_GPU_ASSIGN_OR_RETURN(void* const memory,
                               AllocateInOrder(Up(room), copy_.handle()));
    if (Error error = CopyMaterial(memory, blocks); !error.ok()) {
      (void)FreeInOrder(memory, Up(room), copy_.handle());
      return error;
    }
    return memory;
  }
  Error ToDevice(void* device, const void* host, size_t bytes) override {
    return upload_.Copy(device, host, bytes, stream());
  }
  Error ToHost(void* host, const void* device, size_t bytes) override {
    uint8_t* to = static_cast<uint8_t*>(host);
    const uint8_t* from = static_cast<const uint8_t*>(device);
    while (bytes > 0) {
      const size_t part = std::min(bytes, to_host_.slot_bytes());
      TACIT_GPU_ASSIGN_OR_RETURN(void* const slot, to_host_.Next());
      TACIT_GPU_RETURN_IF_ERROR(CopyToHost(slot, from, part, stream()));
      TACIT_GPU_RETURN_IF_ERROR(compute_.Synchronize());
      std::memcpy(to, slot, part);
      to += part;
      from += part;
      bytes -= part;
    }
    return {};
  }
  Error Copy(void* to, const void* from, size_t bytes) override {
    return CopyOnDevice(to, from, bytes, stream());
  }
  Error Clear(void* memory, size_t bytes) override {
    return Wipe(memory, bytes, stream());
  }
  Error Wait() override { return SynchronizeDevice(); }

#define TACIT_GPU_RUN(Op)                        \
  Error RunOp(const Op& op, size_t n) override { \
    return gpu::RunOp(op, n, stream());          \
  }
  TACIT_GPU_OPS(TACIT_GPU_RUN)
#undef TACIT_GPU_RUN
#define TACIT_GPU_SUM(Term)                                                   \
  Error SumRows(const Term& term, size_t rows, size_t d, const uint64_t* add, \
                uint64_t* out) override {                                     \
    return gpu::SumRows(term, rows, d, add, out, stream());                   \
  }
  TACIT_GPU_SUM(WordTerm)
  TACIT_GPU_SUM(SquareTerm)
  TACIT_GPU_SUM(SelfSquareTerm)
#undef TACIT_GPU_SUM

  Error ExpandWords(const ExpandWordsArgs& args) override {
    return DeviceBackend{stream()}.ExpandWords(args);
  }
  Error ExpandBits(const ExpandBitsArgs& args) override {
    return DeviceBackend{stream()}.ExpandBits(args);
  }
  Error DpfGen(const DpfGenArgs& args) override {
    return gpu::DpfGen(DefaultAesVariant(args.field[0].n), args, stream());
  }
  Error DpfEvalPath(const DpfPathArgs& args) override {
    return gpu::DpfEvalPath(DefaultAesVariant(args.keys.field.n), args,
                            stream());
  }
  Error DpfWindowSum(const DpfWindowArgs& args) override {
    return gpu::DpfWindowSum(DefaultAesVariant(args.keys.field.n), args,
                             stream());
  }
  Error OneHotGen(const OneHotGenArgs& args) override {
    return gpu::OneHotGen(DefaultAesVariant(args.field[0].n), args, stream());
  }
  Error OneHotEval(const OneHotEvalArgs& args) override {
    // Subtrees of 32 leaves are threads' work.
    return gpu::OneHotEval(DefaultAesVariant(args.field.n * args.size / 32),
                           args, stream());
  }

  Error PackLimbs(const LimbShape& shape, const GemmOperand& words,
                  int8_t* limbs) override {
    return gemm_->Pack(shape, words, 1, limbs, stream());
  }
  Error Multiply(const RingProduct& product) override {
    size_t bytes = gemm_->WorkspaceBytes(product);
    Result<void*> workspace = Allocate(bytes);
    if (!workspace.ok()) {
      // Fewer columns at a time.
      bytes = gemm_->MinWorkspaceBytes(product);
      workspace = Allocate(bytes);
      if (!workspace.ok()) return workspace.error();
    }
    Error error = gemm_->Multiply(product, *workspace, bytes, stream());
    Free(*workspace, bytes);
    return error;
  }

 private:
  // The first kernel enqueued afterwards waits for it.
  Error CopyMaterial(void* memory,
                     std::span<const std::span<const uint8_t>> blocks) {
    uint8_t* to = static_cast<uint8_t*>(memory);
    for (const std::span<const uint8_t> block : blocks) {
      TACIT_GPU_RETURN_IF_ERROR(
          material_.Copy(to, block.data(), block.size(), copy_.handle()));
      to += block.size();
    }
    TACIT_GPU_RETURN_IF_ERROR(copied_.Record(copy_.handle()));
    return compute_.Wait(copied_);
  }
  // What is read in whole words ends with one.
  static size_t Up(size_t bytes) { return (bytes + 7) / 8 * 8; }
  StreamHandle stream() const { return compute_.handle(); }

  const std::shared_ptr<const RingGemm> gemm_;
  Stream compute_, copy_;
  Event copied_;
  Upload upload_, material_;
  PinnedRing to_host_;
};

}  // namespace

Result<std::shared_ptr<Kernels>> CreateCudaKernels(
    std::shared_ptr<const RingGemm> gemm) {
  TACIT_GPU_ASSIGN_OR_RETURN(Stream compute, Stream::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(Stream copy, Stream::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(Event copied, Event::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(PinnedRing to_device,
                             PinnedRing::Create(kSlots, kUploadBytes));
  TACIT_GPU_ASSIGN_OR_RETURN(PinnedRing material,
                             PinnedRing::Create(kSlots, kMaterialBytes));
  TACIT_GPU_ASSIGN_OR_RETURN(PinnedRing to_host,
                             PinnedRing::Create(1, kToHostBytes));
  return std::shared_ptr<Kernels>(std::make_shared<CudaKernels>(
      std::move(gemm), std::move(compute), std::move(copy), std::move(copied),
      std::move(to_device), std::move(material), std::move(to_host)));
}

Result<std::shared_ptr<const RingGemm>> CreateRingGemm() {
  Result<std::unique_ptr<Int8Multiplier>> library = CreateCublasLt();
  TACIT_GPU_ASSIGN_OR_RETURN(
      RingGemm gemm,
      RingGemm::Create(library.ok() ? *std::move(library) : nullptr));
  return std::shared_ptr<const RingGemm>(
      std::make_shared<const RingGemm>(std::move(gemm)));
}

}  // namespace tacit::gpu
