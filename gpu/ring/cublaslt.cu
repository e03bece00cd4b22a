#include <array>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gpu/base/launch.cuh"
#include "gpu/ring/cublaslt.h"
#include "gpu/ring/cublaslt_abi.h"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
namespace tacit::gpu::lt {
static_assert(kOpN == CUBLAS_OP_N && kOpT == CUBLAS_OP_T);
static_assert(kCompute32I == CUBLAS_COMPUTE_32I);
static_assert(kNotSupported == CUBLAS_STATUS_NOT_SUPPORTED);
static_assert(kInt8 == CUDA_R_8I && kInt32 == CUDA_R_32I);
static_assert(kDescTransA == CUBLASLT_MATMUL_DESC_TRANSA);
static_assert(kDescTransB == CUBLASLT_MATMUL_DESC_TRANSB);
static_assert(kLayoutBatchCount == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
static_assert(kLayoutBatchStride ==
              CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
static_assert(kPreferenceWorkspace == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(sizeof(Algo) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(HeuristicResult) ==
              sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(HeuristicResult, state) ==
              offsetof(cublasLtMatmulHeuristicResult_t, state));
}  // namespace tacit::gpu::lt
#endif

namespace tacit::gpu {
namespace {

using lt::Functions;

// What the vendor recommends for Hopper and later; enough before.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;

Error FromLt(const Functions& functions, lt::Status status, const char* what) {
  if (status == 0) return {};
  return Error(Code::kInternal, std::string("cuBLASLt: ") + what + ": " +
                                    functions.GetStatusString(status) +
                                    "; report this");
}

// Destroys a descriptor when it goes.
template <typename T>
class Owned {
 public:
  explicit Owned(lt::Status (*destroy)(T)) : destroy_(destroy) {}
  Owned(Owned&& other) noexcept
      : destroy_(other.destroy_),
        value_(std::exchange(other.value_, nullptr)) {}
  Owned& operator=(Owned&&) = delete;
  ~Owned() {
    if (value_ != nullptr) (void)destroy_(value_);
  }
  T* out() { return &value_; }
  T get() const { return value_; }

 private:
  lt::Status (*destroy_)(T);
  T value_ = nullptr;
};

// Everything cuBLASLt wants to know of a product besides its pointers.
struct Plan {
  explicit Plan(const Functions& functions)
      : desc(functions.MatmulDescDestroy),
        a(functions.MatrixLayoutDestroy),
        b(functions.MatrixLayoutDestroy),
        c(functions.MatrixLayoutDestroy) {}

  Owned<lt::MatmulDesc> desc;
  Owned<lt::MatrixLayout> a, b, c;
  lt::Algo algo;
};

class CublasLt : public Int8Multiplier {
 public:
  CublasLt(const Functions& functions, lt::Handle handle)
      : functions_(functions), handle_(handle) {}
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;
  ~CublasLt() override {
    plans_.clear();
    (void)functions_.Destroy(handle_);
  }

  size_t workspace_bytes() const override { return kWorkspaceBytes; }

  Error Multiply(const Int8Product& p, void* workspace,
                 StreamHandle stream) override {
    if (p.m == 0 || p.n == 0 || p.batch == 0) return {};
    TACIT_GPU_ASSIGN_OR_RETURN(const Plan* plan, PlanFor(p));
    if (plan == nullptr) return OneByOne(p, workspace, stream);
    // In the library's columns: C^T [n, m] = B [n, k] A^T [k, m].
    const int32_t one = 1, zero = 0;
    return FromLt(
        functions_,
        functions_.Matmul(handle_, plan->desc.get(), &one, p.b, plan->b.get(),
                          p.a, plan->a.get(), &zero, p.c, plan->c.get(), p.c,
                          plan->c.get(), &plan->algo, workspace,
                          kWorkspaceBytes, stream),
        "product");
  }

 private:
  using Key = std::array<size_t, 10>;

  // For a batch that the library has no algorithm for.
  Error OneByOne(const Int8Product& batch, void* workspace,
                 StreamHandle stream) {
    if (batch.batch == 1) {
      return Error(Code::kInternal,
                   "cuBLASLt has no algorithm for an int8 product of " +
                       std::to_string(batch.m) + " x " +
                       std::to_string(batch.k) + " by " +
                       std::to_string(batch.n) + " rows; report this");
    }
    Int8Product one = batch;
    one.batch = 1;
    for (size_t i = 0; i < batch.batch; ++i) {
      TACIT_GPU_RETURN_IF_ERROR(Multiply(one, workspace, stream));
      one.a += batch.a_batch_stride;
      one.b += batch.b_batch_stride;
      one.c += batch.c_batch_stride;
    }
    return {};
  }

  // Null if the library has no algorithm for it. Finding one costs as much as a
  // small product, so it is done once for each shape. A model has few.
  Result<const Plan*> PlanFor(const Int8Product& p) {
    const Key key = {p.m,
                     p.n,
                     p.k,
                     p.lda,
                     p.ldb,
                     p.ldc,
                     p.batch,
                     p.a_batch_stride,
                     p.b_batch_stride,
                     p.c_batch_stride};
    const std::lock_guard lock(mutex_);
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second.get();
    TACIT_GPU_ASSIGN_OR_RETURN(auto plan, MakePlan(p));
    return plans_.emplace(key, std::move(plan)).first->second.get();
  }

  Result<std::unique_ptr<Plan>> MakePlan(const Int8Product& p) {
    auto owned = std::make_unique<Plan>(functions_);
    Plan& plan = *owned;
    TACIT_GPU_RETURN_IF_ERROR(Operation(plan));
    TACIT_GPU_RETURN_IF_ERROR(
        Layout(plan.b, lt::kInt8, p.k, p.n, p.ldb, p.batch, p.b_batch_stride));
    TACIT_GPU_RETURN_IF_ERROR(
        Layout(plan.a, lt::kInt8, p.k, p.m, p.lda, p.batch, p.a_batch_stride));
    TACIT_GPU_RETURN_IF_ERROR(
        Layout(plan.c, lt::kInt32, p.n, p.m, p.ldc, p.batch, p.c_batch_stride));
    TACIT_GPU_ASSIGN_OR_RETURN(const bool found, Choose(plan));
    if (!found) owned.reset();
    return Result<std::unique_ptr<Plan>>(std::move(owned));
  }

  // The tensor cores' int8 form: first operand transposed, second not.
  Error Operation(Plan& plan) {
    TACIT_GPU_RETURN_IF_ERROR(
        FromLt(functions_,
               functions_.MatmulDescCreate(plan.desc.out(), lt::kCompute32I,
                                           lt::kInt32),
               "operation"));
    const int transpose = lt::kOpT, plain = lt::kOpN;
    TACIT_GPU_RETURN_IF_ERROR(FromLt(
        functions_,
        functions_.MatmulDescSetAttribute(plan.desc.get(), lt::kDescTransA,
                                          &transpose, sizeof(transpose)),
        "operation"));
    return FromLt(functions_,
                  functions_.MatmulDescSetAttribute(
                      plan.desc.get(), lt::kDescTransB, &plain, sizeof(plain)),
                  "operation");
  }

  Error Layout(Owned<lt::MatrixLayout>& layout, int type, size_t rows,
               size_t columns, size_t ld, size_t batch, size_t batch_stride) {
    TACIT_GPU_RETURN_IF_ERROR(
        FromLt(functions_,
               functions_.MatrixLayoutCreate(layout.out(), type, rows, columns,
                                             static_cast<int64_t>(ld)),
               "layout"));
    const int32_t count = static_cast<int32_t>(batch);
    const int64_t stride = static_cast<int64_t>(batch_stride);
    TACIT_GPU_RETURN_IF_ERROR(
        FromLt(functions_,
               functions_.MatrixLayoutSetAttribute(
                   layout.get(), lt::kLayoutBatchCount, &count, sizeof(count)),
               "batch"));
    return FromLt(
        functions_,
        functions_.MatrixLayoutSetAttribute(
            layout.get(), lt::kLayoutBatchStride, &stride, sizeof(stride)),
        "batch");
  }

  // The library's first proposal within the workspace; false if it has none.
  Result<bool> Choose(Plan& plan) {
    Owned<lt::Preference> preference(functions_.MatmulPreferenceDestroy);
    TACIT_GPU_RETURN_IF_ERROR(
        FromLt(functions_, functions_.MatmulPreferenceCreate(preference.out()),
               "preference"));
    const uint64_t bytes = kWorkspaceBytes;
    TACIT_GPU_RETURN_IF_ERROR(FromLt(
        functions_,
        functions_.MatmulPreferenceSetAttribute(
            preference.get(), lt::kPreferenceWorkspace, &bytes, sizeof(bytes)),
        "preference"));
    lt::HeuristicResult result = {};
    int found = 0;
    const lt::Status status = functions_.MatmulAlgoGetHeuristic(
        handle_, plan.desc.get(), plan.b.get(), plan.a.get(), plan.c.get(),
        plan.c.get(), preference.get(), 1, &result, &found);
    if (status == lt::kNotSupported) return false;
    TACIT_GPU_RETURN_IF_ERROR(
        FromLt(functions_, status, "choice of an algorithm"));
    plan.algo = result.algo;
    return found > 0 && result.state == 0;
  }

  const Functions functions_;
  const lt::Handle handle_;
  std::mutex mutex_;
  // Guarded by mutex_; never shrinks.
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace

Result<std::unique_ptr<Int8Multiplier>> CreateCublasLt() {
  TACIT_GPU_ASSIGN_OR_RETURN(const Functions functions, lt::Load());
  lt::Handle handle = nullptr;
  TACIT_GPU_RETURN_IF_ERROR(
      FromLt(functions, functions.Create(&handle), "start"));
  return std::unique_ptr<Int8Multiplier>(
      std::make_unique<CublasLt>(functions, handle));
}

}  // namespace tacit::gpu
