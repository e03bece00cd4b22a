#include <array>
#include <cstddef>

#include "absl/status/statusor.h"
#include "benchmark/benchmark.h"
#include "common/base/buffer.h"
#include "common/prg/prg.h"

namespace tacit {
namespace {

Seed BenchmarkSeed() { return Seed(std::array<uint8_t, Seed::kBytes>{1, 2}); }

void BM_Fill(benchmark::State& state) {
  const Prg prg(BenchmarkSeed());
  Words out(state.range(0));
  uint64_t position = 0;
  for (auto _ : state) {
    prg.Fill(position, std::span<uint64_t>(out));
    position += 1 + (out[0] & 1);  // the next call waits for this one
  }
  state.SetBytesProcessed(state.iterations() * out.size() * sizeof(uint64_t));
}
BENCHMARK(BM_Fill)->Arg(1)->Arg(2)->Arg(16)->Arg(128)->Arg(4096)->Arg(1 << 20);

void BM_AddTo(benchmark::State& state) {
  const Prg prg(BenchmarkSeed());
  Words out = Words::Zeroed(state.range(0));
  for (auto _ : state) {
    prg.AddTo(out[0] & 1, out);
  }
  state.SetBytesProcessed(state.iterations() * out.size() * sizeof(uint64_t));
}
BENCHMARK(BM_AddTo)->Arg(128)->Arg(4096)->Arg(1 << 20);

void BM_FillBits(benchmark::State& state) {
  const Prg prg(BenchmarkSeed());
  Bytes out(state.range(0));
  uint64_t position = 0;
  for (auto _ : state) {
    prg.FillBits(position, out);
    position += 1 + out[0];
  }
  state.SetItemsProcessed(state.iterations() * out.size());
}
BENCHMARK(BM_FillBits)->Arg(128)->Arg(8192)->Arg(1 << 20);

void BM_ExpandKey(benchmark::State& state) {
  std::array<uint8_t, Seed::kBytes> bytes = {};
  uint64_t word = 0;
  for (auto _ : state) {
    bytes[0] = word;
    const Prg prg((Seed(bytes)));
    prg.Fill(0, std::span<uint64_t>(&word, 1));
  }
  benchmark::DoNotOptimize(word);
}
BENCHMARK(BM_ExpandKey);

void BM_DeriveSeed(benchmark::State& state) {
  Seed seed = BenchmarkSeed();
  for (auto _ : state) {
    absl::StatusOr<Seed> next = DeriveSeed(seed, "benchmark");
    if (!next.ok()) return state.SkipWithError("DeriveSeed failed");
    seed = *next;
  }
}
BENCHMARK(BM_DeriveSeed);

}  // namespace
}  // namespace tacit
