// Keys made and evaluated on the device. `items` are keys in a second; a
// comparison of 40 bits has a domain of 39.
#include <cstdint>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "gpu/base/memory.h"
#include "gpu/check/check.h"
#include "gpu/check/device_benchmark.h"
#include "gpu/fss/dpf.h"
#include "gpu/fss/half_tree-inl.h"
#include "gpu/fss/one_hot-inl.h"
#include "gpu/fss/one_hot.h"

namespace tacit::gpu {
namespace {

constexpr size_t kRecord = 1024;  // keys of a record, as most gates have

// n keys in records without gaps, made on the device.
struct Keys {
  DeviceArray<PrgKey> streams;
  DeviceArray<uint64_t> alpha;
  DeviceArray<uint8_t> material0, material1, positive;
  DpfGenArgs args;

  static Result<Keys> Create(int m, size_t n) {
    std::mt19937_64 rng(1);
    std::vector<PrgKey> streams(2);
    for (PrgKey& key : streams) {
      ExpandPrgKey(RandomValues<uint8_t>(32, rng).data(), key);
    }
    const size_t bytes = KeyBytes(m);
    TACIT_GPU_ASSIGN_OR_RETURN(auto keys, DeviceArray<PrgKey>::Copy(streams));
    TACIT_GPU_ASSIGN_OR_RETURN(auto alpha, DeviceArray<uint64_t>::Copy(
                                               RandomValues<uint64_t>(n, rng)));
    TACIT_GPU_ASSIGN_OR_RETURN(auto material0,
                               DeviceArray<uint8_t>::Create(n * bytes));
    TACIT_GPU_ASSIGN_OR_RETURN(auto material1,
                               DeviceArray<uint8_t>::Create(n * bytes));
    TACIT_GPU_ASSIGN_OR_RETURN(auto positive, DeviceArray<uint8_t>::Create(n));
    DpfGenArgs args;
    args.m = m;
    args.alpha.words = alpha.data();
    args.positive = positive.data();
    args.material[0] = material0.data();
    args.material[1] = material1.data();
    for (int b = 0; b < 2; ++b) {
      args.key[b] = keys.data() + b;
      args.field[b] = Records(n, bytes);
    }
    TACIT_GPU_RETURN_IF_ERROR(DpfGen(DefaultAesVariant(n), args, nullptr));
    TACIT_GPU_RETURN_IF_ERROR(Synchronize(nullptr));
    return Keys{std::move(keys),      std::move(alpha),    std::move(material0),
                std::move(material1), std::move(positive), args};
  }

  static size_t KeyBytes(int m) {
    return DpfIsDirect(m) ? DirectBytes(m) : 16 * (DpfLevels(m) + 1);
  }
  static FieldLayout Records(size_t n, size_t key_bytes) {
    FieldLayout field = OneRecord(n, 0);
    if (n <= kRecord) return field;
    const uint64_t last = (n - 1) / kRecord;
    field.block = kRecord;
    field.stream_step = kRecord;
    field.stream_last = last * kRecord;
    field.bytes_step = kRecord * key_bytes;
    field.bytes_last = last * field.bytes_step;
    return field;
  }
  DpfBatch Batch(int party) const {
    return {party, args.m, args.field[party], args.material[party],
            args.key[party]};
  }
};

// Runs `enqueue(keys, stream)` on range(2) keys of range(1) bits.
template <class Enqueue>
void RunKeys(benchmark::State& state, double bytes_each,
             const Enqueue& enqueue) {
  const AesVariant variant = static_cast<AesVariant>(state.range(0));
  const size_t n = static_cast<size_t>(state.range(2));
  state.SetLabel(AesVariantName(variant));
  Result<Keys> keys = Keys::Create(static_cast<int>(state.range(1)), n);
  if (!keys.ok()) {
    state.SkipWithError(keys.error().message().c_str());
    return;
  }
  RunOnDevice(
      state,
      {.bytes = bytes_each * static_cast<double>(n),
       .items = static_cast<double>(n)},
      [&](StreamHandle stream) { return enqueue(variant, *keys, stream); });
}

double KeyBytes(const benchmark::State& state) {
  return static_cast<double>(Keys::KeyBytes(static_cast<int>(state.range(1))));
}

void BM_Gen(benchmark::State& state) {
  RunKeys(state, 2 * KeyBytes(state) + 9,
          [](AesVariant variant, const Keys& keys, StreamHandle stream) {
            return DpfGen(variant, keys.args, stream);
          });
}

// Prefix parities: comparisons.
void BM_Compare(benchmark::State& state) {
  RunKeys(state, KeyBytes(state) + 9,
          [](AesVariant variant, const Keys& keys, StreamHandle stream) {
            DpfPathArgs args;
            args.keys = keys.Batch(1);
            args.points.words = keys.alpha.data();
            args.out = keys.positive.data();
            return DpfEvalPath(variant, args, stream);
          });
}

// Two tables of range(3) entries, interpolated: an activation.
void BM_Interpolated(benchmark::State& state) {
  const uint64_t length = static_cast<uint64_t>(state.range(3));
  const size_t n = static_cast<size_t>(state.range(2));
  std::mt19937_64 rng(2);
  Result<DeviceArray<uint64_t>> tables =
      DeviceArray<uint64_t>::Copy(RandomValues<uint64_t>(2 * length, rng));
  Result<DeviceArray<uint64_t>> out = DeviceArray<uint64_t>::Create(2 * n);
  if (!tables.ok() || !out.ok()) {
    state.SkipWithError("no memory on a device for tables and outputs");
    return;
  }
  RunKeys(state, KeyBytes(state) + 24,
          [&](AesVariant variant, const Keys& keys, StreamHandle stream) {
            DpfWindowArgs args;
            args.keys = keys.Batch(1);
            args.start.words = keys.alpha.data();
            args.length = length;
            args.table_count = 2;
            args.interpolate = true;
            args.step_bits = 8;
            args.tables[0] = tables->data();
            args.tables[1] = tables->data() + length;
            args.out[0] = out->data();
            args.out[1] = out->data() + n;
            return DpfWindowSum(variant, args, stream);
          });
}

// range(2) vectors of 2^range(1) entries of 40 bits: rows of an embedding.
void BM_OneHot(benchmark::State& state) {
  const AesVariant variant = static_cast<AesVariant>(state.range(0));
  const int m = static_cast<int>(state.range(1)), width = 40;
  const size_t n = static_cast<size_t>(state.range(2)), size = size_t{1} << m;
  state.SetLabel(AesVariantName(variant));
  Result<Keys> keys = Keys::Create(40, n);  // for streams and points
  const size_t bytes = 16 * (OneHotLevels(m, width) + 1) * n;
  std::mt19937_64 rng(3);
  Result<DeviceArray<uint8_t>> material =
      DeviceArray<uint8_t>::Copy(RandomValues<uint8_t>(bytes, rng));
  Result<DeviceArray<uint64_t>> out = DeviceArray<uint64_t>::Create(n * size);
  if (!keys.ok() || !material.ok() || !out.ok()) {
    state.SkipWithError("no memory on a device for keys and vectors");
    return;
  }
  const OneHotEvalArgs args{1,
                            m,
                            width,
                            OneRecord(n, 0),
                            material->data(),
                            keys->streams.data(),
                            {keys->alpha.data()},
                            size,
                            out->data()};
  RunOnDevice(
      state, {.bytes = 8.0 * n * size, .items = static_cast<double>(n)},
      [&](StreamHandle stream) { return OneHotEval(variant, args, stream); });
}

// For every variant of AES; `more` are the benchmark's own arguments.
void ForVariants(benchmark::internal::Benchmark* benchmark,
                 const std::vector<std::vector<int64_t>>& more) {
  benchmark->UseManualTime()->Unit(benchmark::kMicrosecond);
  for (AesVariant variant : kAesVariants) {
    for (std::vector<int64_t> args : more) {
      args.insert(args.begin(), static_cast<int64_t>(variant));
      benchmark->Args(args);
    }
  }
}

BENCHMARK(BM_Gen)
    ->ArgNames({"variant", "m", "keys"})
    ->Apply([](benchmark::internal::Benchmark* b) {
      ForVariants(b, {{9, 1 << 20}, {14, 1 << 20}, {39, 1 << 20}});
    });
BENCHMARK(BM_Compare)
    ->ArgNames({"variant", "m", "keys"})
    ->Apply([](benchmark::internal::Benchmark* b) {
      ForVariants(b, {{9, 1 << 20}, {39, 1 << 12}, {39, 1 << 20}});
    });
BENCHMARK(BM_Interpolated)
    ->ArgNames({"variant", "m", "keys", "length"})
    ->Apply([](benchmark::internal::Benchmark* b) {
      ForVariants(b,
                  {{9, 1 << 20, 400}, {14, 1 << 20, 400}, {14, 1 << 18, 2000}});
    });
BENCHMARK(BM_OneHot)
    ->ArgNames({"variant", "m", "keys"})
    ->Apply([](benchmark::internal::Benchmark* b) {
      ForVariants(b, {{15, 128}});
    });

}  // namespace
}  // namespace tacit::gpu
