// Google Benchmark over work on the device, timed by events there.
#ifndef TACIT_GPU_CHECK_DEVICE_BENCHMARK_H_
#define TACIT_GPU_CHECK_DEVICE_BENCHMARK_H_

#include <functional>
#include <string>

#include "benchmark/benchmark.h"
#include "gpu/base/device.h"
#include "gpu/base/stream.h"

namespace tacit::gpu {

// What one call of the work does, at least; 0 where it says nothing.
struct Work {
  double bytes = 0;       // read and written in device memory
  double operations = 0;  // int8 multiplications and additions
  double items = 0;       // whatever the benchmark counts: keys, blocks
};

namespace internal {

inline constexpr int kCallsTimedTogether = 8;

// Seconds of one call.
inline Result<double> TimeCalls(
    Stream& stream, const std::function<Error(StreamHandle)>& enqueue) {
  TACIT_GPU_ASSIGN_OR_RETURN(Event begin, Event::Create(/*timed=*/true));
  TACIT_GPU_ASSIGN_OR_RETURN(Event end, Event::Create(/*timed=*/true));
  TACIT_GPU_RETURN_IF_ERROR(begin.Record(stream.handle()));
  for (int i = 0; i < kCallsTimedTogether; ++i) {
    TACIT_GPU_RETURN_IF_ERROR(enqueue(stream.handle()));
  }
  TACIT_GPU_RETURN_IF_ERROR(end.Record(stream.handle()));
  TACIT_GPU_RETURN_IF_ERROR(stream.Synchronize());
  TACIT_GPU_ASSIGN_OR_RETURN(const double milliseconds,
                             Event::MillisecondsBetween(begin, end));
  return milliseconds * 1e-3 / kCallsTimedTogether;
}

inline Error Loop(benchmark::State& state,
                  const std::function<Error(StreamHandle)>& enqueue) {
  TACIT_GPU_ASSIGN_OR_RETURN(Stream stream, Stream::Create());
  // Loads the kernels and lets a library choose, outside of the figures.
  TACIT_GPU_RETURN_IF_ERROR(enqueue(stream.handle()));
  TACIT_GPU_RETURN_IF_ERROR(stream.Synchronize());
  for (auto _ : state) {
    TACIT_GPU_ASSIGN_OR_RETURN(const double seconds,
                               TimeCalls(stream, enqueue));
    state.SetIterationTime(seconds);
  }
  return {};
}

inline void SetCounters(benchmark::State& state, const Work& work,
                        const DeviceInfo& device) {
  using benchmark::Counter;
  // Rates are by the time that was set, which is that of one call.
  const auto rate = [](double value) {
    return Counter(value, Counter::kIsIterationInvariantRate);
  };
  if (work.bytes > 0) {
    state.counters["bytes"] = rate(work.bytes);
    state.counters["of_bandwidth"] =
        rate(work.bytes / device.MemoryBytesPerSecond());
  }
  if (work.operations > 0) {
    state.counters["int8_ops"] = rate(work.operations);
    state.counters["of_int8_peak"] =
        rate(work.operations / device.Int8OperationsPerSecond());
  }
  if (work.items > 0) state.counters["items"] = rate(work.items);
}

}  // namespace internal

// Runs `enqueue`, which enqueues one call's work on the stream it is given,
// under `state`, which must use manual time (Benchmark::UseManualTime).
// Counters: bytes, int8_ops and items in a second, and the first two as shares
// of what the device's clocks and units allow at most. An error ends the
// benchmark with its message.
inline void RunOnDevice(benchmark::State& state, const Work& work,
                        const std::function<Error(StreamHandle)>& enqueue) {
  Result<DeviceInfo> device = QueryDevice(0);
  const Error error =
      device.ok() ? internal::Loop(state, enqueue) : device.error();
  if (!error.ok()) {
    state.SkipWithError(error.message().c_str());
    return;
  }
  internal::SetCounters(state, work, *device);
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_CHECK_DEVICE_BENCHMARK_H_
