#include "gpu/session/host_kernels.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/base/thread_pool.h"
#include "common/ring/gemm.h"
#include "gpu/elementwise/backends.h"
#include "gpu/fss/dpf_dispatch.h"
#include "gpu/fss/one_hot_dispatch.h"
#include "gpu/ring/gemm_plan.h"

namespace tacit::gpu {
namespace {

constexpr size_t kAlign = 256;
constexpr uint8_t kGuard = 0xa5;  // between a block and the next

// Room for a block and a guard behind it.
size_t Room(size_t bytes) { return (bytes + 8 + kAlign - 1) / kAlign * kAlign; }

// Element (row, p) of an operand given as limb planes.
uint64_t FromPlanes(const LimbShape& shape, const int8_t* limbs, size_t row,
                    size_t p) {
  const size_t chunk = p / shape.chunk_depth();
  const int8_t* at = limbs + shape.chunk_offset(chunk) +
                     row * shape.row_stride(chunk) + p % shape.chunk_depth();
  uint64_t word = 0;
  for (int i = 0; i < shape.limbs(); ++i) {
    const int64_t digit = at[shape.plane_offset(chunk, i)];
    word += static_cast<uint64_t>(digit) << (8 * i);
  }
  return word;
}

class HostKernels final : public Kernels {
 public:
  explicit HostKernels(std::shared_ptr<HostArena> arena)
      : arena_(std::move(arena)) {}

  Result<void*> Allocate(size_t bytes) override {
    return arena_->Allocate(bytes);
  }
  void Free(void* memory, size_t bytes) override {
    arena_->Free(memory, bytes);
  }
  Result<void*> Material(std::span<const std::span<const uint8_t>> blocks,
                         size_t room) override {
    TACIT_GPU_ASSIGN_OR_RETURN(void* const memory, Allocate(room));
    uint8_t* to = static_cast<uint8_t*>(memory);
    for (const std::span<const uint8_t> block : blocks) {
      TACIT_GPU_RETURN_IF_ERROR(Copy(to, block.data(), block.size()));
      to += block.size();
    }
    return memory;
  }
  Error ToDevice(void* device, const void* host, size_t bytes) override {
    return Copy(device, host, bytes);
  }
  Error ToHost(void* host, const void* device, size_t bytes) override {
    return Copy(host, device, bytes);
  }
  Error Copy(void* to, const void* from, size_t bytes) override {
    const HostArena::Access access(*arena_);
    std::memcpy(to, from, bytes);
    return {};
  }
  Error Clear(void* memory, size_t bytes) override {
    const HostArena::Access access(*arena_);
    std::memset(memory, 0, bytes);
    return {};
  }
  Error Wait() override { return {}; }

#define TACIT_GPU_RUN(Op)                        \
  Error RunOp(const Op& op, size_t n) override { \
    const HostArena::Access access(*arena_);     \
    return RunOpOnHost(op, n);                   \
  }
  TACIT_GPU_OPS(TACIT_GPU_RUN)
#undef TACIT_GPU_RUN
#define TACIT_GPU_SUM(Term)                                                   \
  Error SumRows(const Term& term, size_t rows, size_t d, const uint64_t* add, \
                uint64_t* out) override {                                     \
    const HostArena::Access access(*arena_);                                  \
    return DispatchRowSum(term, rows, d, add, out, HostLauncher());           \
  }
  TACIT_GPU_SUM(WordTerm)
  TACIT_GPU_SUM(SquareTerm)
  TACIT_GPU_SUM(SelfSquareTerm)
#undef TACIT_GPU_SUM

  Error ExpandWords(const ExpandWordsArgs& args) override {
    const HostArena::Access access(*arena_);
    return HostBackend().ExpandWords(args);
  }
  Error ExpandBits(const ExpandBitsArgs& args) override {
    const HostArena::Access access(*arena_);
    return HostBackend().ExpandBits(args);
  }
  Error DpfGen(const DpfGenArgs& args) override {
    const HostArena::Access access(*arena_);
    return DispatchGen(AesVariant::kTable1, args, HostLauncher());
  }
  Error DpfEvalPath(const DpfPathArgs& args) override {
    const HostArena::Access access(*arena_);
    return DispatchPath(AesVariant::kTable1, args, HostLauncher());
  }
  Error DpfWindowSum(const DpfWindowArgs& args) override {
    const HostArena::Access access(*arena_);
    return DispatchWindow(AesVariant::kTable1, args, HostLauncher());
  }
  Error OneHotGen(const OneHotGenArgs& args) override {
    const HostArena::Access access(*arena_);
    return DispatchOneHotGen(AesVariant::kTable1, args, HostLauncher());
  }
  Error OneHotEval(const OneHotEvalArgs& args) override {
    const HostArena::Access access(*arena_);
    return DispatchOneHotEval(AesVariant::kTable1, args, HostLauncher());
  }

  Error PackLimbs(const LimbShape& shape, const GemmOperand& words,
                  int8_t* limbs) override {
    const HostArena::Access access(*arena_);
    const DecomposeBody body =
        Decomposition(shape, words, 1, limbs, shape.bytes());
    RunOnHost(body.launch(), body);
    return {};
  }

  // By the host's product: that of limbs has tests of its own.
  Error Multiply(const RingProduct& product) override {
    TACIT_GPU_RETURN_IF_ERROR(Check(product));
    const HostArena::Access access(*arena_);
    for (size_t i = 0; i < product.batch; ++i) {
      std::vector<uint64_t> from_limbs;
      const GemmOperand& a = product.a;
      GemmArgs args{.m = product.m,
                    .n = product.n,
                    .k = product.k,
                    .a = a.words + i * a.batch_stride,
                    .lda = a.ld,
                    .b = product.b.words + i * product.b.batch_stride,
                    .ldb = product.b.ld,
                    .b_layout = product.b.layout,
                    .c = product.c + i * product.c_batch_stride,
                    .ldc = product.ldc,
                    .accumulate = product.accumulate};
      if (product.b.limbs != nullptr) {
        from_limbs.resize(product.n * product.k);
        for (size_t e = 0; e < from_limbs.size(); ++e) {
          from_limbs[e] = FromPlanes(product.right(), product.b.limbs,
                                     e / product.k, e % product.k);
        }
        args.b = from_limbs.data();
        args.ldb = product.k;
        args.b_layout = Layout::kTransposed;
      }
      Gemm(args, pool_);
    }
    return {};
  }

 private:
  const std::shared_ptr<HostArena> arena_;
  ThreadPool pool_{1};
};

}  // namespace

HostArena::HostArena(size_t capacity) : capacity_(capacity) {
  void* memory = mmap(nullptr, capacity, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  base_ = static_cast<uint8_t*>(memory);
  free_[0] = capacity;
}

HostArena::~HostArena() { munmap(base_, capacity_); }

size_t HostArena::used() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}

Result<void*> HostArena::Allocate(size_t bytes) {
  const size_t room = Room(bytes);
  const Access access(*this);
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second < room) continue;
    const auto [offset, size] = *it;
    free_.erase(it);
    if (size > room) free_[offset + room] = size - room;
    used_ += room;
    // Contents that no kernel may rely on, and the guard.
    std::memset(base_ + offset, kGuard, room);
    return static_cast<void*>(base_ + offset);
  }
  return Error(Code::kResourceExhausted,
               std::to_string(bytes) + " bytes of device memory asked for, " +
                   std::to_string(capacity_ - used_) + " of " +
                   std::to_string(capacity_) + " free");
}

void HostArena::Free(void* block, size_t bytes) {
  if (block == nullptr) return;
  const size_t room = Room(bytes);
  const Access access(*this);
  std::lock_guard<std::mutex> lock(mutex_);
  uint8_t* const memory = static_cast<uint8_t*>(block);
  for (size_t i = bytes; i < room; ++i) {
    if (memory[i] != kGuard) std::abort();  // written beyond its end
  }
  std::memset(memory, 0, room);
  used_ -= room;
  size_t offset = memory - base_, size = room;
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + size) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first;
      size += before->second;
      free_.erase(before);
    }
  }
  free_[offset] = size;
}

void HostArena::Open() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (open_++ == 0) mprotect(base_, capacity_, PROT_READ | PROT_WRITE);
}

void HostArena::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (--open_ == 0) mprotect(base_, capacity_, PROT_NONE);
}

std::shared_ptr<Kernels> MakeHostKernels(std::shared_ptr<HostArena> arena) {
  return std::make_shared<HostKernels>(std::move(arena));
}

}  // namespace tacit::gpu
