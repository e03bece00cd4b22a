// The few declarations of cuBLASLt that are used, so that a build needs no copy
// of the library. The names are the vendor's; the values are those of its
// binary interface, the same in CUDA 12 and 13, and are compared with its
// header where there is one (cublaslt.cu).
//
// Source: cuBLAS documentation, "Using the cuBLASLt API".
#ifndef TACIT_GPU_RING_CUBLASLT_ABI_H_
#define TACIT_GPU_RING_CUBLASLT_ABI_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"

namespace tacit::gpu::lt {

using Status = int;  // 0: success
using Handle = struct HandleContext*;
using MatmulDesc = struct MatmulDescContext*;
using MatrixLayout = struct MatrixLayoutContext*;
using Preference = struct PreferenceContext*;

inline constexpr int kNotSupported = 15;        // CUBLAS_STATUS_NOT_SUPPORTED
inline constexpr int kOpN = 0;                  // CUBLAS_OP_N
inline constexpr int kOpT = 1;                  // CUBLAS_OP_T
inline constexpr int kCompute32I = 72;          // CUBLAS_COMPUTE_32I
inline constexpr int kInt8 = 3;                 // CUDA_R_8I
inline constexpr int kInt32 = 10;               // CUDA_R_32I
inline constexpr int kDescTransA = 3;           // CUBLASLT_MATMUL_DESC_TRANSA
inline constexpr int kDescTransB = 4;           // CUBLASLT_MATMUL_DESC_TRANSB
inline constexpr int kLayoutBatchCount = 5;     // CUBLASLT_MATRIX_LAYOUT_...
inline constexpr int kLayoutBatchStride = 6;    // ..._STRIDED_BATCH_OFFSET
inline constexpr int kPreferenceWorkspace = 1;  // CUBLASLT_MATMUL_PREF_MAX_...

struct Algo {  // cublasLtMatmulAlgo_t
  uint64_t data[8];
};

struct HeuristicResult {  // cublasLtMatmulHeuristicResult_t
  Algo algo;
  size_t workspace_size;
  Status state;
  float waves_count;
  int reserved[4];
};

// One pointer for each function, named without the prefix cublasLt.
struct Functions {
  Status (*Create)(Handle*);
  Status (*Destroy)(Handle);
  const char* (*GetStatusString)(Status);
  Status (*MatmulDescCreate)(MatmulDesc*, int compute, int scale);
  Status (*MatmulDescDestroy)(MatmulDesc);
  Status (*MatmulDescSetAttribute)(MatmulDesc, int, const void*, size_t);
  Status (*MatrixLayoutCreate)(MatrixLayout*, int type, uint64_t rows,
                               uint64_t columns, int64_t ld);
  Status (*MatrixLayoutDestroy)(MatrixLayout);
  Status (*MatrixLayoutSetAttribute)(MatrixLayout, int, const void*, size_t);
  Status (*MatmulPreferenceCreate)(Preference*);
  Status (*MatmulPreferenceDestroy)(Preference);
  Status (*MatmulPreferenceSetAttribute)(Preference, int, const void*, size_t);
  Status (*MatmulAlgoGetHeuristic)(Handle, MatmulDesc, MatrixLayout a,
                                   MatrixLayout b, MatrixLayout c,
                                   MatrixLayout d, Preference, int wanted,
                                   HeuristicResult*, int* found);
  Status (*Matmul)(Handle, MatmulDesc, const void* alpha, const void* a,
                   MatrixLayout, const void* b, MatrixLayout, const void* beta,
                   const void* c, MatrixLayout, void* d, MatrixLayout,
                   const Algo*, void* workspace, size_t workspace_bytes,
                   ::CUstream_st* stream);
};

// The functions of the library that is there; it stays loaded. UNAVAILABLE,
// with the loader's words, if there is none or one lacks a function. Looked for
// as cublaslt.h says.
Result<Functions> Load();

}  // namespace tacit::gpu::lt

#endif  // TACIT_GPU_RING_CUBLASLT_ABI_H_
