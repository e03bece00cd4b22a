// Pinned host memory in slots, through which material and messages go to the
// device and back without the host waiting for each copy.
#ifndef TACIT_GPU_BASE_PINNED_RING_H_
#define TACIT_GPU_BASE_PINNED_RING_H_

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "gpu/base/error.h"
#include "gpu/base/stream.h"

namespace tacit::gpu {

namespace internal {
struct PinnedDeleter {
  void operator()(void* memory) const;
};
}  // namespace internal

// `slots` slots of `slot_bytes` each, used in turn. Not thread-safe. Wiped when
// it goes, after the device is done with it.
class PinnedRing {
 public:
  // RESOURCE_EXHAUSTED with figures if the host does not give that much.
  static Result<PinnedRing> Create(size_t slots, size_t slot_bytes);
  PinnedRing(PinnedRing&&) = default;
  PinnedRing& operator=(PinnedRing&&) = delete;
  ~PinnedRing();

  size_t slot_bytes() const { return slot_bytes_; }

  // The next slot, once the device is done with what was in it: waits for that.
  Result<void*> Next();
  // What was enqueued on `stream` up to now is the last to use the slot that
  // Next returned last.
  Error Done(StreamHandle stream);

 private:
  PinnedRing(void* memory, size_t slot_bytes, std::vector<Event> events)
      : memory_(memory), slot_bytes_(slot_bytes), events_(std::move(events)) {}

  std::unique_ptr<void, internal::PinnedDeleter> memory_;
  size_t slot_bytes_;
  std::vector<Event> events_;  // one for each slot
  size_t current_ = 0;         // that Next returned last
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_PINNED_RING_H_
