// X.509 certificates over OpenSSL: parsing, checking, issuing.
#ifndef TACIT_SERVICES_SECURITY_X509_H_
#define TACIT_SERVICES_SECURITY_X509_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/security/identity.h"

namespace tacit {

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using X509Ptr = std::unique_ptr<X509, FreeX509>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;

// A certificate with its private key, both as PEM.
struct CertificateAndKey {
  std::string certificate;
  std::string key;  // SECRET, PKCS #8
};

// All certificates of a PEM text, in order; other blocks are skipped.
// INVALID_ARGUMENT if there is none, or one cannot be read.
absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(absl::string_view pem);
// INVALID_ARGUMENT if there is no key that can be read without a passphrase.
absl::StatusOr<KeyPtr> ParseKey(absl::string_view pem);

// The identity in a certificate's only URI name. INVALID_ARGUMENT if it has no
// URI name, several, or one that is no identity.
absl::StatusOr<Identity> CertificateIdentity(const X509& certificate);
absl::StatusOr<absl::Time> ExpiryOf(const X509& certificate);

// What a process presents and trusts.
struct CredentialPems {
  std::string ca;           // one or more roots
  std::string certificate;  // the leaf first, then intermediates
  std::string key;          // SECRET
};

// What the leaf says about its holder.
struct LeafInfo {
  Identity identity;
  absl::Time expires;
};

// Checks that a TLS library will take these as they are: everything parses, the
// key is the leaf's, the leaf is valid now and carries an identity.
// INVALID_ARGUMENT with the reason if not; FAILED_PRECONDITION if it is expired
// or not yet valid. Thread-safe.
absl::StatusOr<LeafInfo> CheckCredentials(const CredentialPems& pems);

struct LeafRequest {
  std::string uri;                 // written as given: tests need bad ones
  std::vector<std::string> hosts;  // host names and IP addresses
  absl::Time not_before;
  absl::Time not_after;
};

// A certificate authority on ECDSA P-256 that issues certificates for TLS, as
// client and as server. For development and tests: it knows no revocation.
// Thread-safe after creation.
class CertificateAuthority {
 public:
  // A new key and a self-signed root, named after the trust domain.
  static absl::StatusOr<CertificateAuthority> Create(
      absl::string_view trust_domain, absl::Time not_before,
      absl::Time not_after);
  // INVALID_ARGUMENT if they don't parse or don't belong together.
  static absl::StatusOr<CertificateAuthority> Load(
      const CertificateAndKey& root);

  // A certificate on a key of its own. INVALID_ARGUMENT if a host is neither a
  // host name nor an IP address, or the URI is empty.
  absl::StatusOr<CertificateAndKey> Issue(const LeafRequest& request) const;

  // The root; its key is SECRET.
  absl::StatusOr<CertificateAndKey> Root() const;
  const X509& certificate() const { return *certificate_; }

 private:
  CertificateAuthority(X509Ptr certificate, KeyPtr key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}

  X509Ptr certificate_;
  KeyPtr key_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_X509_H_
