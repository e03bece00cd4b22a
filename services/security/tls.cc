#include "services/security/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/security/address.h"

namespace tacit {
namespace {

namespace tls = grpc::experimental;

constexpr unsigned kWatchSeconds = 1;  // at least, of gRPC's own watch

// Leaves TLS 1.2 no cipher suite: this one needs a pre-shared key, of which
// there is none, and the suites of TLS 1.3 are configured apart from it.
void RequireTls13() {
  static std::once_flag once;
  std::call_once(once, [] {
    ::setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-GCM-SHA256",
             /*overwrite=*/1);
  });
}

// After the handshake has verified the chain: is it the identity we expect?
class PeerVerifier final : public tls::ExternalCertificateVerifier {
 public:
  // Any role if `role` is not set. Keeps `watch` alive: gRPC holds the
  // verifier as long as it may look for new certificates.
  PeerVerifier(std::shared_ptr<CredentialWatch> watch,
               std::optional<ServiceRole> role, bool check_hostname)
      : watch_(std::move(watch)),
        trust_domain_(watch_->identity().trust_domain),
        role_(role),
        check_hostname_(check_hostname) {}

  bool Verify(tls::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> callback,
              grpc::Status* sync_status) override {
    *sync_status = CheckIdentity(request->uri_names());
    if (!sync_status->ok() || !check_hostname_) return true;
    return hostname_.Verify(request, std::move(callback), sync_status);
  }
  void Cancel(tls::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  grpc::Status CheckIdentity(const std::vector<grpc::string_ref>& uris) const {
    const auto refuse = [](const std::string& why) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, why);
    };
    if (uris.size() != 1) {
      return refuse(absl::StrCat("peer's certificate has ", uris.size(),
                                 " URI names, not one"));
    }
    const absl::StatusOr<Identity> peer =
        ParseIdentity(absl::string_view(uris[0].data(), uris[0].size()));
    if (!peer.ok()) return refuse(std::string(peer.status().message()));
    if (peer->trust_domain != trust_domain_) {
      return refuse(absl::StrCat("peer is of trust domain ", peer->trust_domain,
                                 ", not of ", trust_domain_));
    }
    if (role_.has_value() && peer->role != *role_) {
      return refuse(
          absl::StrCat("peer is ", peer->Path(), ", not ", RoleName(*role_)));
    }
    return grpc::Status::OK;
  }

  const std::shared_ptr<CredentialWatch> watch_;
  const std::string trust_domain_;
  const std::optional<ServiceRole> role_;
  const bool check_hostname_;
  tls::HostNameCertificateVerifier hostname_;
};

template <typename... Args>
std::shared_ptr<tls::CertificateVerifier> MakeVerifier(Args&&... args) {
#if defined(__clang_analyzer__)
  // It sees a leak in gRPC's header: the C object there owns the verifier.
  (static_cast<void>(args), ...);
  return nullptr;
#else
  return tls::ExternalCertificateVerifier::Create<PeerVerifier>(
      std::forward<Args>(args)...);
#endif
}

class TlsServiceCredentials final : public ServiceCredentials {
 public:
  TlsServiceCredentials(std::shared_ptr<const Authorizer> authorizer,
                        std::shared_ptr<CredentialWatch> watch,
                        bool check_hostname, unsigned refresh_seconds)
      : ServiceCredentials(std::move(authorizer)),
        watch_(std::move(watch)),
        provider_(std::make_shared<tls::FileWatcherCertificateProvider>(
            watch_->IdentityPath(), watch_->IdentityPath(), watch_->RootPath(),
            refresh_seconds)),
        check_hostname_(check_hostname) {}

  std::shared_ptr<grpc::ServerCredentials> Server() const override {
    tls::TlsServerCredentialsOptions options(provider_);
    options.watch_root_certs();
    options.watch_identity_key_cert_pairs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.set_certificate_verifier(
        MakeVerifier(watch_, std::nullopt, /*check_hostname=*/false));
    auto credentials = tls::TlsServerCredentials(options);
    credentials->SetAuthMetadataProcessor(MakeAuthProcessor(authorizer_));
    return credentials;
  }

  std::shared_ptr<grpc::ChannelCredentials> Channel(
      ServiceRole server) const override {
    tls::TlsChannelCredentialsOptions options;
    options.set_certificate_provider(provider_);
    options.watch_root_certs();
    options.watch_identity_key_cert_pairs();
    options.set_verify_server_certs(true);
    options.set_check_call_host(check_hostname_);
    options.set_certificate_verifier(
        MakeVerifier(watch_, server, check_hostname_));
    return tls::TlsCredentials(options);
  }

  void SetArguments(grpc::ChannelArguments* /*arguments*/) const override {}
  bool secure() const override { return true; }
  absl::Time Expires() const override { return watch_->Expires(); }

 private:
  const std::shared_ptr<CredentialWatch> watch_;  // outlives the provider
  const std::shared_ptr<tls::FileWatcherCertificateProvider> provider_;
  const bool check_hostname_;
};

class InsecureServiceCredentials final : public ServiceCredentials {
 public:
  explicit InsecureServiceCredentials(
      std::shared_ptr<const Authorizer> authorizer)
      : ServiceCredentials(std::move(authorizer)) {}

  std::shared_ptr<grpc::ServerCredentials> Server() const override {
    return grpc::InsecureServerCredentials();
  }
  std::shared_ptr<grpc::ChannelCredentials> Channel(
      ServiceRole /*server*/) const override {
    return grpc::InsecureChannelCredentials();
  }
  void SetArguments(grpc::ChannelArguments* arguments) const override {
    arguments->SetUserAgentPrefix(ClaimedIdentity(self()));
  }
  bool secure() const override { return false; }
  absl::Time Expires() const override { return absl::InfiniteFuture(); }
};

}  // namespace

absl::StatusOr<std::shared_ptr<ServiceCredentials>> ServiceCredentials::Tls(
    const TlsOptions& options) {
  if (options.refresh < absl::Seconds(1) || options.refresh > absl::Hours(24)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "refresh interval of ", absl::FormatDuration(options.refresh),
        "; it must be between 1s and 24h"));
  }
  RequireTls13();
  ASSIGN_OR_RETURN(std::shared_ptr<CredentialWatch> watch,
                   CredentialWatch::Start(options.paths, options.refresh,
                                          options.on_reload));
  const Identity& self = watch->identity();
  if (self.role != options.role) {
    return absl::FailedPreconditionError(absl::StrCat(
        options.paths.cert, ": the certificate is that of ", self.Path(),
        ", but this process is ", RoleName(options.role)));
  }
  auto authorizer = std::make_shared<Authorizer>(self, TacitMethodRules());
  const auto seconds =
      static_cast<unsigned>(absl::ToInt64Seconds(options.refresh));
  return std::make_shared<TlsServiceCredentials>(
      std::move(authorizer), std::move(watch), options.check_hostname,
      std::max(kWatchSeconds, seconds));
}

absl::StatusOr<std::shared_ptr<ServiceCredentials>>
ServiceCredentials::Insecure(const Identity& self,
                             const std::vector<std::string>& addresses) {
  RETURN_IF_ERROR(ValidateIdentity(self));
  RETURN_IF_ERROR(CheckInsecureAllowed(addresses));
  return std::make_shared<InsecureServiceCredentials>(
      Authorizer::Insecure(self, TacitMethodRules()));
}

}  // namespace tacit
