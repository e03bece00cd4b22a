// Owned memory for ring elements, shares, masks and keys.
#ifndef TACIT_COMMON_BASE_BUFFER_H_
#define TACIT_COMMON_BASE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace tacit {

// Overwrites [data, data + size) with zeros; never optimised away.
void SecureWipe(void* data, size_t size);

namespace internal {
// Aligned to 64 bytes (a cache line, a 512-bit register). Freed blocks are
// wiped, then kept for reuse up to a bound: fresh pages cost more than most
// kernels here. Thread-safe. AllocateBlock throws std::bad_alloc.
void* AllocateBlock(size_t bytes);
void FreeBlock(void* block, size_t bytes);
}  // namespace internal

// Other memory than this host's, such as a device's. Thread-safe.
class Memory {
 public:
  virtual ~Memory() = default;
  // Wipes and frees a block that this memory has given.
  virtual void Free(void* block, size_t bytes) = 0;
};

// A fixed-size array of T. Contents are uninitialised unless `Zeroed` made it.
// Every buffer may hold a secret, so every buffer is wiped when it goes.
// Moves leave the source empty; copying is explicit (`Clone`).
//
// A buffer of another memory has a size and an address there; its elements are
// out of this host's reach.
template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  Buffer() = default;
  explicit Buffer(size_t size)
      : data_(size == 0 ? nullptr
                        : static_cast<T*>(
                              internal::AllocateBlock(CheckedBytes(size)))),
        size_(size) {}
  // Takes over a block of `memory` that holds `size` elements.
  Buffer(std::shared_ptr<Memory> memory, void* block, size_t size)
      : data_(static_cast<T*>(block)),
        size_(size),
        memory_(std::move(memory)) {}
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        memory_(std::move(other.memory_)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      Reset();
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
      memory_ = std::move(other.memory_);
    }
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Reset(); }

  static Buffer Zeroed(size_t size) {
    Buffer buffer(size);
    for (size_t i = 0; i < size; ++i) buffer.data_[i] = T{};
    return buffer;
  }
  static Buffer Copy(std::span<const T> from) {
    Buffer buffer(from.size());
    for (size_t i = 0; i < from.size(); ++i) buffer.data_[i] = from[i];
    return buffer;
  }
  Buffer Clone() const { return Copy(*this); }

  // Wipes and frees.
  void Reset() {
    if (data_ != nullptr) {
      const size_t bytes = size_ * sizeof(T);
      if (memory_ != nullptr) {
        memory_->Free(data_, bytes);
      } else {
        internal::FreeBlock(data_, bytes);
      }
    }
    data_ = nullptr;
    size_ = 0;
    memory_.reset();
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  // Whether elements may be read and written here.
  bool on_host() const { return memory_ == nullptr; }
  bool empty() const { return size_ == 0; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  static size_t CheckedBytes(size_t size);

  T* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<Memory> memory_;
};

namespace internal {
[[noreturn]] void ThrowTooLarge();
}  // namespace internal

template <typename T>
size_t Buffer<T>::CheckedBytes(size_t size) {
  if (size > (size_t{1} << 48) / sizeof(T)) internal::ThrowTooLarge();
  return size * sizeof(T);
}

// Ring elements: one 64-bit word each, whatever the ring's width.
using Words = Buffer<uint64_t>;
using Bytes = Buffer<uint8_t>;

}  // namespace tacit

#endif  // TACIT_COMMON_BASE_BUFFER_H_
