// Device memory for a session, taken once and of the size that its plan needs,
// and a budget that sessions on one device share.
#ifndef TACIT_GPU_BASE_ARENA_H_
#define TACIT_GPU_BASE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "gpu/base/error.h"
#include "gpu/base/memory.h"

namespace tacit::gpu {

// Offsets in a block of `capacity` bytes, one after the other. Not thread-safe.
class ArenaLayout {
 public:
  static constexpr size_t kAlign = 256;

  explicit ArenaLayout(size_t capacity) : capacity_(capacity) {}

  // The offset of `bytes` bytes, a multiple of kAlign. RESOURCE_EXHAUSTED with
  // what was asked for, what is used and what there is, if they do not fit.
  Result<size_t> Allocate(size_t bytes);

  // Everything allocated after `mark`, an earlier used(), is free again.
  void Release(size_t mark) { used_ = mark; }

  size_t used() const { return used_; }
  size_t capacity() const { return capacity_; }
  size_t highest() const { return highest_; }  // used() at its highest

 private:
  size_t capacity_;
  size_t used_ = 0;
  size_t highest_ = 0;
};

// Memory of one session. Not thread-safe; its memory belongs to the device that
// was the calling thread's when it was made. Wiped when it goes.
class Arena {
 public:
  // RESOURCE_EXHAUSTED, with figures, if the device has too little.
  static Result<Arena> Create(size_t capacity);

  // Room for `count` values. Contents are not initialised.
  template <typename T>
  Result<T*> Allocate(size_t count) {
    const size_t bytes =
        count <= SIZE_MAX / sizeof(T) ? count * sizeof(T) : SIZE_MAX;
    TACIT_GPU_ASSIGN_OR_RETURN(const size_t offset, layout_.Allocate(bytes));
    return reinterpret_cast<T*>(static_cast<char*>(memory_.data()) + offset);
  }

  size_t mark() const { return layout_.used(); }
  // Frees what was allocated after `mark`, for work that `stream` orders after
  // what used it, and wipes it there.
  Error Release(size_t mark, StreamHandle stream);

  size_t capacity() const { return layout_.capacity(); }
  size_t highest() const { return layout_.highest(); }

 private:
  Arena(DeviceMemory memory, size_t capacity)
      : memory_(std::move(memory)), layout_(capacity) {}

  DeviceMemory memory_;
  ArenaLayout layout_;
};

// What sessions on a device may take together. Thread-safe; outlives what it
// gave.
class MemoryBudget {
 public:
  explicit MemoryBudget(size_t bytes) : budget_(bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // A part of the budget, given back when it goes.
  class Reservation {
   public:
    Reservation(MemoryBudget* budget, size_t bytes)
        : budget_(budget), bytes_(bytes) {}
    Reservation(Reservation&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)),
          bytes_(other.bytes_) {}
    Reservation& operator=(Reservation&&) = delete;
    ~Reservation() {
      if (budget_ != nullptr) budget_->GiveBack(bytes_);
    }
    size_t bytes() const { return bytes_; }

   private:
    MemoryBudget* budget_;
    size_t bytes_;
  };

  // RESOURCE_EXHAUSTED with what was asked for, what others have, and the
  // budget.
  Result<Reservation> Reserve(size_t bytes);
  size_t reserved() const;

 private:
  void GiveBack(size_t bytes);

  const size_t budget_;
  mutable std::mutex mutex_;
  size_t reserved_ = 0;  // guarded by mutex_
  int sessions_ = 0;     // guarded by mutex_
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_ARENA_H_
