// The kernel of gemv-inl.h on the host, lane by lane and with the tensor cores'
// instruction emulated: what tests run.
#ifndef TACIT_GPU_RING_GEMV_HOST_H_
#define TACIT_GPU_RING_GEMV_HOST_H_

#include <vector>

#include "gpu/ring/gemv-inl.h"

namespace tacit::gpu {

template <int kLimbs, int kRight, int kTiles>
class HostWarp {
 public:
  using Lane = GemvLane<kLimbs, kRight, kTiles>;

  template <typename Function>
  void Each(const Function& function) {
    for (int lane = 0; lane < 32; ++lane) function(lane, lanes_[lane]);
  }

  void Multiply(int plane, int t, int diagonal) {
    for (int half = 0; half < 2; ++half) Mma(plane, t, diagonal, half);
  }

 private:
  static int8_t Byte(uint32_t word, int i) {
    return static_cast<int8_t>(word >> (8 * i));
  }

  // mma.m16n8k32 with the fragments of words 2 half and 2 half + 1.
  void Mma(int plane, int t, int diagonal, int half) {
    int8_t a[16][32], b[32][8];
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, column = lane % 4 * 4;
      for (int i = 0; i < 4; ++i) {
        for (int high = 0; high < 2; ++high) {  // columns 0..15, 16..31
          const int k = 16 * high + column + i, word = 2 * half + high;
          a[g][k] = Byte(lanes_[lane].right[plane][0].words[word], i);
          a[g + 8][k] = Byte(lanes_[lane].right[plane][1].words[word], i);
          b[k][g] = Byte(lanes_[lane].left[t].words[word], i);
        }
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      for (int r = 0; r < 4; ++r) {
        const int row = lane / 4 + r / 2 * 8, column = lane % 4 * 2 + r % 2;
        int32_t& sum = lanes_[lane].sums[t][diagonal][r];
        for (int k = 0; k < 32; ++k) sum += a[row][k] * b[k][column];
      }
    }
  }

  Lane lanes_[32];
};

template <int kLimbs, int kRight, int kTiles>
void GemvOnHost(const GemvArgs& args) {
  constexpr size_t kPartial = kTiles * 32 * 4;
  std::vector<uint64_t> partials(kGemvWarps * kPartial);
  for (size_t matrix = 0; matrix < args.batch; ++matrix) {
    for (uint32_t y = 0; y < args.depth_blocks; ++y) {
      for (size_t x = 0; x < args.row_blocks(); ++x) {
        for (uint32_t w = 0; w < kGemvWarps; ++w) {
          HostWarp<kLimbs, kRight, kTiles> warp;
          GemvWarp<kLimbs, kRight, kTiles>(
              args, GemvPlace::Of(args, x, y, matrix, w), warp,
              partials.data() + w * kPartial);
        }
        for (uint32_t thread = 0; thread < kGemvWarps * 32; ++thread) {
          GemvReduce<kTiles>::Run(args, x, matrix, partials.data(), thread,
                                  kGemvWarps * 32);
        }
      }
    }
  }
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMV_HOST_H_
