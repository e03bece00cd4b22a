#include <string.h>

#include <cstdint>
#include <string>

#include "gpu/base/launch.cuh"
#include "gpu/base/pinned_ring.h"

namespace tacit::gpu {

void internal::PinnedDeleter::operator()(void* memory) const {
  (void)cudaFreeHost(memory);
}

Result<PinnedRing> PinnedRing::Create(size_t slots, size_t slot_bytes) {
  if (slots == 0 || slot_bytes == 0 || slot_bytes > SIZE_MAX / slots) {
    return Error(Code::kInvalidArgument,
                 "pinned ring of " + std::to_string(slots) + " slots of " +
                     std::to_string(slot_bytes) + " bytes");
  }
  std::vector<Event> events;
  for (size_t i = 0; i < slots; ++i) {
    TACIT_GPU_ASSIGN_OR_RETURN(Event event, Event::Create());
    events.push_back(std::move(event));
  }
  void* memory = nullptr;
  TACIT_RETURN_IF_CUDA_ERROR(
      cudaHostAlloc(&memory, slots * slot_bytes, cudaHostAllocDefault),
      std::to_string(slots * slot_bytes) + " bytes of pinned host memory");
  return PinnedRing(memory, slot_bytes, std::move(events));
}

PinnedRing::~PinnedRing() {
  if (memory_ == nullptr) return;
  for (const Event& event : events_) (void)event.Synchronize();
  explicit_bzero(memory_.get(), events_.size() * slot_bytes_);
}

Result<void*> PinnedRing::Next() {
  current_ = (current_ + 1) % events_.size();
  TACIT_GPU_RETURN_IF_ERROR(events_[current_].Synchronize());
  return static_cast<void*>(static_cast<char*>(memory_.get()) +
                            current_ * slot_bytes_);
}

Error PinnedRing::Done(StreamHandle stream) {
  return events_[current_].Record(stream);
}

}  // namespace tacit::gpu
