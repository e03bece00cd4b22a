// Session seeds: where all randomness of a session comes from.
#ifndef TACIT_COMMON_PRG_SEED_H_
#define TACIT_COMMON_PRG_SEED_H_

#include <array>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tacit {

// 32 secret bytes; wiped when destroyed. Never printed: there is no operator<<
// and no AbslStringify.
class Seed {
 public:
  static constexpr size_t kBytes = 32;

  explicit Seed(const std::array<uint8_t, kBytes>& bytes) : bytes_(bytes) {}
  Seed(const Seed&) = default;
  Seed& operator=(const Seed&) = default;
  ~Seed();

  const std::array<uint8_t, kBytes>& bytes() const { return bytes_; }

 private:
  std::array<uint8_t, kBytes> bytes_;
};

// A source of seeds. Production uses OsSeedSource(); tests inject their own
// through constructors (no environment variable or build flag can).
class SeedSource {
 public:
  virtual ~SeedSource() = default;
  virtual absl::StatusOr<Seed> Next() = 0;
};

// getrandom(2). INTERNAL if the kernel gives no randomness; there is no
// fallback. Thread-safe.
SeedSource& OsSeedSource();

// HKDF-SHA256 (RFC 5869) with `label` as info and an empty salt; equal inputs
// give equal seeds, different labels independent ones. INTERNAL if OpenSSL
// fails.
absl::StatusOr<Seed> DeriveSeed(const Seed& seed, std::string_view label);

}  // namespace tacit

#endif  // TACIT_COMMON_PRG_SEED_H_
