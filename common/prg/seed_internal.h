// Parts of seed.cc that tests reach directly.
#ifndef TACIT_COMMON_PRG_SEED_INTERNAL_H_
#define TACIT_COMMON_PRG_SEED_INTERNAL_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/prg/seed.h"

namespace tacit::internal {

// getrandom(2)'s signature.
using RandomFunction = ssize_t (*)(void* to, size_t bytes, unsigned flags);

// Asks again after EINTR and short reads; any other failure is INTERNAL.
absl::StatusOr<Seed> SeedFrom(RandomFunction random);

// HKDF-SHA256 with an empty salt, out.size() bytes.
absl::Status HkdfSha256(std::span<const uint8_t> key, std::string_view info,
                        std::span<uint8_t> out);

}  // namespace tacit::internal

#endif  // TACIT_COMMON_PRG_SEED_INTERNAL_H_
