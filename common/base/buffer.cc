#include "common/base/buffer.h"

#include <string.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace tacit {

void SecureWipe(void* data, size_t size) {
  if (size != 0) explicit_bzero(data, size);
}

namespace internal {
namespace {

#if defined(__SANITIZE_ADDRESS__)
// Reuse would hide use-after-free from AddressSanitizer.
constexpr size_t kMaxKeptBytes = 0;
#else
constexpr size_t kMaxKeptBytes = size_t{1} << 30;
#endif
constexpr size_t kAlignment = 64;
constexpr size_t kSmallestClass = 12;  // smaller blocks stay with malloc

// Size classes are powers of two split in four: at most 25 % is lost.
struct SizeClass {
  size_t index;
  size_t bytes;
};

SizeClass ClassOf(size_t bytes) {
  const size_t log = std::bit_width(bytes - 1) - 1;  // 2^log < bytes
  const size_t quarter = size_t{1} << (log - 2);
  const size_t steps = (bytes - (size_t{1} << log) + quarter - 1) / quarter;
  return {log * 4 + steps, (size_t{1} << log) + steps * quarter};
}

struct Pool {
  std::mutex mutex;
  std::array<std::vector<void*>, 64 * 4 + 5> free_blocks;
  size_t kept_bytes = 0;
};

// Never destroyed: buffers in static storage may outlive any static pool.
Pool& ThePool() {
  static Pool& pool = *new Pool;
  return pool;
}

}  // namespace

void* AllocateBlock(size_t bytes) {
  if (bytes <= size_t{1} << kSmallestClass) {
    return ::operator new (bytes, std::align_val_t{kAlignment});
  }
  const SizeClass size_class = ClassOf(bytes);
  Pool& pool = ThePool();
  {
    std::lock_guard<std::mutex> lock(pool.mutex);
    std::vector<void*>& blocks = pool.free_blocks[size_class.index];
    if (!blocks.empty()) {
      void* block = blocks.back();
      blocks.pop_back();
      pool.kept_bytes -= size_class.bytes;
      return block;
    }
  }
  return ::operator new (size_class.bytes, std::align_val_t{kAlignment});
}

void FreeBlock(void* block, size_t bytes) {
  SecureWipe(block, bytes);
  if (bytes > size_t{1} << kSmallestClass) {
    const SizeClass size_class = ClassOf(bytes);
    Pool& pool = ThePool();
    std::lock_guard<std::mutex> lock(pool.mutex);
    if (pool.kept_bytes + size_class.bytes <= kMaxKeptBytes) {
      pool.kept_bytes += size_class.bytes;
      pool.free_blocks[size_class.index].push_back(block);
      return;
    }
  }
  ::operator delete (block, std::align_val_t{kAlignment});
}

void ThrowTooLarge() { throw std::bad_alloc(); }

}  // namespace internal
}  // namespace tacit
