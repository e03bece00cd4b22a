#include <cstdint>
#include <cstring>

#include "gpu/base/arena.h"
#include "gpu/base/device.h"
#include "gpu/base/pinned_ring.h"
#include "gpu/base/stream.h"
#include "gpu/check/check.h"

namespace tacit::gpu {
namespace {

TACIT_GPU_SMALL_CHECK(Base, DeviceIsHealthy) { return CheckHealth(0); }

TACIT_GPU_CHECK(Base, CopiesThereAndBack) {
  std::mt19937_64 rng(1);
  for (size_t size : {0, 1, 1000, 1 << 20}) {
    const auto values = RandomValues<uint64_t>(size, rng);
    TACIT_GPU_ASSIGN_OR_RETURN(auto array, DeviceArray<uint64_t>::Copy(values));
    TACIT_GPU_ASSIGN_OR_RETURN(const auto read, array.ToHost());
    TACIT_GPU_RETURN_IF_ERROR(
        ExpectEqual("size " + std::to_string(size), read, values));
  }
  return {};
}

// The size is more than any device has: an error with figures, and the device
// works on.
TACIT_GPU_CHECK(Base, TooLittleMemoryIsAnErrorWithFigures) {
  const auto memory = DeviceMemory::Create(size_t{1} << 50);
  if (memory.ok() || memory.error().code() != Code::kResourceExhausted) {
    return Error(
        Code::kInternal,
        "2^50 bytes: " + (memory.ok() ? "given" : memory.error().message()));
  }
  return CheckHealth(0);
}

// Many buffers through few slots, which are reused while copies are under way.
TACIT_GPU_CHECK(Base, PinnedRingDeliversEveryBuffer) {
  constexpr size_t kBuffers = 64, kWords = 100'000;
  std::mt19937_64 rng(2);
  const auto values = RandomValues<uint64_t>(kBuffers * kWords, rng);
  TACIT_GPU_ASSIGN_OR_RETURN(PinnedRing ring,
                             PinnedRing::Create(3, kWords * sizeof(uint64_t)));
  TACIT_GPU_ASSIGN_OR_RETURN(Stream stream, Stream::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(auto array,
                             DeviceArray<uint64_t>::Create(values.size()));
  for (size_t i = 0; i < kBuffers; ++i) {
    TACIT_GPU_ASSIGN_OR_RETURN(void* const slot, ring.Next());
    std::memcpy(slot, values.data() + i * kWords, ring.slot_bytes());
    TACIT_GPU_RETURN_IF_ERROR(CopyToDevice(array.data() + i * kWords, slot,
                                           ring.slot_bytes(), stream.handle()));
    TACIT_GPU_RETURN_IF_ERROR(ring.Done(stream.handle()));
  }
  TACIT_GPU_RETURN_IF_ERROR(stream.Synchronize());
  TACIT_GPU_ASSIGN_OR_RETURN(const auto read, array.ToHost());
  return ExpectEqual("64 buffers", read, values);
}

TACIT_GPU_SMALL_CHECK(Base, ArenaWipesWhatItFrees) {
  TACIT_GPU_ASSIGN_OR_RETURN(Arena arena, Arena::Create(1 << 20));
  const size_t mark = arena.mark();
  TACIT_GPU_ASSIGN_OR_RETURN(uint64_t* const words,
                             arena.Allocate<uint64_t>(1000));
  std::mt19937_64 rng(3);
  const auto values = RandomValues<uint64_t>(1000, rng);
  TACIT_GPU_RETURN_IF_ERROR(CopyToDevice(words, values.data(), 8000, nullptr));
  TACIT_GPU_RETURN_IF_ERROR(arena.Release(mark, nullptr));
  std::vector<uint64_t> read(1000, 1);
  TACIT_GPU_RETURN_IF_ERROR(CopyToHost(read.data(), words, 8000, nullptr));
  TACIT_GPU_RETURN_IF_ERROR(Synchronize(nullptr));
  return ExpectEqual("after release", read, std::vector<uint64_t>(1000));
}

// One stream waits for what another has enqueued.
TACIT_GPU_CHECK(Base, EventsOrderStreams) {
  TACIT_GPU_ASSIGN_OR_RETURN(SessionStreams streams, SessionStreams::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(Event copied, Event::Create());
  std::mt19937_64 rng(4);
  const auto values = RandomValues<uint64_t>(1 << 22, rng);
  const size_t bytes = values.size() * sizeof(uint64_t);
  TACIT_GPU_ASSIGN_OR_RETURN(const auto from,
                             DeviceArray<uint64_t>::Copy(values));
  TACIT_GPU_ASSIGN_OR_RETURN(auto middle,
                             DeviceArray<uint64_t>::Create(values.size()));
  TACIT_GPU_ASSIGN_OR_RETURN(auto to,
                             DeviceArray<uint64_t>::Create(values.size()));
  TACIT_GPU_RETURN_IF_ERROR(
      CopyOnDevice(middle.data(), from.data(), bytes, streams.copy.handle()));
  TACIT_GPU_RETURN_IF_ERROR(copied.Record(streams.copy.handle()));
  TACIT_GPU_RETURN_IF_ERROR(streams.compute.Wait(copied));
  TACIT_GPU_RETURN_IF_ERROR(
      CopyOnDevice(to.data(), middle.data(), bytes, streams.compute.handle()));
  TACIT_GPU_RETURN_IF_ERROR(streams.compute.Synchronize());
  TACIT_GPU_ASSIGN_OR_RETURN(const auto read, to.ToHost());
  return ExpectEqual("copied twice", read, values);
}

// What fails while it is captured is reported, and the stream works on.
TACIT_GPU_CHECK(Base, CaptureThatFailsLeavesTheStreamUsable) {
  TACIT_GPU_ASSIGN_OR_RETURN(Stream stream, Stream::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(auto words,
                             DeviceArray<uint64_t>::Copy({1, 2, 3}));
  const auto graph = Graph::Capture(stream, [&] {
    TACIT_GPU_RETURN_IF_ERROR(Wipe(words.data(), 24, stream.handle()));
    return Error(Code::kFailedPrecondition, "stop");
  });
  if (graph.ok() || graph.error().code() != Code::kFailedPrecondition) {
    return Error(Code::kInternal,
                 "the capture says: " + graph.error().message());
  }
  TACIT_GPU_ASSIGN_OR_RETURN(const auto kept, words.ToHost());
  TACIT_GPU_RETURN_IF_ERROR(
      ExpectEqual("captured, not run", kept, std::vector<uint64_t>{1, 2, 3}));
  TACIT_GPU_RETURN_IF_ERROR(Wipe(words.data(), 24, stream.handle()));
  TACIT_GPU_RETURN_IF_ERROR(stream.Synchronize());
  TACIT_GPU_ASSIGN_OR_RETURN(const auto wiped, words.ToHost());
  return ExpectEqual("run", wiped, std::vector<uint64_t>(3));
}

}  // namespace
}  // namespace tacit::gpu
