#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/buffer.h"
#include "common/fss/dpf.h"
#include "common/fss/onehot_dpf.h"

namespace tacit {
namespace {

Seed BenchmarkSeed(uint8_t tag) {
  return Seed(std::array<uint8_t, Seed::kBytes>{tag, 1});
}

Words RandomWords(size_t count) {
  std::mt19937_64 rng(3);
  Words out(count);
  for (uint64_t& x : out) x = rng();
  return out;
}

struct Batch {
  Batch(int m, size_t count)
      : m(m),
        alpha(RandomWords(count)),
        key0(DpfKeyBytes(m, 0, count)),
        key1(DpfKeyBytes(m, 1, count)),
        positive(count) {
    Gen();
  }
  void Gen() {
    DpfGen(m, alpha, prg0, prg1, 0, std::span<uint8_t>(key0),
           std::span<uint8_t>(key1), std::span<uint8_t>(positive));
  }
  DpfKeys View() const { return {1, m, alpha.size(), key1, &prg1, 0}; }

  int m;
  Prg prg0{BenchmarkSeed(0)}, prg1{BenchmarkSeed(1)};
  Words alpha;
  Bytes key0, key1, positive;
};

// Arguments: m, keys. 256 keys stay in the cache, 65536 do not.
void Domains(benchmark::internal::Benchmark* b) {
  for (int m : {6, 9, 12, 16, 39}) b->Args({m, 256});
  b->Args({39, 1})->Args({39, 65536});
}

void BM_DpfGen(benchmark::State& state) {
  Batch batch(state.range(0), state.range(1));
  for (auto _ : state) {
    batch.Gen();
    batch.alpha[0] += batch.key1[0];
  }
  state.SetItemsProcessed(state.iterations() * batch.alpha.size());
}
BENCHMARK(BM_DpfGen)->Apply(Domains);

void BM_DpfEvalPrefix(benchmark::State& state) {
  const Batch batch(state.range(0), state.range(1));
  Words t = RandomWords(batch.alpha.size());
  Bytes out(t.size());
  for (auto _ : state) {
    DpfEvalPrefix(batch.View(), t, out);
    t[0] += out[0];
  }
  state.SetItemsProcessed(state.iterations() * t.size());
}
BENCHMARK(BM_DpfEvalPrefix)->Apply(Domains);

void BM_DpfEvalPoint(benchmark::State& state) {
  const Batch batch(state.range(0), state.range(1));
  Words j = RandomWords(batch.alpha.size());
  Bytes out(j.size());
  for (auto _ : state) {
    DpfEvalPoint(batch.View(), j, out);
    j[0] += out[0];
  }
  state.SetItemsProcessed(state.iterations() * j.size());
}
BENCHMARK(BM_DpfEvalPoint)->Args({39, 256});

// Arguments: m, length, tables (0: bits only), keys.
void BM_DpfWindow(benchmark::State& state) {
  const Batch batch(state.range(0), state.range(3));
  const size_t length = state.range(1), tables = state.range(2);
  const size_t count = batch.alpha.size();
  Words start = RandomWords(count);
  const Words entries = RandomWords(tables * length);
  std::vector<Words> sums;
  std::vector<std::span<const uint64_t>> in;
  std::vector<std::span<uint64_t>> out;
  for (size_t q = 0; q < tables; ++q) {
    sums.emplace_back(count);
    in.push_back(
        std::span<const uint64_t>(entries).subspan(q * length, length));
    out.push_back(sums.back());
  }
  const WindowTables window(in);
  Words bits((length + 63) / 64 * count);
  for (auto _ : state) {
    if (tables == 0) {
      DpfEvalWindow(batch.View(), start, length, bits);
      start[0] += bits[0];
    } else {
      DpfWindowSum(batch.View(), start, window, out);
      start[0] += out[0][0];
    }
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(BM_DpfWindow)
    ->Args({5, 32, 2, 4096})
    ->Args({8, 160, 2, 4096})
    ->Args({9, 512, 1, 4096})
    ->Args({12, 160, 0, 4096})
    ->Args({12, 160, 1, 4096})
    ->Args({12, 160, 2, 4096})
    ->Args({12, 160, 2, 64})
    ->Args({12, 384, 2, 4096})
    ->Args({12, 4096, 1, 256})
    ->Args({16, 2000, 2, 256})
    ->Args({16, 16000, 2, 64});

// Arguments: m, width.
void BM_OneHotGen(benchmark::State& state) {
  const int m = state.range(0), width = state.range(1);
  const Prg prg0(BenchmarkSeed(0)), prg1(BenchmarkSeed(1));
  Words alpha = RandomWords(256);
  Bytes key(OneHotKeyBytes(m, width, alpha.size()));
  for (auto _ : state) {
    OneHotGen(m, width, alpha, prg0, prg1, 0, key);
    alpha[0] += key[0];
  }
  state.SetItemsProcessed(state.iterations() * alpha.size());
}
BENCHMARK(BM_OneHotGen)->Args({17, 64});

// Items are vector entries.
void BM_OneHotEval(benchmark::State& state) {
  const int m = state.range(0), width = state.range(1);
  const Prg prg0(BenchmarkSeed(0)), prg1(BenchmarkSeed(1));
  const Words alpha = RandomWords(1);
  Bytes key(OneHotKeyBytes(m, width, 1));
  OneHotGen(m, width, alpha, prg0, prg1, 0, key);
  Words top = RandomWords(1);
  Words out(size_t{1} << m);
  for (auto _ : state) {
    OneHotEval({0, m, width, 1, key, &prg0, 0}, top, out.size(), out);
    top[0] += out[0];
  }
  state.SetItemsProcessed(state.iterations() * out.size());
}
BENCHMARK(BM_OneHotEval)
    ->Args({5, 32})
    ->Args({9, 64})
    ->Args({15, 32})
    ->Args({17, 32})
    ->Args({17, 64});

}  // namespace
}  // namespace tacit
