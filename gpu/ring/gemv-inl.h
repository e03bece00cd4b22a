// Products with few rows on the left, m <= 16: a decode step, one query of an
// attention head. Bound by reading the right operand, which is read once.
//
// One warp takes 16 rows of the right operand and a slice of the depth, and
// uses the tensor cores' m16n8k32 product of int8 with int32 sums, so that
// arithmetic stays below the memory's rate at every m. In the instruction's
// terms A is the right operand (16 rows), B the left one (8 of its rows at a
// time: a *tile*), K the depth. The instruction's K may be permuted at will if
// A and B agree, so a lane loads 16 contiguous bytes of each plane and uses
// them for two products.
//
// Everything but the instruction is plain code over the state of one lane.
// `Warp` runs it: on the device for the calling lane, on the host for 32 lanes
// in turn (gemv_host.h).
//
// Source of the fragments' layout: PTX ISA, "Matrix Fragments for
// mma.m16n8k32".
#ifndef TACIT_GPU_RING_GEMV_INL_H_
#define TACIT_GPU_RING_GEMV_INL_H_

#include <algorithm>

#include "gpu/ring/limbs-inl.h"

namespace tacit::gpu {

inline constexpr size_t kGemvMaxRows = 16;  // m
inline constexpr int kGemvRows = 16;        // of the right operand, for a warp
inline constexpr int kGemvDepth = 64;       // of one step of a warp
inline constexpr int kGemvTile = 8;         // rows of the left operand
inline constexpr int kGemvWarps = 8;        // of a block

// One chunk (LimbShape) of a product, for each of `batch` matrices.
struct GemvArgs {
  size_t m, n;   // m <= kGemvMaxRows
  size_t depth;  // of the chunk, as stored
  size_t batch;
  const int8_t* left;  // planes rising
  size_t left_row_stride, left_batch_stride;
  const int8_t* right;  // planes falling, stored rows
  size_t right_row_stride, right_batch_stride;
  uint64_t* c;
  size_t ldc, c_batch_stride;
  Accumulate accumulate;

  // How a block's warps and the grid share the work.
  uint32_t depth_warps;   // warps of a block on the same 16 rows; divides 8
  uint32_t depth_blocks;  // above 1, blocks add to C atomically: integers, so
                          // the order does not matter, and C starts at 0 if
                          // overwritten

  TACIT_HOST_DEVICE size_t row_tiles() const {
    return (n + kGemvRows - 1) / kGemvRows;
  }
  TACIT_HOST_DEVICE uint32_t tiles_per_block() const {
    return kGemvWarps / depth_warps;
  }
  // The grid's x; its y is depth_blocks, its z the batch.
  TACIT_HOST_DEVICE size_t row_blocks() const {
    return (row_tiles() + tiles_per_block() - 1) / tiles_per_block();
  }
};

// Fills depth_warps and depth_blocks: warps without a step of the depth are of
// no use, and every multiprocessor should have a block, or better two. A block
// that shares the depth has at least two steps for each warp.
inline void ShareWork(GemvArgs& args, int multiprocessors) {
  const size_t steps = args.depth / kGemvDepth;
  args.depth_warps = 1;
  while (args.depth_warps < kGemvWarps && 2 * args.depth_warps <= steps) {
    args.depth_warps *= 2;
  }
  args.depth_blocks = 1;
  const size_t wanted = static_cast<size_t>(multiprocessors) * 3 / 2;
  while (args.row_blocks() * args.batch * args.depth_blocks < wanted &&
         steps >= size_t{args.depth_warps} * 4 * args.depth_blocks) {
    args.depth_blocks *= 2;
  }
}

// Which part a warp has.
struct GemvPlace {
  size_t matrix;        // of the batch
  size_t row_tile;      // may be past the last one: then there is nothing to do
  uint32_t first_step;  // of the depth, then every step_stride-th
  uint32_t step_stride;

  TACIT_HOST_DEVICE static GemvPlace Of(const GemvArgs& args, size_t row_block,
                                        uint32_t depth_block, size_t matrix,
                                        uint32_t warp) {
    return {matrix,
            row_block * args.tiles_per_block() + warp / args.depth_warps,
            depth_block * args.depth_warps + warp % args.depth_warps,
            args.depth_blocks * args.depth_warps};
  }
};

// Registers of one lane. The ring has kLimbs digits, the right operand kRight.
template <int kLimbs, int kRight, int kTiles>
struct GemvLane {
  Bytes16 right[kRight][2];  // by place of the plane; rows lane / 4 and + 8
  Bytes16 left[kTiles];      // of one plane; row lane / 4 of the tile
  int32_t sums[kTiles][kLimbs][4];  // by diagonal
};

// 16 bytes that are read once: not worth a place in L1.
TACIT_DEVICE_INLINE Bytes16 LoadOnce(const int8_t* from) {
#ifdef __CUDA_ARCH__
  Bytes16 to;
  asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(to.words[0]), "=r"(to.words[1]), "=r"(to.words[2]),
        "=r"(to.words[3])
      : "l"(from));
  return to;
#else
  return *reinterpret_cast<const Bytes16*>(from);
#endif
}

template <int kLimbs, int kRight, int kTiles>
struct GemvSteps {
  using Lane = GemvLane<kLimbs, kRight, kTiles>;

  TACIT_DEVICE_INLINE static void Clear(Lane& state) {
    TACIT_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      TACIT_UNROLL
      for (int d = 0; d < kLimbs; ++d) {
        TACIT_UNROLL
        for (int r = 0; r < 4; ++r) state.sums[t][d][r] = 0;
      }
    }
  }

  TACIT_DEVICE_INLINE static void LoadRight(const GemvArgs& args,
                                            const GemvPlace& place, size_t step,
                                            int lane, Lane& state) {
    const int8_t* row =
        args.right + place.matrix * args.right_batch_stride +
        (place.row_tile * kGemvRows + lane / 4) * args.right_row_stride +
        step * kGemvDepth + lane % 4 * 16;
    TACIT_UNROLL
    for (int plane = 0; plane < kRight; ++plane) {
      TACIT_UNROLL
      for (int half = 0; half < 2; ++half) {
        state.right[plane][half] = LoadOnce(row + plane * args.depth +
                                            half * 8 * args.right_row_stride);
      }
    }
  }

  TACIT_DEVICE_INLINE static void LoadLeft(const GemvArgs& args,
                                           const GemvPlace& place, size_t step,
                                           int plane, int lane, Lane& state) {
    TACIT_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      const size_t row = t * kGemvTile + lane / 4;
      state.left[t] =
          row < args.m ? *reinterpret_cast<const Bytes16*>(
                             args.left + place.matrix * args.left_batch_stride +
                             row * args.left_row_stride + plane * args.depth +
                             step * kGemvDepth + lane % 4 * 16)
                       : Bytes16{};
    }
  }

  // sum_d S_d 2^(8 d) of this lane's four results of tile t.
  TACIT_DEVICE_INLINE static uint64_t Total(const Lane& state, int t, int r) {
    uint64_t total = 0;
    TACIT_UNROLL
    for (int d = 0; d < kLimbs; ++d) {
      total += static_cast<uint64_t>(int64_t{state.sums[t][d][r]}) << (8 * d);
    }
    return total;
  }
};

// What one warp does; `partial` is its part of the block's shared memory,
// [kTiles, 32 lanes, 4].
template <int kLimbs, int kRight, int kTiles, typename Warp>
TACIT_DEVICE_INLINE void GemvWarp(const GemvArgs& args, const GemvPlace& place,
                                  Warp& warp, uint64_t* partial) {
  using Steps = GemvSteps<kLimbs, kRight, kTiles>;
  using Lane = GemvLane<kLimbs, kRight, kTiles>;
  warp.Each([](int, Lane& state) { Steps::Clear(state); });
  const size_t steps = args.depth / kGemvDepth;
  if (place.row_tile < args.row_tiles()) {
    for (size_t step = place.first_step; step < steps;
         step += place.step_stride) {
      warp.Each([&](int lane, Lane& state) {
        Steps::LoadRight(args, place, step, lane, state);
      });
      TACIT_UNROLL
      for (int i = 0; i < kLimbs; ++i) {
        warp.Each([&](int lane, Lane& state) {
          Steps::LoadLeft(args, place, step, i, lane, state);
        });
        TACIT_UNROLL
        for (int j = 0; j < kRight && i + j < kLimbs; ++j) {
          TACIT_UNROLL
          for (int t = 0; t < kTiles; ++t) {
            // Digit j of the right operand is at place kRight - 1 - j.
            warp.Multiply(kRight - 1 - j, t, i + j);
          }
        }
      }
    }
  }
  warp.Each([&](int lane, Lane& state) {
    TACIT_UNROLL
    for (int t = 0; t < kTiles; ++t) {
      TACIT_UNROLL
      for (int r = 0; r < 4; ++r) {
        partial[(t * 32 + lane) * 4 + r] = Steps::Total(state, t, r);
      }
    }
  });
}

// Once all warps of a block are there: adds up what the warps of a row tile
// have and updates C. `partials` is [8 warps, kTiles, 32, 4]. Thread by thread.
template <int kTiles>
struct GemvReduce {
  static constexpr int kResults = kTiles * kGemvTile * kGemvRows;  // of a tile

  TACIT_DEVICE_INLINE static void Run(const GemvArgs& args, size_t row_block,
                                      size_t matrix, const uint64_t* partials,
                                      uint32_t thread, uint32_t threads) {
    const uint32_t count = args.tiles_per_block() * kResults;
    for (uint32_t result = thread; result < count; result += threads) {
      const uint32_t tile = result / kResults;
      const uint32_t row = result % kResults / kGemvRows;     // of the left
      const uint32_t column = result % kResults % kGemvRows;  // of the tile
      const size_t n =
          (row_block * args.tiles_per_block() + tile) * kGemvRows + column;
      if (row >= args.m || n >= args.n) continue;
      Update(args, args.c + matrix * args.c_batch_stride + row * args.ldc + n,
             Sum(args, partials, tile, row, column));
    }
  }

 private:
  // The result's place in a fragment: the instruction's C is [16, 8], row g and
  // g + 8 and columns 2 t, 2 t + 1 in lane 4 g + t.
  TACIT_DEVICE_INLINE static uint64_t Sum(const GemvArgs& args,
                                          const uint64_t* partials,
                                          uint32_t tile, uint32_t row,
                                          uint32_t column) {
    const uint32_t lane = column % 8 * 4 + row % kGemvTile / 2;
    const uint32_t place =
        ((row / kGemvTile) * 32 + lane) * 4 + column / 8 * 2 + row % 2;
    uint64_t sum = 0;
    for (uint32_t w = 0; w < args.depth_warps; ++w) {
      sum +=
          partials[(tile * args.depth_warps + w) * (kTiles * 32 * 4) + place];
    }
    return sum;
  }

  TACIT_DEVICE_INLINE static void Update(const GemvArgs& args, uint64_t* c,
                                         uint64_t sum) {
    if (args.depth_blocks == 1) {
      RecombineBody::Update(*c, sum, args.accumulate);
      return;
    }
    const uint64_t value =
        args.accumulate == Accumulate::kSubtract ? -sum : sum;
#ifdef __CUDA_ARCH__
    atomicAdd(reinterpret_cast<unsigned long long*>(c), value);
#else
    *c += value;
#endif
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMV_INL_H_
