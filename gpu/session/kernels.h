// All kernels that a session's gates are made of, in order on one stream.
#ifndef TACIT_GPU_SESSION_KERNELS_H_
#define TACIT_GPU_SESSION_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "gpu/base/error.h"
#include "gpu/elementwise/op_list.h"
#include "gpu/elementwise/row_sum-inl.h"
#include "gpu/fss/dpf.h"
#include "gpu/fss/one_hot.h"
#include "gpu/prg/expand.h"
#include "gpu/ring/gemm.h"

namespace tacit::gpu {

// Pointers are device memory unless they say otherwise. Work is enqueued: each
// piece sees what those before it did. Used by one thread at a time, but for
// Free. Errors are those of the functions of the same names.
class Kernels {
 public:
  virtual ~Kernels() = default;

  // Aligned to 256 bytes, readable up to the next multiple of 8.
  // RESOURCE_EXHAUSTED with figures if there is too little.
  virtual Result<void*> Allocate(size_t bytes) = 0;
  // Wipes and frees once what was enqueued before is done. Thread-safe.
  virtual void Free(void* memory, size_t bytes) = 0;
  // Blocks of the host's memory one after the other, in new memory of `room`
  // bytes, at least as much as they are: copied beside what is computed. The
  // host's memory may be reused after the call.
  virtual Result<void*> Material(
      std::span<const std::span<const uint8_t>> blocks, size_t room) = 0;
  // The host's memory may be reused after the call.
  virtual Error ToDevice(void* device, const void* host, size_t bytes) = 0;
  // Waits for everything before it.
  virtual Error ToHost(void* host, const void* device, size_t bytes) = 0;
  virtual Error Copy(void* to, const void* from, size_t bytes) = 0;
  virtual Error Clear(void* memory, size_t bytes) = 0;
  // Waits for all of the device's work, that of other streams too.
  virtual Error Wait() = 0;

#define TACIT_GPU_RUN(Op) virtual Error RunOp(const Op& op, size_t n) = 0;
  TACIT_GPU_OPS(TACIT_GPU_RUN)
#undef TACIT_GPU_RUN
#define TACIT_GPU_SUM(Term)                                      \
  virtual Error SumRows(const Term& term, size_t rows, size_t d, \
                        const uint64_t* add, uint64_t* out) = 0;
  TACIT_GPU_SUM(WordTerm)
  TACIT_GPU_SUM(SquareTerm)
  TACIT_GPU_SUM(SelfSquareTerm)
#undef TACIT_GPU_SUM

  virtual Error ExpandWords(const ExpandWordsArgs& args) = 0;
  virtual Error ExpandBits(const ExpandBitsArgs& args) = 0;
  virtual Error DpfGen(const DpfGenArgs& args) = 0;
  virtual Error DpfEvalPath(const DpfPathArgs& args) = 0;
  virtual Error DpfWindowSum(const DpfWindowArgs& args) = 0;
  virtual Error OneHotGen(const OneHotGenArgs& args) = 0;
  virtual Error OneHotEval(const OneHotEvalArgs& args) = 0;

  virtual Error PackLimbs(const LimbShape& shape, const GemmOperand& words,
                          int8_t* limbs) = 0;
  virtual Error Multiply(const RingProduct& product) = 0;
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_KERNELS_H_
