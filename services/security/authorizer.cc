#include "services/security/authorizer.h"

#include <grpc/grpc_security_constants.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

constexpr absl::string_view kClaim = "tacit-insecure/";

absl::string_view View(const grpc::string_ref& text) {
  return absl::string_view(text.data(), text.size());
}

std::string Printable(absl::string_view text) {
  return absl::CHexEscape(text.substr(0, 128));
}

class AuthProcessor final : public grpc::AuthMetadataProcessor {
 public:
  explicit AuthProcessor(std::shared_ptr<const Authorizer> authorizer)
      : authorizer_(std::move(authorizer)) {}

  // No I/O, a few hundred nanoseconds: not worth another thread.
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata,
                       grpc::AuthContext* context, OutputMetadata* /*consumed*/,
                       OutputMetadata* /*response*/) override {
    const auto path = metadata.find(":path");
    if (path == metadata.end()) {
      return grpc::Status(grpc::StatusCode::PERMISSION_DENIED,
                          "call names no method");
    }
    const absl::Status status =
        authorizer_->Check(View(path->second), *context);
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                        std::string(status.message()));
  }

 private:
  const std::shared_ptr<const Authorizer> authorizer_;
};

}  // namespace

std::vector<MethodRule> TacitMethodRules() {
  using enum ServiceRole;
  const std::set<ServiceRole> all = {kDealer, kParty0, kParty1, kGateway,
                                     kOperator};
  const std::set<ServiceRole> parties = {kParty0, kParty1};
  return {
      {"/tacit.v1.DealerService/OpenSession", {kGateway}, {kDealer}},
      {"/tacit.v1.DealerService/CloseSession", {kGateway}, {kDealer}},
      {"/tacit.v1.DealerService/StreamMaterial", parties, {kDealer}},
      // One direction: two streams between the parties would be one too many.
      {"/tacit.v1.PartyService/Exchange", {kParty0}, {kParty1}},
      {"/tacit.v1.PartyService/ExchangeStripe", {kParty0}, {kParty1}},
      {"/tacit.v1.InferenceService/Infer", {kGateway}, parties},
      {"/tacit.v1.GatewayService/*", {kGateway}, {kGateway}},
      {"/tacit.v1.PlanService/GetPlan", {kGateway, kDealer, kParty0, kParty1}},
      {"/grpc.health.v1.Health/*", all},
      {"/grpc.reflection.v1alpha.ServerReflection/*", all},
  };
}

Authorizer::Authorizer(Identity self, std::vector<MethodRule> rules)
    : self_(std::move(self)) {
  for (MethodRule& rule : rules) {
    if (!rule.servers.empty() && rule.servers.count(self_.role) == 0) continue;
    rules_[std::move(rule.method)] = std::move(rule.callers);
  }
}

std::shared_ptr<const Authorizer> Authorizer::Insecure(
    Identity self, std::vector<MethodRule> rules) {
  auto authorizer =
      std::make_shared<Authorizer>(std::move(self), std::move(rules));
  authorizer->insecure_ = true;
  return authorizer;
}

absl::Status Authorizer::Check(absl::string_view method,
                               const Identity& peer) const {
  auto rule = rules_.find(method);
  if (rule == rules_.end()) {
    const size_t slash = method.rfind('/');
    if (slash != absl::string_view::npos) {
      rule = rules_.find(absl::StrCat(method.substr(0, slash), "/*"));
    }
  }
  if (peer.trust_domain != self_.trust_domain || rule == rules_.end() ||
      rule->second.count(peer.role) == 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(peer.Path(), " of ", peer.trust_domain, " may not call ",
                     Printable(method), " of ", self_.Path()));
  }
  return absl::OkStatus();
}

absl::Status Authorizer::Check(absl::string_view method,
                               const grpc::AuthContext& peer) const {
  ASSIGN_OR_RETURN(const Identity identity, FromCertificate(peer));
  return Check(method, identity);
}

absl::StatusOr<Identity> Authorizer::FromCertificate(
    const grpc::AuthContext& peer) const {
  const auto uris = peer.FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME);
  if (uris.size() != 1) {
    return absl::UnauthenticatedError(absl::StrCat(
        "peer's certificate has ", uris.size(), " URI names, not one"));
  }
  absl::StatusOr<Identity> identity = ParseIdentity(View(uris[0]));
  if (!identity.ok()) {
    return absl::UnauthenticatedError(identity.status().message());
  }
  if (identity->trust_domain != self_.trust_domain) {
    return absl::UnauthenticatedError(
        absl::StrCat("peer is of trust domain ", identity->trust_domain,
                     ", not of ", self_.trust_domain));
  }
  return identity;
}

absl::StatusOr<Identity> Authorizer::Peer(
    const grpc::ServerContextBase& context) const {
  if (!insecure_) return FromCertificate(*context.auth_context());
  const auto& metadata = context.client_metadata();
  const auto agent = metadata.find("user-agent");
  if (agent != metadata.end()) {
    absl::string_view claim = View(agent->second);
    if (absl::ConsumePrefix(&claim, kClaim)) {
      return ParseIdentity(claim.substr(0, claim.find(' ')));
    }
  }
  return absl::UnauthenticatedError("peer does not say what role it has");
}

absl::StatusOr<int> Authorizer::PeerParty(
    const grpc::ServerContextBase& context) const {
  ASSIGN_OR_RETURN(const Identity peer, Peer(context));
  const std::optional<int> party = PartyOf(peer.role);
  if (!party.has_value()) {
    return absl::PermissionDeniedError(
        absl::StrCat(peer.Path(), " is not a party"));
  }
  return *party;
}

std::shared_ptr<grpc::AuthMetadataProcessor> MakeAuthProcessor(
    std::shared_ptr<const Authorizer> authorizer) {
  return std::make_shared<AuthProcessor>(std::move(authorizer));
}

std::string ClaimedIdentity(const Identity& identity) {
  return absl::StrCat(kClaim, identity.Uri());
}

}  // namespace tacit
