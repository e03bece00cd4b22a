#include "services/security/x509.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;
using NamesPtr =
    std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES, GENERAL_NAMES_free>>;
using NamePtr =
    std::unique_ptr<GENERAL_NAME, Deleter<GENERAL_NAME, GENERAL_NAME_free>>;
using ExtensionPtr =
    std::unique_ptr<X509_EXTENSION,
                    Deleter<X509_EXTENSION, X509_EXTENSION_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX, SSL_CTX_free>>;

constexpr int kSerialBits = 127;  // random and positive, 16 bytes at most
constexpr size_t kMaxCertificates = 64;

// OpenSSL's reason for the last failure; clears its queue.
std::string OpenSslReason() {
  const auto code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

absl::Status Failed(absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("OpenSSL: ", what, ": ", OpenSslReason()));
}

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", OpenSslReason()));
}

// Refuses instead of asking on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

BioPtr ReadBio(absl::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// What was written to a memory BIO; the BIO's own copy is wiped when freed.
std::string Contents(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<std::string> CertificatePem(const X509& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_X509(bio.get(), &certificate) != 1) {
    return Failed("writing a certificate");
  }
  return Contents(bio.get());
}

absl::StatusOr<std::string> KeyPem(const EVP_PKEY& key) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  if (bio == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0,
                                    nullptr, nullptr) != 1) {
    return Failed("writing a key");
  }
  return Contents(bio.get());
}

absl::StatusOr<KeyPtr> GenerateKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return Failed("generating a P-256 key");
  return key;
}

absl::Status SetRandomSerial(X509* certificate) {
  const std::unique_ptr<BIGNUM, Deleter<BIGNUM, BN_clear_free>> number(
      BN_new());
  if (number == nullptr ||
      BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) !=
          1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) ==
          nullptr) {
    return Failed("drawing a serial number");
  }
  return absl::OkStatus();
}

absl::Status SetValidity(X509* certificate, absl::Time from, absl::Time to) {
  if (from >= to) {
    return absl::InvalidArgumentError("validity ends before it begins");
  }
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(from)) ==
          nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(to)) ==
          nullptr) {
    return Failed("setting the validity");
  }
  return absl::OkStatus();
}

absl::Status AddCommonName(X509_NAME* name, absl::string_view text) {
  // Common names hold up to 64 characters; the identity is in the URI name.
  const std::string common(text.substr(0, 64));
  if (X509_NAME_add_entry_by_txt(
          name, "CN", MBSTRING_UTF8,
          reinterpret_cast<const unsigned char*>(common.data()),
          static_cast<int>(common.size()), -1, 0) != 1) {
    return Failed("setting the subject");
  }
  return absl::OkStatus();
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid,
                          const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (extension == nullptr ||
      X509_add_ext(certificate, extension.get(), -1) != 1) {
    return Failed(absl::StrCat("adding the extension ", value));
  }
  return absl::OkStatus();
}

bool IsHostName(absl::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  for (const char c : host) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' &&
        c != '.' && c != '_' && c != '*') {
      return false;
    }
  }
  return true;
}

// A URI or DNS name. Takes the text byte by byte, so a comma in it cannot add
// another name.
absl::StatusOr<NamePtr> TextName(int type, const std::string& text) {
  NamePtr name(GENERAL_NAME_new());
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  if (name == nullptr || value == nullptr ||
      ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) {
    ASN1_IA5STRING_free(value);
    return Failed("adding a name");
  }
  GENERAL_NAME_set0_value(name.get(), type, value);
  return name;
}

absl::StatusOr<NamePtr> HostName(const std::string& host) {
  if (ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
      address != nullptr) {
    NamePtr name(GENERAL_NAME_new());
    if (name == nullptr) {
      ASN1_OCTET_STRING_free(address);
      return Failed("adding an address");
    }
    GENERAL_NAME_set0_value(name.get(), GEN_IPADD, address);
    return name;
  }
  ERR_clear_error();
  if (!IsHostName(host)) {
    return absl::InvalidArgumentError(
        absl::StrCat("host \"", absl::CHexEscape(host.substr(0, 64)),
                     "\" is neither a host name nor an IP address"));
  }
  return TextName(GEN_DNS, host);
}

absl::Status AddNames(X509* certificate, const LeafRequest& request) {
  const NamesPtr names(GENERAL_NAMES_new());
  if (names == nullptr) return Failed("adding names");
  std::vector<NamePtr> all;
  if (!request.uri.empty()) {
    ASSIGN_OR_RETURN(NamePtr uri, TextName(GEN_URI, request.uri));
    all.push_back(std::move(uri));
  }
  for (const std::string& host : request.hosts) {
    ASSIGN_OR_RETURN(NamePtr name, HostName(host));
    all.push_back(std::move(name));
  }
  for (NamePtr& name : all) {
    if (sk_GENERAL_NAME_push(names.get(), name.get()) == 0) {
      return Failed("adding names");
    }
    (void)name.release();  // the stack owns it now
  }
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0,
                        X509V3_ADD_DEFAULT) != 1) {
    return Failed("adding names");
  }
  return absl::OkStatus();
}

// Version, serial, validity, subject and key: what a root and a leaf share.
absl::StatusOr<X509Ptr> NewCertificate(EVP_PKEY* key, absl::string_view name,
                                       absl::Time from, absl::Time to) {
  X509Ptr certificate(X509_new());
  if (certificate == nullptr ||
      X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return Failed("making a certificate");
  }
  RETURN_IF_ERROR(SetRandomSerial(certificate.get()));
  RETURN_IF_ERROR(SetValidity(certificate.get(), from, to));
  RETURN_IF_ERROR(
      AddCommonName(X509_get_subject_name(certificate.get()), name));
  return certificate;
}

absl::Status Sign(X509* certificate, EVP_PKEY* key) {
  if (X509_sign(certificate, key, EVP_sha256()) == 0) {
    return Failed("signing a certificate");
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm parts = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) {
    return Invalid("certificate's validity cannot be read");
  }
  return absl::FromTM(parts, absl::UTCTimeZone());
}

absl::Status CheckValidity(const X509& leaf, absl::Time now) {
  ASSIGN_OR_RETURN(const absl::Time from, ToTime(X509_get0_notBefore(&leaf)));
  ASSIGN_OR_RETURN(const absl::Time to, ToTime(X509_get0_notAfter(&leaf)));
  if (now < from) {
    return absl::FailedPreconditionError(
        absl::StrCat("certificate is valid only from ", absl::FormatTime(from),
                     "; check the clock"));
  }
  if (now > to) {
    return absl::FailedPreconditionError(absl::StrCat(
        "certificate expired at ", absl::FormatTime(to), "; renew it"));
  }
  return absl::OkStatus();
}

// Goes through what gRPC does with the same texts: it keeps no usable state
// when that fails later.
absl::Status CheckTlsAccepts(std::vector<X509Ptr>& chain, EVP_PKEY* key) {
  const ContextPtr context(SSL_CTX_new(TLS_method()));
  if (context == nullptr) return Failed("making a TLS context");
  if (SSL_CTX_use_certificate(context.get(), chain[0].get()) != 1) {
    return Invalid("certificate is not usable");
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) != 1) {
      return Invalid(absl::StrCat("certificate ", i, " of the chain"));
    }
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        "certificate and key do not belong together");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(absl::string_view pem) {
  const BioPtr bio = ReadBio(pem);
  if (bio == nullptr) return Failed("reading certificates");
  std::vector<X509Ptr> certificates;
  while (true) {
    X509Ptr next(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
    if (next == nullptr) break;
    if (certificates.size() == kMaxCertificates) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than ", kMaxCertificates, " certificates"));
    }
    certificates.push_back(std::move(next));
  }
  const bool at_end =
      ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) return Invalid("not a PEM certificate");
  ERR_clear_error();
  if (certificates.empty()) {
    return absl::InvalidArgumentError("no PEM certificate in it");
  }
  return certificates;
}

absl::StatusOr<KeyPtr> ParseKey(absl::string_view pem) {
  const BioPtr bio = ReadBio(pem);
  if (bio == nullptr) return Failed("reading a key");
  KeyPtr key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    ERR_clear_error();  // its reason could quote the file
    return absl::InvalidArgumentError("no unencrypted PEM private key in it");
  }
  return key;
}

absl::StatusOr<Identity> CertificateIdentity(const X509& certificate) {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> uris;
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                      static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  if (uris.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate has ", uris.size(),
                     " URI names; it needs one, spiffe://<trust "
                     "domain>/<role>"));
  }
  return ParseIdentity(uris[0]);
}

absl::StatusOr<absl::Time> ExpiryOf(const X509& certificate) {
  return ToTime(X509_get0_notAfter(&certificate));
}

absl::StatusOr<LeafInfo> CheckCredentials(const CredentialPems& pems) {
  if (auto roots = ParseCertificates(pems.ca); !roots.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("CA: ", roots.status().message()));
  }
  ASSIGN_OR_RETURN(std::vector<X509Ptr> chain,
                   ParseCertificates(pems.certificate));
  ASSIGN_OR_RETURN(const KeyPtr key, ParseKey(pems.key));
  RETURN_IF_ERROR(CheckTlsAccepts(chain, key.get()));
  RETURN_IF_ERROR(CheckValidity(*chain[0], absl::Now()));
  LeafInfo info;
  ASSIGN_OR_RETURN(info.identity, CertificateIdentity(*chain[0]));
  ASSIGN_OR_RETURN(info.expires, ExpiryOf(*chain[0]));
  return info;
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Create(
    absl::string_view trust_domain, absl::Time not_before,
    absl::Time not_after) {
  RETURN_IF_ERROR(ValidateTrustDomain(trust_domain));
  ASSIGN_OR_RETURN(KeyPtr key, GenerateKey());
  ASSIGN_OR_RETURN(
      X509Ptr root,
      NewCertificate(key.get(), absl::StrCat("Tacit CA of ", trust_domain),
                     not_before, not_after));
  X509* const raw = root.get();
  if (X509_set_issuer_name(raw, X509_get_subject_name(raw)) != 1) {
    return Failed("setting the issuer");
  }
  RETURN_IF_ERROR(AddExtension(raw, raw, NID_basic_constraints,
                               "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(
      AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(raw, raw, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(Sign(raw, key.get()));
  return CertificateAuthority(std::move(root), std::move(key));
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Load(
    const CertificateAndKey& root) {
  ASSIGN_OR_RETURN(std::vector<X509Ptr> certificates,
                   ParseCertificates(root.certificate));
  ASSIGN_OR_RETURN(KeyPtr key, ParseKey(root.key));
  if (X509_check_private_key(certificates[0].get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        "CA certificate and key do not belong together");
  }
  if (X509_check_ca(certificates[0].get()) == 0) {
    return absl::InvalidArgumentError("certificate is not a CA's");
  }
  return CertificateAuthority(std::move(certificates[0]), std::move(key));
}

absl::StatusOr<CertificateAndKey> CertificateAuthority::Issue(
    const LeafRequest& request) const {
  ASSIGN_OR_RETURN(const KeyPtr key, GenerateKey());
  const std::string name = request.uri.substr(0, 64);
  ASSIGN_OR_RETURN(const X509Ptr leaf,
                   NewCertificate(key.get(), name.empty() ? "nobody" : name,
                                  request.not_before, request.not_after));
  X509* const issuer = certificate_.get();
  if (X509_set_issuer_name(leaf.get(), X509_get_subject_name(issuer)) != 1) {
    return Failed("setting the issuer");
  }
  RETURN_IF_ERROR(AddNames(leaf.get(), request));
  static constexpr std::pair<int, const char*> kExtensions[] = {
      {NID_basic_constraints, "critical,CA:FALSE"},
      {NID_key_usage, "critical,digitalSignature"},
      {NID_ext_key_usage, "serverAuth,clientAuth"},
      {NID_subject_key_identifier, "hash"},
      {NID_authority_key_identifier, "keyid:always"},
  };
  for (const auto& [nid, value] : kExtensions) {
    RETURN_IF_ERROR(AddExtension(leaf.get(), issuer, nid, value));
  }
  RETURN_IF_ERROR(Sign(leaf.get(), key_.get()));
  CertificateAndKey issued;
  ASSIGN_OR_RETURN(issued.certificate, CertificatePem(*leaf));
  ASSIGN_OR_RETURN(issued.key, KeyPem(*key));
  return issued;
}

absl::StatusOr<CertificateAndKey> CertificateAuthority::Root() const {
  CertificateAndKey root;
  ASSIGN_OR_RETURN(root.certificate, CertificatePem(*certificate_));
  ASSIGN_OR_RETURN(root.key, KeyPem(*key_));
  return root;
}

}  // namespace tacit
