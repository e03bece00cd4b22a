// The steps of a product, over a backend that runs them:
//
//   Error Run(const char* name, const Body& body);     a launch (launch.h)
//   Error Gemv(int limbs, int right_limbs, const GemvArgs& args);  gemv-inl.h
//   Error Multiply(const Int8Product&, void* workspace);
//   int multiprocessors() const;
//
// On the device a backend enqueues; in a test it runs on the host.
#ifndef TACIT_GPU_RING_GEMM_INL_H_
#define TACIT_GPU_RING_GEMM_INL_H_

#include <algorithm>

#include "gpu/ring/gemm_plan.h"
#include "gpu/ring/gemv-inl.h"

namespace tacit::gpu {

template <typename Backend>
class GemmSteps {
 public:
  GemmSteps(const RingProduct& product, const GemmPlan& plan, void* workspace,
            Backend& backend)
      : p_(product),
        plan_(plan),
        workspace_(static_cast<int8_t*>(workspace)),
        backend_(backend),
        limbs_(LimbsOf(product.width)) {}

  Error Run() {
    if (p_.m == 0 || p_.n == 0 || p_.batch == 0) return {};
    if (p_.k == 0) return Zero(p_.accumulate);
    TACIT_GPU_RETURN_IF_ERROR(
        Prepare(p_.a, p_.left(), plan_.left, "left limbs", left_));
    TACIT_GPU_RETURN_IF_ERROR(
        Prepare(p_.b, p_.right(), plan_.right, "right limbs", right_));
    for (size_t chunk = 0; chunk < p_.left().chunks(); ++chunk) {
      TACIT_GPU_RETURN_IF_ERROR(plan_.by_library ? ByLibrary(chunk)
                                                 : ByFewRows(chunk));
    }
    return {};
  }

 private:
  struct Limbs {
    const int8_t* data;
    size_t batch_stride;
  };

  Error Prepare(const GemmOperand& operand, const LimbShape& shape,
                size_t offset, const char* name, Limbs& limbs) {
    if (operand.limbs != nullptr) {
      limbs = {operand.limbs, operand.limb_batch_stride};
      return {};
    }
    const bool same = operand.batch_stride == 0;
    int8_t* to = workspace_ + offset;
    limbs = {to, same ? 0 : shape.bytes()};
    return backend_.Run(name, Decomposition(shape, operand, same ? 1 : p_.batch,
                                            to, limbs.batch_stride));
  }

  // The first chunk overwrites if C is overwritten; the others add to it.
  Accumulate For(size_t chunk) const {
    return chunk > 0 && p_.accumulate == Accumulate::kOverwrite
               ? Accumulate::kAdd
               : p_.accumulate;
  }

  Error Zero(Accumulate accumulate) {
    if (accumulate != Accumulate::kOverwrite) return {};
    return backend_.Run("zero", ZeroBody{p_.batch, p_.m, p_.n, p_.c, p_.ldc,
                                         p_.c_batch_stride});
  }

  Error ByFewRows(size_t chunk) {
    for (size_t row = 0; row < p_.m; row += kGemvMaxRows) {
      TACIT_GPU_RETURN_IF_ERROR(FewRows(chunk, row));
    }
    return {};
  }

  Error FewRows(size_t chunk, size_t row) {
    const LimbShape left = p_.left(), right = p_.right();
    GemvArgs args{
        .m = std::min(p_.m - row, kGemvMaxRows),
        .n = p_.n,
        .depth = left.depth_of(chunk),
        .batch = p_.batch,
        .left = left_.data + left.chunk_offset(chunk) +
                row * left.row_stride(chunk),
        .left_row_stride = left.row_stride(chunk),
        .left_batch_stride = left_.batch_stride,
        .right = right_.data + right.chunk_offset(chunk),
        .right_row_stride = right.row_stride(chunk),
        .right_batch_stride = right_.batch_stride,
        .c = p_.c + row * p_.ldc,
        .ldc = p_.ldc,
        .c_batch_stride = p_.c_batch_stride,
        .accumulate = For(chunk),
        .depth_warps = 1,
        .depth_blocks = 1,
    };
    ShareWork(args, backend_.multiprocessors());
    if (args.depth_blocks > 1 && args.accumulate == Accumulate::kOverwrite) {
      TACIT_GPU_RETURN_IF_ERROR(
          backend_.Run("zero", ZeroBody{args.batch, args.m, args.n, args.c,
                                        args.ldc, args.c_batch_stride}));
    }
    return backend_.Gemv(limbs_, p_.right().limbs(), args);
  }

  Error ByLibrary(size_t chunk) {
    for (size_t column = 0; column < p_.n; column += plan_.columns) {
      const size_t columns =
          std::min(plan_.columns, p_.right().stored_rows() - column);
      for (int d = 0; d < limbs_; ++d) {
        TACIT_GPU_RETURN_IF_ERROR(backend_.Multiply(
            Diagonal(chunk, column, columns, d), workspace_ + plan_.library));
      }
      TACIT_GPU_RETURN_IF_ERROR(
          backend_.Run("recombination", Recombination(chunk, column, columns)));
    }
    return {};
  }

  int32_t* sums() const {
    return reinterpret_cast<int32_t*>(workspace_ + plan_.sums);
  }

  // S_d: the left operand's planes first .. d by the right one's d - first ..
  // 0.
  Int8Product Diagonal(size_t chunk, size_t column, size_t columns,
                       int d) const {
    const LimbShape left = p_.left(), right = p_.right();
    const int first = std::max(0, d + 1 - right.limbs());
    return {
        .m = p_.m,
        .n = columns,
        .k = (d + 1 - first) * left.depth_of(chunk),
        .batch = p_.batch,
        .a = left_.data + left.chunk_offset(chunk) +
             left.plane_offset(chunk, first),
        .lda = left.row_stride(chunk),
        .a_batch_stride = left_.batch_stride,
        .b = right_.data + right.chunk_offset(chunk) +
             column * right.row_stride(chunk) +
             right.plane_offset(chunk, d - first),
        .ldb = right.row_stride(chunk),
        .b_batch_stride = right_.batch_stride,
        .c = sums() + d * p_.m * columns,
        .ldc = columns,
        .c_batch_stride = limbs_ * p_.m * columns,
    };
  }

  RecombineBody Recombination(size_t chunk, size_t column,
                              size_t columns) const {
    return {.limbs = limbs_,
            .batch = p_.batch,
            .m = p_.m,
            .n = std::min(columns, p_.n - column),
            .ld = columns,
            .sums = sums(),
            .c = p_.c + column,
            .ldc = p_.ldc,
            .batch_stride = p_.c_batch_stride,
            .accumulate = For(chunk)};
  }

  const RingProduct& p_;
  const GemmPlan& plan_;
  int8_t* const workspace_;
  Backend& backend_;
  const int limbs_;
  Limbs left_ = {}, right_ = {};
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMM_INL_H_
