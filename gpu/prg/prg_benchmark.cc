// AES and PRG expansion on the device, for every variant. `items` are AES
// calls.
#include <cstdint>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "gpu/base/memory.h"
#include "gpu/check/check.h"
#include "gpu/check/device_benchmark.h"
#include "gpu/prg/expand.h"

namespace tacit::gpu {
namespace {

constexpr int64_t kLastVariant = static_cast<int64_t>(AesVariant::kPlanes8);

struct Stream128 {
  DeviceArray<PrgKey> keys;
  DeviceArray<uint64_t> words;

  static Result<Stream128> Create(size_t n) {
    std::mt19937_64 rng(1);
    std::vector<PrgKey> keys(2);
    for (PrgKey& key : keys) {
      ExpandPrgKey(RandomValues<uint8_t>(32, rng).data(), key);
    }
    TACIT_GPU_ASSIGN_OR_RETURN(auto on_device, DeviceArray<PrgKey>::Copy(keys));
    TACIT_GPU_ASSIGN_OR_RETURN(auto words, DeviceArray<uint64_t>::Create(n));
    return Stream128{std::move(on_device), std::move(words)};
  }
};

// What a party's masks, and with two keys the dealer's, cost.
void Words(benchmark::State& state, int keys) {
  const AesVariant variant = static_cast<AesVariant>(state.range(0));
  const size_t n = static_cast<size_t>(state.range(1));
  state.SetLabel(AesVariantName(variant));
  Result<Stream128> stream = Stream128::Create(n);
  if (!stream.ok()) {
    state.SkipWithError(stream.error().message().c_str());
    return;
  }
  const PrgKey* key = stream->keys.data();
  const ExpandWordsArgs args{
      key,     keys == 2 ? key + 1 : nullptr, OneRecord(n, 0), Combine::kStore,
      nullptr, stream->words.data()};
  RunOnDevice(
      state, {.bytes = 8.0 * n, .items = keys * n / 2.0},
      [&](StreamHandle handle) { return ExpandWords(variant, args, handle); });
}
void BM_Words(benchmark::State& state) { Words(state, 1); }
void BM_WordsOfTwoStreams(benchmark::State& state) { Words(state, 2); }

void BM_Bits(benchmark::State& state) {
  const AesVariant variant = static_cast<AesVariant>(state.range(0));
  const size_t n = static_cast<size_t>(state.range(1));
  state.SetLabel(AesVariantName(variant));
  Result<Stream128> stream = Stream128::Create(n / 8);
  if (!stream.ok()) {
    state.SkipWithError(stream.error().message().c_str());
    return;
  }
  const ExpandBitsArgs args{stream->keys.data(), nullptr, OneRecord(n, 0),
                            nullptr,
                            reinterpret_cast<uint8_t*>(stream->words.data())};
  RunOnDevice(
      state, {.bytes = 1.0 * n, .items = n / 128.0},
      [&](StreamHandle handle) { return ExpandBits(variant, args, handle); });
}

void AllVariants(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"variant", "n"})
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
  for (int64_t variant = 0; variant <= kLastVariant; ++variant) {
    for (int64_t n : {1 << 16, 1 << 26}) benchmark->Args({variant, n});
  }
}
BENCHMARK(BM_Words)->Apply(AllVariants);
BENCHMARK(BM_WordsOfTwoStreams)->Apply(AllVariants);
BENCHMARK(BM_Bits)->Apply(AllVariants);

}  // namespace
}  // namespace tacit::gpu
