// The kernels with every thread run on this host, in memory that nobody else
// may touch: what tests of sessions run without a device. Test code only.
#ifndef TACIT_GPU_SESSION_HOST_KERNELS_H_
#define TACIT_GPU_SESSION_HOST_KERNELS_H_

#include <map>
#include <memory>
#include <mutex>

#include "gpu/session/kernels.h"

namespace tacit::gpu {

// A device's memory: no page of it can be read or written but while a kernel or
// a copy runs, so that host code that looks inside dies of it. Freed blocks are
// checked for writes beyond their ends. Thread-safe.
class HostArena {
 public:
  explicit HostArena(size_t capacity);
  ~HostArena();
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;

  // RESOURCE_EXHAUSTED with figures.
  Result<void*> Allocate(size_t bytes);
  void Free(void* block, size_t bytes);
  size_t used() const;

  // The memory's contents are within reach while one of these is there.
  class Access {
   public:
    explicit Access(HostArena& arena) : arena_(arena) { arena_.Open(); }
    ~Access() { arena_.Close(); }

   private:
    HostArena& arena_;
  };

 private:
  void Open();
  void Close();

  const size_t capacity_;
  uint8_t* base_ = nullptr;
  mutable std::mutex mutex_;
  int open_ = 0;                   // guarded by mutex_
  size_t used_ = 0;                // likewise
  std::map<size_t, size_t> free_;  // likewise: offset to bytes
};

// `arena` is shared by a device's sessions and weights.
std::shared_ptr<Kernels> MakeHostKernels(std::shared_ptr<HostArena> arena);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_HOST_KERNELS_H_
