#include <cstdint>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/thread_pool.h"
#include "common/ring/bitpack.h"
#include "common/ring/elementwise.h"
#include "common/ring/gemm.h"
#include "hwy/highway.h"

namespace tacit {
namespace {

std::vector<uint64_t> RandomWords(size_t n) {
  std::mt19937_64 rng(7);
  std::vector<uint64_t> words(n);
  for (uint64_t& word : words) word = rng();
  return words;
}

// Restricts the kernels to one instruction set while it lives.
class OnTarget {
 public:
  OnTarget(int64_t target, benchmark::State& state) {
    if ((target & (hwy::SupportedTargets() | HWY_STATIC_TARGET)) == 0) {
      state.SkipWithError("target not on this machine");
    }
    hwy::SetSupportedTargetsForTest(target);
  }
  ~OnTarget() { hwy::SetSupportedTargetsForTest(0); }
};

constexpr auto kPerSecond = benchmark::Counter::kIsIterationInvariantRate;

void RunGemm(benchmark::State& state, Layout layout, ThreadPool& pool) {
  const size_t m = state.range(0), k = state.range(1), n = state.range(2);
  const std::vector<uint64_t> a = RandomWords(m * k), b = RandomWords(k * n);
  std::vector<uint64_t> c(m * n);
  for (auto _ : state) {
    Gemm({.m = m,
          .n = n,
          .k = k,
          .a = a.data(),
          .lda = k,
          .b = b.data(),
          .ldb = layout == Layout::kRowMajor ? n : k,
          .b_layout = layout,
          .c = c.data(),
          .ldc = n,
          // Every product depends on the one before.
          .accumulate = Accumulate::kAdd},
         pool);
    benchmark::ClobberMemory();
  }
  state.counters["MulAdd"] =
      benchmark::Counter(static_cast<double>(m) * k * n, kPerSecond);
  state.counters["B_bytes"] = benchmark::Counter(8.0 * k * n, kPerSecond);
}

void BM_Gemm(benchmark::State& state, Layout layout) {
  RunGemm(state, layout, InlinePool());
}
void BM_GemmOn(benchmark::State& state, Layout layout, int64_t target) {
  const OnTarget on(target, state);
  RunGemm(state, layout, InlinePool());
}
void BM_GemmTwoThreads(benchmark::State& state, Layout layout) {
  ThreadPool pool(2);
  RunGemm(state, layout, pool);
}

void Sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "n"});
  b->Args({128, 768, 3072})->Args({128, 3072, 768})->Args({1024, 1024, 1024});
  b->Args({128, 64, 128})->Args({128, 128, 64})->Args({8, 768, 3072});
  b->Args({16, 768, 3072});
  b->Args({1, 64, 128})->Args({1, 128, 64});
  // Decode steps, alone and in batches: bound by reading B once.
  for (int64_t m : {1, 2, 4, 5, 6, 8, 12, 16, 32}) b->Args({m, 4096, 4096});
  b->Args({1, 768, 3072});
}
void OneSize(benchmark::internal::Benchmark* b) {
  b->ArgNames({"m", "k", "n"});
  b->Args({128, 768, 3072})->Args({1, 4096, 4096});
}
BENCHMARK_CAPTURE(BM_Gemm, RowMajor, Layout::kRowMajor)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Gemm, Transposed, Layout::kTransposed)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_GemmTwoThreads, RowMajor, Layout::kRowMajor)
    ->Apply(OneSize)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_GemmTwoThreads, Transposed, Layout::kTransposed)
    ->Apply(OneSize)
    ->UseRealTime();
#if HWY_ARCH_X86
BENCHMARK_CAPTURE(BM_GemmOn, RowMajorAvx2, Layout::kRowMajor, HWY_AVX2)
    ->Apply(OneSize);
BENCHMARK_CAPTURE(BM_GemmOn, TransposedAvx2, Layout::kTransposed, HWY_AVX2)
    ->Apply(OneSize);
#endif
BENCHMARK_CAPTURE(BM_GemmOn, RowMajorPortable, Layout::kRowMajor,
                  HWY_STATIC_TARGET)
    ->Apply(OneSize);

// Time per element: 1 / items_per_second.
constexpr size_t kElements = 16 * 1024;

void RunPack(benchmark::State& state) {
  const int width = static_cast<int>(state.range(0));
  std::vector<uint64_t> words = RandomWords(kElements);
  std::vector<uint8_t> packed(PackedBytes(kElements, width));
  for (auto _ : state) {
    Pack(words, width, packed);
    words[0] += packed[0];
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kElements);
}

void RunUnpack(benchmark::State& state) {
  const int width = static_cast<int>(state.range(0));
  std::vector<uint64_t> words = RandomWords(kElements);
  std::vector<uint8_t> packed(PackedBytes(kElements, width));
  for (auto _ : state) {
    Unpack(packed, width, words);
    packed[0] += static_cast<uint8_t>(words[0] + 1);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kElements);
}

void BM_Pack(benchmark::State& state) { RunPack(state); }
void BM_Unpack(benchmark::State& state) { RunUnpack(state); }
void BM_PackPortable(benchmark::State& state) {
  const OnTarget on(HWY_STATIC_TARGET, state);
  RunPack(state);
}
void BM_UnpackPortable(benchmark::State& state) {
  const OnTarget on(HWY_STATIC_TARGET, state);
  RunUnpack(state);
}

void Widths(benchmark::internal::Benchmark* b) {
  b->ArgName("width");
  for (int width : {1, 5, 8, 17, 32, 40, 43, 48, 63, 64}) b->Arg(width);
}
BENCHMARK(BM_Pack)->Apply(Widths);
BENCHMARK(BM_Unpack)->Apply(Widths);
BENCHMARK(BM_PackPortable)->Apply(Widths);
BENCHMARK(BM_UnpackPortable)->Apply(Widths);

void BM_PackBits(benchmark::State& state) {
  std::vector<uint8_t> bits(kElements, 1), packed(PackedBytes(kElements, 1));
  for (auto _ : state) {
    PackBits(bits, packed);
    UnpackBits(packed, bits);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kElements);
}
BENCHMARK(BM_PackBits);

template <auto kOperation>
void BM_Elementwise(benchmark::State& state) {
  const std::vector<uint64_t> a = RandomWords(state.range(0));
  std::vector<uint64_t> out = a;
  for (auto _ : state) {
    kOperation(a, out, out);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Elementwise<Add>)->Range(8, 1 << 20);
BENCHMARK(BM_Elementwise<Mul>)->Range(8, 1 << 20);
BENCHMARK(BM_Elementwise<MulAdd>)->Range(8, 1 << 20);

void BM_Dot(benchmark::State& state) {
  std::vector<uint64_t> a = RandomWords(state.range(0));
  for (auto _ : state) a[0] += Dot(a, a);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Dot)->Range(8, 1 << 20);

}  // namespace
}  // namespace tacit
