#include <algorithm>
#include <string>

#include "gpu/base/arena.h"

namespace tacit::gpu {

Result<size_t> ArenaLayout::Allocate(size_t bytes) {
  // `used_` is a multiple of kAlign, or the capacity.
  if (bytes > capacity_ - used_) {
    return Error(Code::kResourceExhausted,
                 std::to_string(bytes) + " bytes asked for, " +
                     std::to_string(used_) + " of the session's " +
                     std::to_string(capacity_) +
                     " bytes of device memory used; plan for a longer context "
                     "or a larger batch");
  }
  const size_t offset = used_;
  const size_t rest = capacity_ - used_ - bytes;
  used_ += bytes + std::min(rest, (kAlign - bytes % kAlign) % kAlign);
  highest_ = std::max(highest_, used_);
  return offset;
}

Result<MemoryBudget::Reservation> MemoryBudget::Reserve(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > budget_ - reserved_) {
    return Error(Code::kResourceExhausted,
                 "a session needs " + std::to_string(bytes) +
                     " bytes of device memory; " + std::to_string(sessions_) +
                     " others have " + std::to_string(reserved_) + " of " +
                     std::to_string(budget_) +
                     "; try again when one has ended");
  }
  reserved_ += bytes;
  ++sessions_;
  return Reservation(this, bytes);
}

size_t MemoryBudget::reserved() const {
  const std::lock_guard lock(mutex_);
  return reserved_;
}

void MemoryBudget::GiveBack(size_t bytes) {
  const std::lock_guard lock(mutex_);
  reserved_ -= bytes;
  --sessions_;
}

}  // namespace tacit::gpu
