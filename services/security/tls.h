// How the roles' connections are secured: TLS 1.3 both ways, or on loopback,
// if asked for, not at all.
#ifndef TACIT_SERVICES_SECURITY_TLS_H_
#define TACIT_SERVICES_SECURITY_TLS_H_

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/security/authorizer.h"
#include "services/security/credential_watch.h"
#include "services/security/identity.h"

namespace tacit {

struct TlsOptions {
  CredentialPaths paths;
  // Whose certificate it must be.
  ServiceRole role;
  // A replaced certificate is used for new connections after at most twice
  // this time. At least a second.
  absl::Duration refresh = absl::Seconds(10);
  // Whether a client also compares host names with the server's certificate.
  // Its identity is checked in any case.
  bool check_hostname = true;
  // May be called as long as a server or channel made here exists.
  ReloadCallback on_reload;
};

// Makes the credentials of servers and channels. Thread-safe. Servers
// and channels keep what they need of it alive.
//
// With TLS:
//  - a server requires a client certificate of the CA, with an identity of its
//    own trust domain, and lets a call through only if Authorizer allows it;
//  - a client requires that of the role it means to call;
//  - versions below 1.3 are refused. gRPC 1.51 has no setting for that: its
//    cipher list for TLS 1.2 is reduced to one that cannot be used, through the
//    environment variable GRPC_SSL_CIPHER_SUITES. gRPC reads it once, so make
//    these before any other TLS credentials, and before other threads;
//  - certificates are reloaded; see CredentialWatch.
class ServiceCredentials {
 public:
  // Errors: those of CredentialWatch::Start; FAILED_PRECONDITION if the
  // certificate is another role's; INVALID_ARGUMENT for a bad `refresh`.
  static absl::StatusOr<std::shared_ptr<ServiceCredentials>> Tls(
      const TlsOptions& options);

  // Without TLS. Peers are who they say they are, and no rule is enforced
  // before a handler runs. FAILED_PRECONDITION unless all of `addresses`, those
  // to listen at and those to call, are on loopback.
  static absl::StatusOr<std::shared_ptr<ServiceCredentials>> Insecure(
      const Identity& self, const std::vector<std::string>& addresses);

  virtual ~ServiceCredentials() = default;

  // For ServerBuilder::AddListeningPort. Enforces TacitMethodRules with TLS.
  virtual std::shared_ptr<grpc::ServerCredentials> Server() const = 0;
  // For a channel to a server with this role.
  virtual std::shared_ptr<grpc::ChannelCredentials> Channel(
      ServiceRole server) const = 0;
  // Sets what a channel with these credentials needs besides.
  virtual void SetArguments(grpc::ChannelArguments* arguments) const = 0;

  virtual bool secure() const = 0;
  // When our certificate expires; InfiniteFuture without TLS.
  virtual absl::Time Expires() const = 0;

  const Identity& self() const { return authorizer_->self(); }
  // Tells handlers who calls.
  const Authorizer& authorizer() const { return *authorizer_; }

 protected:
  explicit ServiceCredentials(std::shared_ptr<const Authorizer> authorizer)
      : authorizer_(std::move(authorizer)) {}

  const std::shared_ptr<const Authorizer> authorizer_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_TLS_H_
