// Static matrices on the device, shared by its sessions.
#ifndef TACIT_GPU_SESSION_WEIGHTS_H_
#define TACIT_GPU_SESSION_WEIGHTS_H_

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "common/gates/values.h"
#include "gpu/session/kernels.h"

namespace tacit::gpu {

// A matrix is brought to the device when it is first asked for and stays while
// the host's copy of it, from which it is known, does. SECRET. Thread-safe.
class Weights {
 public:
  // `kernels` are of the sessions' device.
  explicit Weights(std::shared_ptr<Kernels> kernels)
      : kernels_(std::move(kernels)) {}
  ~Weights();
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  // The right operand of products modulo 2^width: limb planes, with as many
  // digits as the entries need if they are small integers.
  struct Planes {
    const int8_t* limbs = nullptr;
    int digits = 0;  // RingProduct::b_digits
  };
  Result<Planes> PlanesOf(const StaticMatrix& w, const WordsRef& entries,
                          int width);
  // The words as they are, for matrices that are added, or multiply by
  // elements.
  Result<const uint64_t*> WordsOf(const WordsRef& entries);

 private:
  struct Resident {
    std::weak_ptr<const Words> owner;
    void* memory = nullptr;
    size_t bytes = 0;
    int digits = 0;
  };
  // By buffer and width; width 0: the words as they are.
  using Key = std::pair<const Words*, int>;

  // The entry if there is one that belongs to `entries`. Frees all whose owner
  // is gone. Requires mutex_.
  const Resident* Find(const Key& key);
  // Stays where it is while `entries` does.
  Result<const Resident*> Get(const StaticMatrix& w, const WordsRef& entries,
                              int width);
  Error Load(const StaticMatrix& w, const Words& entries, int width,
             Resident& out);

  const std::shared_ptr<Kernels> kernels_;
  std::mutex mutex_;
  std::map<Key, Resident> resident_;  // guarded by mutex_
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_WEIGHTS_H_
