// What every implementation of a matrix product says the same way: Gemm here
// and the CUDA backend's.
#ifndef TACIT_COMMON_RING_PRODUCT_H_
#define TACIT_COMMON_RING_PRODUCT_H_

namespace tacit {

// How the right operand lies in memory.
enum class Layout {
  kRowMajor,    // B is [k, n]: element (p, j) at b[p * ldb + j]
  kTransposed,  // B is [n, k]: element (p, j) at b[j * ldb + p], as Hugging
                // Face stores a linear layer's weight
};

enum class Accumulate { kOverwrite, kAdd, kSubtract };

}  // namespace tacit

#endif  // TACIT_COMMON_RING_PRODUCT_H_
