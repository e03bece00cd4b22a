// Who may call which method.
#ifndef TACIT_SERVICES_SECURITY_AUTHORIZER_H_
#define TACIT_SERVICES_SECURITY_AUTHORIZER_H_

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/server_context.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/security/identity.h"

namespace tacit {

// `method` is a path as gRPC has it, "/tacit.v1.DealerService/OpenSession", or
// a whole service, "/grpc.health.v1.Health/*". What no rule names is refused.
struct MethodRule {
  std::string method;
  std::set<ServiceRole> callers;
  std::set<ServiceRole> servers = {};  // that answer it; none: all
};

// The rules of all services:
//
//   method                         callers                    servers
//   DealerService.OpenSession      gateway                    dealer
//   DealerService.CloseSession     gateway                    dealer
//   DealerService.StreamMaterial   parties                    dealer
//   PartyService.Exchange,
//     ExchangeStripe               party 0                    party 1
//   InferenceService.Infer         gateway                    parties
//   GatewayService, all of it      gateway                    gateway
//   PlanService.GetPlan            gateway, dealer, parties   all
//   health, reflection             all                        all
//
// Rules say who may call; that party b gets party b's material alone is for
// the handler, which asks Authorizer::PeerParty.
std::vector<MethodRule> TacitMethodRules();

// Decides by method and by the identity in the peer's certificate, before any
// handler runs: see ServiceCredentials::Server. Immutable, so thread-safe.
class Authorizer {
 public:
  // For the server `self` and peers of its trust domain.
  Authorizer(Identity self, std::vector<MethodRule> rules);

  // PERMISSION_DENIED, naming role and method, unless a rule allows it.
  absl::Status Check(absl::string_view method, const Identity& peer) const;
  // The same for a call. UNAUTHENTICATED if the peer has no identity.
  absl::Status Check(absl::string_view method,
                     const grpc::AuthContext& peer) const;

  // Who is calling. With TLS from the peer's certificate: UNAUTHENTICATED if it
  // holds none of our trust domain. Without TLS (--insecure) what the peer
  // claims to be, and only if `insecure` was allowed at construction.
  absl::StatusOr<Identity> Peer(const grpc::ServerContextBase& context) const;
  // 0 or 1. PERMISSION_DENIED if a party is not what is calling.
  absl::StatusOr<int> PeerParty(const grpc::ServerContextBase& context) const;

  const Identity& self() const { return self_; }

  // For development on one machine: believes what a peer without TLS says.
  static std::shared_ptr<const Authorizer> Insecure(
      Identity self, std::vector<MethodRule> rules);

 private:
  absl::StatusOr<Identity> FromCertificate(const grpc::AuthContext& peer) const;

  const Identity self_;
  std::map<std::string, std::set<ServiceRole>, std::less<>> rules_;
  bool insecure_ = false;
};

// Runs `authorizer` on every call of a server, whatever its service is made of:
// generated or raw methods, callbacks or queues.
std::shared_ptr<grpc::AuthMetadataProcessor> MakeAuthProcessor(
    std::shared_ptr<const Authorizer> authorizer);

// What a client without TLS says it is; a prefix of its user agent, since that
// costs nothing per call.
std::string ClaimedIdentity(const Identity& identity);

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_AUTHORIZER_H_
