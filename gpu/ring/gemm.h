// Matrix products over Z_{2^n} on the device.
#ifndef TACIT_GPU_RING_GEMM_H_
#define TACIT_GPU_RING_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "common/ring/product.h"
#include "gpu/base/error.h"
#include "gpu/base/launch.h"
#include "gpu/ring/int8_product.h"
#include "gpu/ring/limbs.h"

namespace tacit::gpu {

// One side of a product, in device memory: either words or, if `limbs` is set,
// limb planes that RingGemm::Pack made. Either may be public or SECRET; nothing
// that a product does depends on values.
struct GemmOperand {
  const uint64_t* words = nullptr;
  size_t ld = 0;  // row stride, in words
  size_t batch_stride =
      0;  // words from one matrix to the next; 0: all the same
  // Left: kRowMajor is [m, k], kTransposed is [k, m].
  // Right: kRowMajor is [k, n], kTransposed is [n, k], as a weight is stored.
  Layout layout = Layout::kRowMajor;

  const int8_t* limbs = nullptr;  // aligned to 16 bytes
  size_t limb_batch_stride = 0;   // bytes, a multiple of 16; 0: all the same
};

// C (op)= A B modulo 2^width, for each of `batch` matrices: A is [m, k], B is
// [k, n], C is [m, n] with row stride ldc. Any size including 0 (k = 0: the
// product is zero). C must not overlap A or B. Bits of C's words at `width` and
// above are unspecified afterwards, as everywhere in the ring.
struct RingProduct {
  size_t m = 0, n = 0, k = 0;
  int width = 64;
  // Digits of the right operand's elements if they are small integers
  // (limbs.h): 2 or 3, and less than the ring's. 0: any elements. Memory and
  // work shrink with it; elements that do not fit give a wrong product.
  int b_digits = 0;
  size_t batch = 1;
  GemmOperand a = {}, b = {};
  uint64_t* c = nullptr;
  size_t ldc = 0, c_batch_stride = 0;
  Accumulate accumulate = Accumulate::kOverwrite;

  LimbShape left() const { return {m, k, width, Operand::kLeft, 0}; }
  LimbShape right() const { return {n, k, width, Operand::kRight, b_digits}; }
};

// INVALID_ARGUMENT with the figures if a width, size, stride or pointer cannot
// be: each size is below 2^31, a matrix below 2^40 elements, batch at most
// 65535.
Error Check(const RingProduct& product);

// Runs products on the device that was the calling thread's when it was made.
// Thread-safe.
//
// m <= 16: one pass over the right operand (gemv-inl.h). Above: the diagonals
// of the limbs' products by the Int8Multiplier, int8 with int32 sums, and one
// pass that puts them together (limbs.h). Without a multiplier the first form
// is used for every m, 16 rows at a time, which is right and slow.
class RingGemm {
 public:
  // `multiplier` may be null. UNAVAILABLE without a device.
  static Result<RingGemm> Create(std::unique_ptr<Int8Multiplier> multiplier);

  bool has_multiplier() const { return multiplier_ != nullptr; }

  // Words to limb planes: `shape.bytes()` for each of `batch` matrices, one
  // after the other, at `limbs`. For what is multiplied more than once:
  // weights.
  Error Pack(const LimbShape& shape, const GemmOperand& words, size_t batch,
             int8_t* limbs, StreamHandle stream) const;

  // Device memory that Multiply wants, and less than which it does not accept:
  // with less than the first it works on fewer columns at a time.
  size_t WorkspaceBytes(const RingProduct& product) const;
  size_t MinWorkspaceBytes(const RingProduct& product) const;

  // Enqueues on `stream`. `workspace` is aligned to 256 bytes, free for others
  // once the stream got there, and holds values derived from the operands: wipe
  // it with them.
  //   INVALID_ARGUMENT    Check's
  //   RESOURCE_EXHAUSTED  too little workspace
  //   UNAVAILABLE, INTERNAL  CUDA's; C is unspecified then
  Error Multiply(const RingProduct& product, void* workspace,
                 size_t workspace_bytes, StreamHandle stream) const;

 private:
  RingGemm(std::unique_ptr<Int8Multiplier> multiplier, int multiprocessors)
      : multiplier_(std::move(multiplier)), multiprocessors_(multiprocessors) {}

  std::unique_ptr<Int8Multiplier> multiplier_;
  int multiprocessors_;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMM_H_
