#include "common/prg/seed.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "common/prg/seed_internal.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

Seed CountingSeed() {
  std::array<uint8_t, Seed::kBytes> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = i;
  return Seed(bytes);
}

std::string Hex(std::span<const uint8_t> bytes) {
  return absl::BytesToHexString(std::string(bytes.begin(), bytes.end()));
}

TEST(HkdfTest, MatchesRfc5869TestCase3) {
  const std::vector<uint8_t> key(22, 0x0b);
  std::array<uint8_t, 42> out;
  ASSERT_OK(internal::HkdfSha256(key, "", out));
  EXPECT_EQ(Hex(out),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
            "9d201395faa4b61a96c8");
}

// Computed with Python's hmac: PRK = HMAC(32 zeros, seed), then
// HMAC(PRK, label || 01).
TEST(DeriveSeedTest, MatchesIndependentVectors) {
  const struct {
    const char* label;
    const char* seed;
  } kCases[] = {
      {"", "37ad29109f43265287804b674e2653d0a513718907f97fca97c95bded8104bbf"},
      {"tacit/test",
       "18aa1a4ae26e6548e17f1616039398012d5198b102bb88cbafb1c1a29bf2f099"},
      {"a label longer than one block of SHA-256, which has 64 bytes, by some "
       "margin",
       "c8f8209cd68fafadd7e65e20d1ae9f9660f8bc8e9b6a282e98b034b413e3338f"},
  };
  for (const auto& c : kCases) {
    absl::StatusOr<Seed> derived = DeriveSeed(CountingSeed(), c.label);
    ASSERT_OK(derived);
    EXPECT_EQ(Hex(derived->bytes()), c.seed) << c.label;
  }
}

TEST(DeriveSeedTest, FailureIsInternal) {
  // OpenSSL's HKDF takes at most 255 blocks of output.
  const std::vector<uint8_t> key(32, 1);
  std::vector<uint8_t> out(255 * 32 + 1);
  EXPECT_THAT(internal::HkdfSha256(key, "label", out),
              StatusIs(absl::StatusCode::kInternal, "HKDF of 8161 bytes"));
}

TEST(SeedTest, IsWipedWhenDestroyed) {
  alignas(Seed) std::array<unsigned char, sizeof(Seed)> storage;
  Seed* seed = new (storage.data()) Seed(CountingSeed());
  ASSERT_EQ(storage[31], 31);
  seed->~Seed();
  // Through volatile: the object's lifetime is over, the storage's isn't.
  const volatile unsigned char* bytes = storage.data();
  for (size_t i = 0; i < storage.size(); ++i) EXPECT_EQ(bytes[i], 0) << i;
}

TEST(OsSeedSourceTest, SeedsDiffer) {
  absl::StatusOr<Seed> a = OsSeedSource().Next();
  absl::StatusOr<Seed> b = OsSeedSource().Next();
  ASSERT_OK(a);
  ASSERT_OK(b);
  EXPECT_NE(a->bytes(), b->bytes());
}

ssize_t NoRandomness(void*, size_t, unsigned) {
  errno = ENOSYS;
  return -1;
}
ssize_t EndOfData(void*, size_t, unsigned) { return 0; }

// Fails with EINTR every other time, else gives one byte, 7.
ssize_t OneByteAtATime(void* to, size_t, unsigned) {
  static bool interrupted = false;
  interrupted = !interrupted;
  if (interrupted) {
    errno = EINTR;
    return -1;
  }
  *static_cast<uint8_t*>(to) = 7;
  return 1;
}

TEST(OsSeedSourceTest, KernelFailureIsInternalWithoutFallback) {
  EXPECT_THAT(internal::SeedFrom(NoRandomness),
              StatusIs(absl::StatusCode::kInternal, "no randomness"));
  EXPECT_THAT(internal::SeedFrom(EndOfData),
              StatusIs(absl::StatusCode::kInternal, "end of data"));
}

TEST(OsSeedSourceTest, ShortReadsAndSignalsAreRepeated) {
  absl::StatusOr<Seed> seed = internal::SeedFrom(OneByteAtATime);
  ASSERT_OK(seed);
  EXPECT_EQ(Hex(seed->bytes()), std::string(Hex(std::vector<uint8_t>(32, 7))));
}

// A caller's view of a source that fails: the error reaches it unchanged.
class FailingSource final : public SeedSource {
 public:
  absl::StatusOr<Seed> Next() override {
    return absl::InternalError("injected");
  }
};

absl::StatusOr<Seed> SessionSeed(SeedSource& source) {
  ASSIGN_OR_RETURN(const Seed seed, source.Next());
  return DeriveSeed(seed, "session");
}

TEST(SeedSourceTest, FailureReachesTheCaller) {
  FailingSource source;
  EXPECT_THAT(SessionSeed(source),
              StatusIs(absl::StatusCode::kInternal, "injected"));
}

}  // namespace
}  // namespace tacit
