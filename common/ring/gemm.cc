#include "common/ring/gemm.h"

#include <algorithm>
#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/ring/gemm.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "common/ring/simd-inl.h"
#include "hwy/highway.h"

#ifndef TACIT_COMMON_RING_GEMM_CC_ONCE_
#define TACIT_COMMON_RING_GEMM_CC_ONCE_
namespace tacit {
namespace {

constexpr size_t RoundUp(size_t n, size_t unit) {
  return (n + unit - 1) / unit * unit;
}

constexpr size_t CeilDiv(size_t n, size_t unit) {
  return (n + unit - 1) / unit;
}

// What happens to C when a product, or the part of it over some of k, is done.
enum class Write { kSet, kAdd, kSubtract };

}  // namespace
}  // namespace tacit
#endif  // TACIT_COMMON_RING_GEMM_CC_ONCE_

// The packed product works on blocks, the names of Goto and van de Geijn,
// https://doi.org/10.1145/1356052.1356053:
//
//   A is packed once per call (per kMaxPackedA of it), shared by all threads,
//   as panels of kTileRows rows: [panel][p][row]. B is packed by the thread
//   that multiplies with it, in blocks that stay in its L2 cache, as panels of
//   one tile's columns: [panel][p][column], padded with zeros. Threads take
//   different columns, so each element of B is packed once, unless there are
//   fewer column blocks than threads.
HWY_BEFORE_NAMESPACE();
namespace tacit {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kLanes = hn::MaxLanes(Word());

// The register tile, kTileRows x (kTileVecs * kLanes): as many accumulators as
// leave registers for one step's operands.
#if TACIT_RING_AVX512
constexpr size_t kTileRows = 12;
constexpr size_t kTileVecs = 2;  // 24 of 32 registers
#elif TACIT_RING_AVX2
constexpr size_t kTileRows = 4;  // two accumulators each: 8 of 16 registers
constexpr size_t kTileVecs = 1;
#else
constexpr size_t kTileRows = 4;
constexpr size_t kTileVecs = 2;
#endif
constexpr size_t kTileCols = kTileVecs * kLanes;

// Deeper blocks update C less often; shallower ones keep a panel of A in L1.
constexpr size_t kBlockDepth = 384;
// Elements: 384 KiB, which leaves room in an L2 cache of 1 MiB for A and for
// the block that is fetched ahead.
constexpr size_t kMaxPackedB = 48 * 1024;
constexpr size_t kMaxPackedA = 1024 * 1024;  // elements: 8 MiB, for L3
constexpr size_t kMinRowsPerTask = 96;       // else packing B again is noticed

// One step's operand from B, and a sum of products by such operands.
#if TACIT_RING_AVX2
// a * b = aL bL + 2^32 (aL bH + aH bL). The two cross products need 32 bits
// each: one 32-bit multiplication by b with swapped halves. Both parts are
// summed apart, so that joining them costs nothing per product.
using HalfWord = hn::Repartition<uint32_t, Word>;
using HalfVec = hn::Vec<HalfWord>;

struct Factor {
  HalfVec b, b_swapped;
};

HWY_INLINE Factor MakeFactor(WordVec b) {
  const HalfVec halves = hn::BitCast(HalfWord(), b);
  return {halves, hn::Shuffle2301(halves)};
}

struct ProductSum {
  WordVec low;
  HalfVec cross;

  HWY_INLINE void Clear() {
    low = hn::Zero(Word());
    cross = hn::Zero(HalfWord());
  }
  HWY_INLINE void MulAdd(WordVec a, const Factor& f) {
    const HalfVec a_halves = hn::BitCast(HalfWord(), a);
    low = hn::Add(low, hn::MulEven(a_halves, f.b));
    cross = hn::Add(cross, hn::Mul(a_halves, f.b_swapped));
  }
  HWY_INLINE WordVec Value() const {
    const WordVec c = hn::BitCast(Word(), cross);
    const WordVec high = hn::Add(hn::ShiftRight<32>(c), c);
    return hn::Add(low, hn::ShiftLeft<32>(high));
  }
};
#else
struct Factor {
  WordVec b;
};

HWY_INLINE Factor MakeFactor(WordVec b) { return {b}; }

struct ProductSum {
  WordVec sum;

  HWY_INLINE void Clear() { sum = hn::Zero(Word()); }
  HWY_INLINE void MulAdd(WordVec a, const Factor& f) {
    sum = hn::Add(sum, MulLow(Word(), a, f.b));
  }
  HWY_INLINE WordVec Value() const { return sum; }
};
#endif

HWY_INLINE WordVec Updated(WordVec old, WordVec product, Write write) {
  return write == Write::kAdd ? hn::Add(old, product) : hn::Sub(old, product);
}

// c[0, count) (op)= product, 1 <= count <= kLanes.
HWY_INLINE void UpdateVec(uint64_t* c, size_t count, WordVec product,
                          Write write) {
  const Word d;
  if (count == kLanes) {
    if (write != Write::kSet) {
      product = Updated(hn::LoadU(d, c), product, write);
    }
    hn::StoreU(product, d, c);
  } else {
    if (write != Write::kSet) {
      product = Updated(LoadFirst(d, count, c), product, write);
    }
    StoreFirst(d, count, product, c);
  }
}

// The sums of one register tile. A recursive struct, not an array: GCC 12 keeps
// an array in memory and stores to it in the innermost loop.
template <size_t kRows, size_t kVecs>
struct TileSums {
  TileSums<kRows - 1, kVecs> above;
  ProductSum left, right;  // `right` only for kVecs = 2

  HWY_INLINE void Clear() {
    above.Clear();
    left.Clear();
    if constexpr (kVecs == 2) right.Clear();
  }
  // a[i] times the factors, for every row i.
  HWY_INLINE void MulAdd(const uint64_t* a, const Factor& f_left,
                         const Factor& f_right) {
    above.MulAdd(a, f_left, f_right);
    const WordVec row = hn::Set(Word(), a[kRows - 1]);
    left.MulAdd(row, f_left);
    if constexpr (kVecs == 2) right.MulAdd(row, f_right);
  }
  // To [kRows][kVecs * kLanes].
  HWY_INLINE void Store(uint64_t* out) const {
    above.Store(out);
    out += (kRows - 1) * kVecs * kLanes;
    hn::StoreU(left.Value(), Word(), out);
    if constexpr (kVecs == 2) {
      hn::StoreU(right.Value(), Word(), out + kLanes);
    }
  }
};

template <size_t kVecs>
struct TileSums<0, kVecs> {
  HWY_INLINE void Clear() {}
  HWY_INLINE void MulAdd(const uint64_t*, const Factor&, const Factor&) {}
  HWY_INLINE void Store(uint64_t*) const {}
};

// out [kRows, kVecs * kLanes] = panel of A [depth][kRows] * panel of B
// [depth][kVecs * kLanes], depth >= 1. Not straight to C: with the code for
// that after its innermost loop, GCC 12 spills sums inside.
template <size_t kRows, size_t kVecs>
void MultiplyTile(size_t depth, const uint64_t* a, const uint64_t* b,
                  uint64_t* out) {
  static_assert(kVecs == 1 || kVecs == 2);
  const Word d;
  TileSums<kRows, kVecs> sums;
  sums.Clear();
  // Not a `for`: were zero steps possible, GCC 12 would merge the zeros with
  // the sums by a store of each sum in each step.
  do {
    const Factor left = MakeFactor(hn::LoadU(d, b));
    const Factor right =
        kVecs == 2 ? MakeFactor(hn::LoadU(d, b + kLanes)) : left;
    sums.MulAdd(a, left, right);
    a += kRows;
    b += kVecs * kLanes;
  } while (--depth != 0);
  sums.Store(out);
}

// C [rows, cols] (op)= tile [rows, width], cols <= width.
void UpdateTile(const uint64_t* tile, size_t width, size_t rows, size_t cols,
                uint64_t* c, size_t ldc, Write write) {
  for (size_t i = 0; i < rows; ++i, tile += width, c += ldc) {
    for (size_t j = 0; j < cols; j += kLanes) {
      UpdateVec(c + j, std::min(cols - j, kLanes), hn::LoadU(Word(), tile + j),
                write);
    }
  }
}

// The tile for `rows` in [1, kTileRows]; `narrow`: one register of columns.
using TileFunction = void (*)(size_t depth, const uint64_t* a,
                              const uint64_t* b, uint64_t* out);

template <size_t kRows = kTileRows>
TileFunction ChooseTile(size_t rows, bool narrow) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return ChooseTile<kRows - 1>(rows, narrow);
  }
  return narrow ? MultiplyTile<kRows, 1> : MultiplyTile<kRows, kTileVecs>;
}

// rows[i][j] <- rows[j][i].
HWY_INLINE void Transpose(WordVec (&rows)[kLanes]) {
#if TACIT_RING_AVX512
  __m512i pairs[8], halves[8];
#pragma GCC unroll 4
  for (size_t i = 0; i < 8; i += 2) {
    pairs[i] = _mm512_unpacklo_epi64(rows[i].raw, rows[i + 1].raw);
    pairs[i + 1] = _mm512_unpackhi_epi64(rows[i].raw, rows[i + 1].raw);
  }
  // pairs[2 q + s] holds columns s, s + 2, s + 4, s + 6 of rows 2 q, 2 q + 1.
#pragma GCC unroll 2
  for (size_t s = 0; s < 2; ++s) {
#pragma GCC unroll 2
    for (size_t q = 0; q < 8; q += 4) {
      halves[q + s] =
          _mm512_shuffle_i64x2(pairs[q + s], pairs[q + 2 + s], 0x88);
      halves[q + 2 + s] =
          _mm512_shuffle_i64x2(pairs[q + s], pairs[q + 2 + s], 0xDD);
    }
    rows[s].raw = _mm512_shuffle_i64x2(halves[s], halves[4 + s], 0x88);
    rows[4 + s].raw = _mm512_shuffle_i64x2(halves[s], halves[4 + s], 0xDD);
    rows[2 + s].raw = _mm512_shuffle_i64x2(halves[2 + s], halves[6 + s], 0x88);
    rows[6 + s].raw = _mm512_shuffle_i64x2(halves[2 + s], halves[6 + s], 0xDD);
  }
#elif TACIT_RING_AVX2
  const Word d;
  const WordVec even01 = hn::InterleaveLower(d, rows[0], rows[1]);
  const WordVec odd01 = hn::InterleaveUpper(d, rows[0], rows[1]);
  const WordVec even23 = hn::InterleaveLower(d, rows[2], rows[3]);
  const WordVec odd23 = hn::InterleaveUpper(d, rows[2], rows[3]);
  rows[0] = hn::ConcatLowerLower(d, even23, even01);
  rows[1] = hn::ConcatLowerLower(d, odd23, odd01);
  rows[2] = hn::ConcatUpperUpper(d, even23, even01);
  rows[3] = hn::ConcatUpperUpper(d, odd23, odd01);
#elif HWY_TARGET == HWY_SCALAR
  (void)rows;  // one by one
#else
  static_assert(kLanes == 2);
  const Word d;
  const WordVec even = hn::InterleaveLower(d, rows[0], rows[1]);
  rows[1] = hn::InterleaveUpper(d, rows[0], rows[1]);
  rows[0] = even;
#endif
}

// out[p * step + i] = in[i * ld + p] for i < rows <= step, p < depth; zeros
// for rows <= i < RoundUp(rows, kLanes) that lie below `step`.
HWY_INLINE void PackTransposed(const uint64_t* in, size_t ld, size_t rows,
                               size_t depth, size_t step, uint64_t* out) {
  const Word d;
  for (size_t i = 0; i < rows; i += kLanes) {
    const size_t valid = std::min(rows - i, kLanes);
    const size_t stored = std::min(step - i, kLanes);
    for (size_t p = 0; p < depth; p += kLanes) {
      const size_t count = std::min(depth - p, kLanes);
      const uint64_t* from = in + i * ld + p;
      WordVec v[kLanes];
#pragma GCC unroll 8
      for (size_t r = 0; r < kLanes; ++r) {
        v[r] = r >= valid        ? hn::Zero(d)
               : count == kLanes ? hn::LoadU(d, from + r * ld)
                                 : LoadFirst(d, count, from + r * ld);
      }
      Transpose(v);
      uint64_t* to = out + p * step + i;
#pragma GCC unroll 8
      for (size_t q = 0; q < kLanes; ++q) {
        if (q >= count) continue;
        if (stored == kLanes) {
          hn::StoreU(v[q], d, to + q * step);
        } else {
          StoreFirst(d, stored, v[q], to + q * step);
        }
      }
    }
  }
}

// A panel with no more columns than one register is packed and multiplied
// without the second.
size_t PanelWidth(size_t cols) { return cols <= kLanes ? kLanes : kTileCols; }

// Packs B[p0 .. p0 + depth, j0 .. j0 + cols) as panels. Row by row over all
// panels: long runs of B, which the processor fetches ahead.
void PackRows(const uint64_t* b, size_t ldb, size_t depth, size_t cols,
              uint64_t* out) {
  const Word d;
  const size_t whole = cols / kTileCols * kTileCols;
  const size_t rest = cols - whole, rest_width = PanelWidth(rest);
  for (size_t p = 0; p < depth; ++p, b += ldb) {
    uint64_t* to = out + p * kTileCols;
    for (size_t j = 0; j < whole; j += kTileCols, to += depth * kTileCols) {
      for (size_t v = 0; v < kTileCols; v += kLanes) {
        hn::StoreU(hn::LoadU(d, b + j + v), d, to + v);
      }
    }
    if (rest == 0) continue;
    to = out + whole * depth + p * rest_width;
    for (size_t v = 0; v < rest_width; v += kLanes) {
      const uint64_t* from = b + whole + v;
      hn::StoreU(v + kLanes <= rest ? hn::LoadU(d, from)
                 : v < rest         ? LoadFirst(d, rest - v, from)
                                    : hn::Zero(d),
                 d, to + v);
    }
  }
}

void PackBlockOfB(const GemmArgs& g, size_t p0, size_t depth, size_t j0,
                  size_t cols, uint64_t* out) {
  if (g.b_layout == Layout::kRowMajor) {
    return PackRows(g.b + p0 * g.ldb + j0, g.ldb, depth, cols, out);
  }
  for (size_t j = 0; j < cols; j += kTileCols) {
    const size_t n = std::min(cols - j, kTileCols);
    const size_t width = PanelWidth(n);
    PackTransposed(g.b + (j0 + j) * g.ldb + p0, g.ldb, n, depth, width, out);
    out += depth * width;
  }
}

// Fetches B[p0 .. p0 + depth, j0 .. j0 + cols) into the cache in `steps` steps,
// while the block before it is multiplied: packing waits for memory otherwise.
class BlockPrefetch {
 public:
  BlockPrefetch(const GemmArgs& g, size_t p0, size_t depth, size_t j0,
                size_t cols, size_t steps)
      : ld_(g.ldb), steps_(steps) {
    if (p0 >= g.k) {  // the columns that this thread is likely to take next
      p0 = 0;
      j0 += cols;
    }
    depth = std::min(depth, g.k - p0);
    cols = j0 < g.n ? std::min(cols, g.n - j0) : 0;
    const bool row_major = g.b_layout == Layout::kRowMajor;
    rows_ = row_major ? depth : cols;
    length_ = row_major ? cols : depth;
    if (length_ == 0) rows_ = 0;
    if (rows_ != 0) from_ = g.b + (row_major ? p0 * ld_ + j0 : j0 * ld_ + p0);
  }
  void Step() {
    ++step_;
    for (; row_ * steps_ < rows_ * step_; ++row_, from_ += ld_) {
      for (size_t i = 0; i < length_; i += 8) {
        __builtin_prefetch(from_ + i, 0, 2);
      }
    }
  }

 private:
  const uint64_t* from_ = nullptr;
  size_t ld_, rows_, length_, steps_, row_ = 0, step_ = 0;
};

struct Blocks {
  size_t depth;       // of k
  size_t cols;        // of n, a multiple of kTileCols, or n
  size_t chunk_rows;  // of m, packed at a time, a multiple of kTileRows, or m
  size_t rows_per_task;  // likewise
};

Blocks ChooseBlocks(const GemmArgs& g, size_t threads) {
  Blocks blocks;
  blocks.depth = CeilDiv(g.k, CeilDiv(g.k, kBlockDepth));
  const size_t fit = kMaxPackedB / blocks.depth / kTileCols * kTileCols;
  // Twice as many blocks as threads, where n is large enough, even out a late
  // start; blocks below 64 columns would wait for A.
  const size_t fair = RoundUp(CeilDiv(g.n, 2 * threads), kTileCols);
  blocks.cols = std::min(
      fit, threads == 1 ? fit : std::max<size_t>(fair, RoundUp(64, kTileCols)));
  blocks.chunk_rows =
      std::max(kMaxPackedA / g.k / kTileRows, size_t{8}) * kTileRows;
  blocks.chunk_rows = std::min(blocks.chunk_rows, g.m);
  const size_t row_tasks = CeilDiv(threads, CeilDiv(g.n, blocks.cols));
  blocks.rows_per_task =
      RoundUp(std::max(CeilDiv(blocks.chunk_rows, row_tasks), kMinRowsPerTask),
              kTileRows);
  return blocks;
}

// C[i0 .. i0 + rows, j0 .. j0 + cols) from `packed_a`, the panels of rows
// [i_packed, i_packed + packed_rows) for every block of k in turn.
void MultiplyBlock(const GemmArgs& g, const Blocks& blocks,
                   const uint64_t* packed_a, size_t i_packed,
                   size_t packed_rows, size_t i0, size_t rows, size_t j0,
                   size_t cols) {
  Words scratch(kTileRows * kTileCols +
                blocks.depth * RoundUp(cols, kTileCols));
  uint64_t* const tile = scratch.data();
  uint64_t* const packed_b = tile + kTileRows * kTileCols;
  for (size_t p0 = 0; p0 < g.k; p0 += blocks.depth) {
    const size_t depth = std::min(blocks.depth, g.k - p0);
    PackBlockOfB(g, p0, depth, j0, cols, packed_b);
    const Write write = g.accumulate == Accumulate::kSubtract ? Write::kSubtract
                        : g.accumulate == Accumulate::kOverwrite && p0 == 0
                            ? Write::kSet
                            : Write::kAdd;
    const uint64_t* a = packed_a + p0 * packed_rows + (i0 - i_packed) * depth;
    BlockPrefetch next(g, p0 + depth, depth, j0, cols,
                       CeilDiv(rows, kTileRows) * CeilDiv(cols, kTileCols));
    for (size_t i = i0; i < i0 + rows; i += kTileRows) {
      const size_t m = std::min(i0 + rows - i, kTileRows);
      const TileFunction wide = ChooseTile(m, false);
      const uint64_t* b = packed_b;
      for (size_t j = j0; j < j0 + cols; j += kTileCols) {
        const size_t n = std::min(j0 + cols - j, kTileCols);
        const size_t width = PanelWidth(n);
        uint64_t* const c = g.c + i * g.ldc + j;
        for (size_t r = 0; r < m; ++r) {
          __builtin_prefetch(c + r * g.ldc);
          __builtin_prefetch(c + r * g.ldc + n - 1);
        }
        next.Step();
        (width == kTileCols ? wide : ChooseTile(m, true))(depth, a, b, tile);
        UpdateTile(tile, width, m, n, c, g.ldc, write);
        b += depth * width;
      }
      a += depth * m;
    }
  }
}

void PackedGemm(const GemmArgs& g, ThreadPool& pool) {
  const Blocks blocks = ChooseBlocks(g, std::max(pool.threads(), 1));
  Words packed_a(blocks.chunk_rows * g.k);
  for (size_t i0 = 0; i0 < g.m; i0 += blocks.chunk_rows) {
    const size_t chunk = std::min(blocks.chunk_rows, g.m - i0);
    const size_t panels = CeilDiv(chunk, kTileRows);
    // A panel for each task would be noticed when k is small.
    const size_t grain = CeilDiv(size_t{16} * 1024, g.k * kTileRows);
    pool.ParallelFor(panels, grain, [&](size_t begin, size_t end) HWY_ATTR {
      for (size_t p0 = 0; p0 < g.k; p0 += blocks.depth) {
        const size_t depth = std::min(blocks.depth, g.k - p0);
        for (size_t panel = begin; panel < end; ++panel) {
          const size_t i = panel * kTileRows;
          const size_t rows = std::min(chunk - i, kTileRows);
          PackTransposed(g.a + (i0 + i) * g.lda + p0, g.lda, rows, depth, rows,
                         packed_a.data() + p0 * chunk + i * depth);
        }
      }
    });
    const size_t col_tasks = CeilDiv(g.n, blocks.cols);
    const size_t row_tasks = CeilDiv(chunk, blocks.rows_per_task);
    pool.ParallelFor(
        col_tasks * row_tasks, 1, [&](size_t begin, size_t end) HWY_ATTR {
          for (size_t task = begin; task < end; ++task) {
            const size_t i = task % row_tasks * blocks.rows_per_task;
            const size_t j = task / row_tasks * blocks.cols;
            MultiplyBlock(g, blocks, packed_a.data(), i0, chunk, i0 + i,
                          std::min(blocks.rows_per_task, chunk - i), j,
                          std::min(blocks.cols, g.n - j));
          }
        });
  }
}

// ---- m = 1 .. 4 ----

// C[0 .. kRows, 0 .. cols) (op)= A[.., 0 .. kDepth) B[0 .. kDepth, ..): every
// element of B is read once, from kDepth streams, and C stays in L1.
template <size_t kRows, size_t kDepth>
HWY_INLINE void AddOuterProducts(const uint64_t* a, size_t lda,
                                 const uint64_t* b, size_t ldb, uint64_t* c,
                                 size_t ldc, size_t cols, Write write) {
  const Word d;
  WordVec row[kRows][kDepth];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t p = 0; p < kDepth; ++p) row[i][p] = hn::Set(d, a[i * lda + p]);
  }
  const auto step = [&](size_t j, size_t count) HWY_ATTR {
    ProductSum sums[kRows];
#pragma GCC unroll 4
    for (size_t i = 0; i < kRows; ++i) sums[i].Clear();
#pragma GCC unroll 4
    for (size_t p = 0; p < kDepth; ++p) {
      const uint64_t* from = b + p * ldb + j;
      const Factor f = MakeFactor(count == kLanes ? hn::LoadU(d, from)
                                                  : LoadFirst(d, count, from));
#pragma GCC unroll 4
      for (size_t i = 0; i < kRows; ++i) sums[i].MulAdd(row[i][p], f);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < kRows; ++i) {
      UpdateVec(c + i * ldc + j, count, sums[i].Value(), write);
    }
  };
  size_t j = 0;
  for (; j + kLanes <= cols; j += kLanes) step(j, kLanes);
  if (j < cols) step(j, cols - j);
}

template <size_t kRows>
void FewRowsRowMajor(const GemmArgs& g, size_t j0, size_t cols) {
  Write write = g.accumulate == Accumulate::kOverwrite  ? Write::kSet
                : g.accumulate == Accumulate::kSubtract ? Write::kSubtract
                                                        : Write::kAdd;
  const uint64_t* b = g.b + j0;
  uint64_t* c = g.c + j0;
  size_t p = 0;
  for (; p + 4 <= g.k; p += 4) {
    AddOuterProducts<kRows, 4>(g.a + p, g.lda, b + p * g.ldb, g.ldb, c, g.ldc,
                               cols, write);
    if (write == Write::kSet) write = Write::kAdd;
  }
  for (; p < g.k; ++p) {
    AddOuterProducts<kRows, 1>(g.a + p, g.lda, b + p * g.ldb, g.ldb, c, g.ldc,
                               cols, write);
    if (write == Write::kSet) write = Write::kAdd;
  }
}

// C[0 .. kRows, j0 .. j0 + kCols) (op)= inner products of rows of A and B.
template <size_t kRows, size_t kCols>
HWY_INLINE void InnerProducts(const GemmArgs& g, size_t j0) {
  const Word d;
  ProductSum sums[kRows][kCols];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kCols; ++j) sums[i][j].Clear();
  }
  const uint64_t* b = g.b + j0 * g.ldb;
  const auto step = [&](size_t p, size_t count) HWY_ATTR {
    WordVec a[kRows];
#pragma GCC unroll 4
    for (size_t i = 0; i < kRows; ++i) {
      const uint64_t* from = g.a + i * g.lda + p;
      a[i] = count == kLanes ? hn::LoadU(d, from) : LoadFirst(d, count, from);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < kCols; ++j) {
      const uint64_t* from = b + j * g.ldb + p;
      const Factor f = MakeFactor(count == kLanes ? hn::LoadU(d, from)
                                                  : LoadFirst(d, count, from));
#pragma GCC unroll 4
      for (size_t i = 0; i < kRows; ++i) sums[i][j].MulAdd(a[i], f);
    }
  };
  size_t p = 0;
  for (; p + kLanes <= g.k; p += kLanes) step(p, kLanes);
  if (p < g.k) step(p, g.k - p);
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kCols; ++j) {
      const uint64_t product = SumLanes(d, sums[i][j].Value());
      uint64_t& c = g.c[i * g.ldc + j0 + j];
      c = g.accumulate == Accumulate::kOverwrite ? product
          : g.accumulate == Accumulate::kAdd     ? c + product
                                                 : c - product;
    }
  }
}

template <size_t kRows>
void FewRowsTransposed(const GemmArgs& g, size_t j0, size_t cols) {
  constexpr size_t kCols = TACIT_RING_AVX512 || kRows == 1 ? 4 : 2;
  size_t j = 0;
  for (; j + kCols <= cols; j += kCols) InnerProducts<kRows, kCols>(g, j0 + j);
  for (; j < cols; ++j) InnerProducts<kRows, 1>(g, j0 + j);
}

template <size_t kRows>
void FewRowsGemm(const GemmArgs& g, ThreadPool& pool) {
  const bool row_major = g.b_layout == Layout::kRowMajor;
  // Row major: a strip of C stays in L1 and rows of B are read in long runs.
  // Transposed: a few rows of B at a time in any case.
  constexpr size_t kStrip = 2048 / kRows / 8 * 8;
  const size_t fair = RoundUp(CeilDiv(g.n, 2 * std::max(pool.threads(), 1)), 8);
  const size_t enough = RoundUp(CeilDiv(size_t{32} * 1024, g.k), 8);
  const size_t grain = std::min(std::max(fair, enough), kStrip);
  pool.ParallelFor(g.n, grain, [&](size_t begin, size_t end) HWY_ATTR {
    if (row_major) {
      FewRowsRowMajor<kRows>(g, begin, end - begin);
    } else {
      FewRowsTransposed<kRows>(g, begin, end - begin);
    }
  });
}

// ---- m = 5 .. kMaxStripRows, B row major ----

// As few rows, but with A and the sums in buffers of their own: rows of C whose
// stride is a multiple of 4 KiB would share a cache set, and there are more of
// them than it has ways. Packing B costs more than it saves here. Other targets
// have too few registers.
#if TACIT_RING_AVX512
constexpr size_t kMaxStripRows = 16;
constexpr size_t kStripWords = 2048;  // 16 KiB of sums
constexpr size_t kTileSums = 8;       // rows at a time, with factors of two p
// Rows of B from the one in use to the one that is fetched: runs of a strip's
// width are too short for the processor to fetch ahead by itself.
constexpr size_t kRowsAhead = 6;

// sums [kRows, RoundUp(cols, kLanes)] (op)= the product of kRows columns of
// `a` [kDepth, m] with B[0 .. kDepth, 0 .. cols).
template <size_t kRows, size_t kDepth>
HWY_INLINE void AddToStrip(const uint64_t* a, size_t m, const uint64_t* b,
                           size_t ldb, size_t cols, uint64_t* sums,
                           Write write) {
  const Word d;
  const size_t width = RoundUp(cols, kLanes);
  WordVec row[kRows][kDepth];
#pragma GCC unroll 8
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (size_t p = 0; p < kDepth; ++p) row[i][p] = hn::Set(d, a[p * m + i]);
  }
  for (size_t j = 0; j < cols; j += kLanes) {
    ProductSum add[kRows];
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) add[i].Clear();
#pragma GCC unroll 2
    for (size_t p = 0; p < kDepth; ++p) {
      const uint64_t* from = b + p * ldb + j;
      __builtin_prefetch(from + kRowsAhead * ldb);
      const Factor f =
          MakeFactor(j + kLanes <= cols ? hn::LoadU(d, from)
                                        : LoadFirst(d, cols - j, from));
#pragma GCC unroll 8
      for (size_t i = 0; i < kRows; ++i) add[i].MulAdd(row[i][p], f);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < kRows; ++i) {
      UpdateVec(sums + i * width + j, kLanes, add[i].Value(), write);
    }
  }
}

// The same for one or two p of B, from row i of A on; `packed_a` is [k, m].
template <size_t kRows>
HWY_INLINE void AddTwo(const GemmArgs& g, const uint64_t* packed_a, size_t i,
                       size_t p, size_t j0, size_t cols, uint64_t* sums) {
  const Write write = p == 0 ? Write::kSet : Write::kAdd;
  const uint64_t* const a = packed_a + p * g.m + i;
  const uint64_t* const b = g.b + p * g.ldb + j0;
  sums += i * RoundUp(cols, kLanes);
  if (p + 1 < g.k) {
    AddToStrip<kRows, 2>(a, g.m, b, g.ldb, cols, sums, write);
  } else {
    AddToStrip<kRows, 1>(a, g.m, b, g.ldb, cols, sums, write);
  }
}

// C[0 .. kRows, j0 .. j0 + cols). More rows than fit into registers take turns
// at each p, so that the second ones find B in L1.
template <size_t kRows>
void MultiplyStrip(const GemmArgs& g, const uint64_t* packed_a, size_t j0,
                   size_t cols) {
  constexpr size_t kFirst = kRows <= kTileSums ? kRows : (kRows + 1) / 2;
  const size_t width = RoundUp(cols, kLanes);
  Words sums(kRows * width);
  for (size_t p = 0; p < g.k; p += 2) {
    AddTwo<kFirst>(g, packed_a, 0, p, j0, cols, sums.data());
    if constexpr (kRows > kFirst) {
      AddTwo<kRows - kFirst>(g, packed_a, kFirst, p, j0, cols, sums.data());
    }
  }
  UpdateTile(sums.data(), width, kRows, cols, g.c + j0, g.ldc,
             g.accumulate == Accumulate::kOverwrite  ? Write::kSet
             : g.accumulate == Accumulate::kSubtract ? Write::kSubtract
                                                     : Write::kAdd);
}

// 5 <= m <= kRows.
template <size_t kRows = kMaxStripRows>
void StripGemm(const GemmArgs& g, ThreadPool& pool) {
  if constexpr (kRows > 5) {
    if (g.m < kRows) return StripGemm<kRows - 1>(g, pool);
  }
  Words packed_a(g.k * kRows);
  PackTransposed(g.a, g.lda, kRows, g.k, kRows, packed_a.data());
  constexpr size_t kStrip = kStripWords / kRows / kLanes * kLanes;
  pool.ParallelFor(g.n, kStrip, [&](size_t begin, size_t end) HWY_ATTR {
    MultiplyStrip<kRows>(g, packed_a.data(), begin, end - begin);
  });
}
#endif

}  // namespace

void GemmOnTarget(const GemmArgs& g, ThreadPool& pool) {
  switch (g.m) {
    case 1:
      return FewRowsGemm<1>(g, pool);
    case 2:
      return FewRowsGemm<2>(g, pool);
    case 3:
      return FewRowsGemm<3>(g, pool);
    case 4:
      return FewRowsGemm<4>(g, pool);
  }
#if TACIT_RING_AVX512
  if (g.m <= kMaxStripRows && g.b_layout == Layout::kRowMajor) {
    return StripGemm(g, pool);
  }
#endif
  PackedGemm(g, pool);
}

}  // namespace HWY_NAMESPACE
}  // namespace tacit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tacit {

HWY_EXPORT(GemmOnTarget);

void Gemm(const GemmArgs& args, ThreadPool& pool) {
  assert(args.ldc >= args.n && args.lda >= args.k);
  assert(args.ldb >= (args.b_layout == Layout::kRowMajor ? args.n : args.k));
  if (args.m == 0 || args.n == 0) return;
  if (args.k == 0) {
    if (args.accumulate != Accumulate::kOverwrite) return;
    for (size_t i = 0; i < args.m; ++i) {
      std::fill_n(args.c + i * args.ldc, args.n, 0);
    }
    return;
  }
  HWY_DYNAMIC_DISPATCH(GemmOnTarget)(args, pool);
}

void GemmReference(const GemmArgs& args) {
  const bool row_major = args.b_layout == Layout::kRowMajor;
  for (size_t i = 0; i < args.m; ++i) {
    for (size_t j = 0; j < args.n; ++j) {
      uint64_t product = 0;
      for (size_t p = 0; p < args.k; ++p) {
        product +=
            args.a[i * args.lda + p] *
            (row_major ? args.b[p * args.ldb + j] : args.b[j * args.ldb + p]);
      }
      uint64_t& c = args.c[i * args.ldc + j];
      switch (args.accumulate) {
        case Accumulate::kOverwrite:
          c = product;
          break;
        case Accumulate::kAdd:
          c += product;
          break;
        case Accumulate::kSubtract:
          c -= product;
          break;
      }
    }
  }
}

}  // namespace tacit
#endif  // HWY_ONCE
