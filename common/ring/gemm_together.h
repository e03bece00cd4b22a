// Products with the same right operand in one pass over it.
#ifndef TACIT_COMMON_RING_GEMM_TOGETHER_H_
#define TACIT_COMMON_RING_GEMM_TOGETHER_H_

#include <span>

#include "common/base/thread_pool.h"
#include "common/ring/gemm.h"

namespace tacit {

// Whether both read the same elements as the same matrix B.
bool SameRightOperand(const GemmArgs& x, const GemmArgs& y);

// Gemm(*product) for each of `products`, which have the same right operand.
// Their rows lie side by side in buffers that are wiped; no row has an
// influence on another's product. No C may overlap another's A, B or C.
void GemmTogether(std::span<const GemmArgs* const> products, ThreadPool& pool);

}  // namespace tacit

#endif  // TACIT_COMMON_RING_GEMM_TOGETHER_H_
