#include "common/prg/seed.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>
#include <sys/random.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"
#include "common/prg/seed_internal.h"

namespace tacit {
namespace {

class GetrandomSource final : public SeedSource {
 public:
  absl::StatusOr<Seed> Next() override { return internal::SeedFrom(getrandom); }
};

struct KdfFree {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

// For OSSL_PARAM, which takes non-const pointers to what it only reads.
template <typename T>
T* Unconst(const T* p) {
  return const_cast<T*>(p);
}

}  // namespace

namespace internal {

absl::StatusOr<Seed> SeedFrom(RandomFunction random) {
  std::array<uint8_t, Seed::kBytes> bytes = {};
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = random(bytes.data() + done, bytes.size() - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const int error = got < 0 ? errno : 0;
      SecureWipe(bytes.data(), bytes.size());
      return absl::InternalError(
          absl::StrCat("getrandom gave no randomness: ",
                       got < 0 ? strerror(error) : "end of data"));
    }
    done += static_cast<size_t>(got);
  }
  Seed seed(bytes);
  SecureWipe(bytes.data(), bytes.size());
  return seed;
}

absl::Status HkdfSha256(std::span<const uint8_t> key, std::string_view info,
                        std::span<uint8_t> out) {
  const std::unique_ptr<EVP_KDF, KdfFree> kdf(
      EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_HKDF, nullptr));
  const std::unique_ptr<EVP_KDF_CTX, KdfFree> context(
      kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf.get()));
  if (context == nullptr) {
    return absl::InternalError("OpenSSL has no HKDF");
  }
  // No salt parameter is RFC 5869's default: a string of zeros, the same as an
  // empty one. Likewise no info is empty info.
  OSSL_PARAM params[4];
  size_t n = 0;
  params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                                 Unconst("SHA256"), 0);
  params[n++] = OSSL_PARAM_construct_octet_string(
      OSSL_KDF_PARAM_KEY, Unconst(key.data()), key.size());
  if (!info.empty()) {
    params[n++] = OSSL_PARAM_construct_octet_string(
        OSSL_KDF_PARAM_INFO, Unconst(info.data()), info.size());
  }
  params[n] = OSSL_PARAM_construct_end();
  // The context wipes its copy of the key when freed.
  if (EVP_KDF_derive(context.get(), out.data(), out.size(), params) != 1) {
    return absl::InternalError(absl::StrCat("HKDF of ", out.size(),
                                            " bytes failed, info of ",
                                            info.size(), " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace internal

Seed::~Seed() { SecureWipe(bytes_.data(), bytes_.size()); }

SeedSource& OsSeedSource() {
  static GetrandomSource source;  // no state, nothing to destroy
  return source;
}

absl::StatusOr<Seed> DeriveSeed(const Seed& seed, std::string_view label) {
  std::array<uint8_t, Seed::kBytes> bytes;
  RETURN_IF_ERROR(internal::HkdfSha256(seed.bytes(), label, bytes));
  Seed derived(bytes);
  SecureWipe(bytes.data(), bytes.size());
  return derived;
}

}  // namespace tacit
