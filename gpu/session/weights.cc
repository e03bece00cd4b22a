#include "gpu/session/weights.h"

#include "gpu/elementwise/ring_ops-inl.h"

namespace tacit::gpu {
namespace {

// Digits that hold all entries, if that is fewer than the ring has: the
// dealer's weights, which are small integers, and not shares, which are of any
// size.
int DigitsOf(const Words& entries, int width) {
  int digits = 2;
  for (uint64_t word : entries) {
    const int64_t v = static_cast<int64_t>(word);
    // A share ends the search at once.
    while (v < LeastOf(digits) || v > GreatestOf(digits)) {
      if (++digits > 3) return 0;
    }
  }
  return digits < LimbsOf(width) ? digits : 0;
}

}  // namespace

Weights::~Weights() {
  (void)kernels_->Wait();
  for (const auto& [key, one] : resident_) {
    kernels_->Free(one.memory, one.bytes);
  }
}

const Weights::Resident* Weights::Find(const Key& key) {
  for (auto it = resident_.begin(); it != resident_.end();) {
    if (it->second.owner.expired()) {
      // Sessions may still have to read it. An error shows in their own work.
      (void)kernels_->Wait();
      kernels_->Free(it->second.memory, it->second.bytes);
      it = resident_.erase(it);
    } else {
      ++it;
    }
  }
  const auto it = resident_.find(key);
  return it == resident_.end() ? nullptr : &it->second;
}

Error Weights::Load(const StaticMatrix& w, const Words& entries, int width,
                    Resident& out) {
  const size_t bytes = entries.size() * sizeof(uint64_t);
  TACIT_GPU_ASSIGN_OR_RETURN(void* const words, kernels_->Allocate(bytes));
  Error error = kernels_->ToDevice(words, entries.data(), bytes);
  if (width == 0) {
    out.memory = words;
    out.bytes = bytes;
  } else {
    out.digits = DigitsOf(entries, width);
    const LimbShape shape{w.n, w.k, width, Operand::kRight, out.digits};
    Result<void*> planes =
        error.ok() ? kernels_->Allocate(shape.bytes()) : Result<void*>(error);
    if (planes.ok()) {
      out.memory = *planes;
      out.bytes = shape.bytes();
      error = kernels_->PackLimbs(shape,
                                  {.words = static_cast<const uint64_t*>(words),
                                   .ld = w.ld(),
                                   .layout = w.layout},
                                  static_cast<int8_t*>(out.memory));
    } else {
      error = planes.error();
    }
    kernels_->Free(words, bytes);
  }
  // Other streams read it from now on.
  if (error.ok()) error = kernels_->Wait();
  if (!error.ok() && out.memory != nullptr) {
    kernels_->Free(out.memory, out.bytes);
  }
  return error;
}

Result<const Weights::Resident*> Weights::Get(const StaticMatrix& w,
                                              const WordsRef& entries,
                                              int width) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Key key{entries.get(), width};
  const Resident* found = Find(key);
  if (found == nullptr) {
    Resident loaded{entries};
    TACIT_GPU_RETURN_IF_ERROR(Load(w, *entries, width, loaded));
    found = &resident_.emplace(key, std::move(loaded)).first->second;
  }
  return found;
}

Result<Weights::Planes> Weights::PlanesOf(const StaticMatrix& w,
                                          const WordsRef& entries, int width) {
  TACIT_GPU_ASSIGN_OR_RETURN(const Resident* const one, Get(w, entries, width));
  return Planes{static_cast<const int8_t*>(one->memory), one->digits};
}

Result<const uint64_t*> Weights::WordsOf(const WordsRef& entries) {
  TACIT_GPU_ASSIGN_OR_RETURN(const Resident* const one, Get({}, entries, 0));
  return static_cast<const uint64_t*>(one->memory);
}

}  // namespace tacit::gpu
