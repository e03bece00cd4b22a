// Who a process is: one identity per role, carried by its certificate as a URI.
#ifndef TACIT_SERVICES_SECURITY_IDENTITY_H_
#define TACIT_SERVICES_SECURITY_IDENTITY_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tacit {

enum class ServiceRole { kDealer, kParty0, kParty1, kGateway, kOperator };

// "dealer", "party/0", "party/1", "gateway", "operator".
absl::string_view RoleName(ServiceRole role);
// The inverse. INVALID_ARGUMENT for anything else.
absl::StatusOr<ServiceRole> ParseRole(absl::string_view name);
// 0 or 1 for a party, nothing for the other roles.
std::optional<int> PartyOf(ServiceRole role);
// The role of party 0 or 1; any other number is a programming error.
ServiceRole PartyRole(int party);

// spiffe://<trust domain>/<role path>, where the role path is "dealer",
// "party/0", "party/1", "gateway/<name>" or "operator/<name>". There is one
// dealer and one pair of parties in a trust domain, any number of gateways and
// operators. Syntax as in the SPIFFE ID specification, section 2; trust domains
// of up to 255 and names of up to 63 characters of [a-z0-9._-].
struct Identity {
  std::string trust_domain;
  ServiceRole role;
  std::string name;  // of a gateway or an operator, else empty

  // "party/0" or "gateway/alice": what logs and error messages show.
  std::string Path() const;
  std::string Uri() const;

  friend bool operator==(const Identity&, const Identity&) = default;
};

// INVALID_ARGUMENT, with the text shortened to what is safe to print, if `uri`
// is no such identity.
absl::StatusOr<Identity> ParseIdentity(absl::string_view uri);

// INVALID_ARGUMENT if one of the parts could not be parsed back.
absl::Status ValidateIdentity(const Identity& identity);
absl::Status ValidateTrustDomain(absl::string_view trust_domain);

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_IDENTITY_H_
