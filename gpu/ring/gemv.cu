#include "gpu/base/launch.cuh"
#include "gpu/ring/gemv.h"

namespace tacit::gpu {
namespace {

// The calling thread's lane of its warp.
template <int kLimbs, int kRight, int kTiles>
class DeviceWarp {
 public:
  using Lane = GemvLane<kLimbs, kRight, kTiles>;

  TACIT_DEVICE_INLINE explicit DeviceWarp(int lane) : lane_(lane) {}

  template <typename Function>
  TACIT_DEVICE_INLINE void Each(const Function& function) {
    function(lane_, state_);
  }

  TACIT_DEVICE_INLINE void Multiply(int plane, int t, int diagonal) {
    TACIT_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Bytes16& low = state_.right[plane][0];
      const Bytes16& high = state_.right[plane][1];
      Mma(state_.sums[t][diagonal], low.words[2 * half], high.words[2 * half],
          low.words[2 * half + 1], high.words[2 * half + 1],
          state_.left[t].words[2 * half], state_.left[t].words[2 * half + 1]);
    }
  }

 private:
  TACIT_DEVICE_INLINE static void Mma(int32_t (&sum)[4], uint32_t a0,
                                      uint32_t a1, uint32_t a2, uint32_t a3,
                                      uint32_t b0, uint32_t b1) {
#ifdef __CUDA_ARCH__
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#endif
  }

  int lane_;
  Lane state_;
};

// Two blocks on a multiprocessor where the registers of one warp allow it: one
// loads while the other multiplies.
template <int kLimbs, int kRight, int kTiles>
__global__ void __launch_bounds__(kGemvWarps * 32,
                                  kTiles == 1 && kLimbs < 8 ? 2 : 1)
    GemvKernel(GemvArgs args) {
  constexpr int kPartial = kTiles * 32 * 4;
  __shared__ uint64_t partials[kGemvWarps * kPartial];
  const uint32_t warp = threadIdx.x / 32;
  DeviceWarp<kLimbs, kRight, kTiles> state(static_cast<int>(threadIdx.x % 32));
  GemvWarp<kLimbs, kRight, kTiles>(
      args, GemvPlace::Of(args, blockIdx.x, blockIdx.y, blockIdx.z, warp),
      state, partials + warp * kPartial);
  __syncthreads();
  GemvReduce<kTiles>::Run(args, blockIdx.x, blockIdx.z, partials, threadIdx.x,
                          blockDim.x);
}

}  // namespace

Error Gemv(int limbs, int right_limbs, const GemvArgs& args,
           StreamHandle stream) {
  if (args.m == 0 || args.n == 0 || args.batch == 0) return {};
  const dim3 grid(static_cast<uint32_t>(args.row_blocks()), args.depth_blocks,
                  static_cast<uint32_t>(args.batch));
  DispatchGemv(limbs, right_limbs, args,
               [&]<int kLimbs, int kRight, int kTiles>() {
                 GemvKernel<kLimbs, kRight, kTiles>
                     <<<grid, kGemvWarps * 32, 0, stream>>>(args);
               });
  return FromCuda(cudaGetLastError(), "product with few rows");
}

}  // namespace tacit::gpu
