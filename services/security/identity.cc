#include "services/security/identity.h"

#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

constexpr absl::string_view kScheme = "spiffe://";
constexpr size_t kMaxTrustDomain = 255;
constexpr size_t kMaxName = 63;

constexpr std::array<std::pair<ServiceRole, absl::string_view>, 5> kRoles = {{
    {ServiceRole::kDealer, "dealer"},
    {ServiceRole::kParty0, "party/0"},
    {ServiceRole::kParty1, "party/1"},
    {ServiceRole::kGateway, "gateway"},
    {ServiceRole::kOperator, "operator"},
}};

bool HasName(ServiceRole role) {
  return role == ServiceRole::kGateway || role == ServiceRole::kOperator;
}

// What a peer sent may be long, and may hold control characters.
std::string Printable(absl::string_view text) {
  return absl::CHexEscape(text.substr(0, 128));
}

absl::Status CheckCharacters(absl::string_view what, absl::string_view text,
                             size_t max) {
  if (text.empty() || text.size() > max) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", text.size(),
                     " characters; it must have between 1 and ", max));
  }
  for (const char c : text) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '-' || c == '_';
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " \"", Printable(text),
                       "\" may only hold a-z, 0-9, '.', '-' and '_'"));
    }
  }
  if (text == "." || text == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " must not be \"", text, "\""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view RoleName(ServiceRole role) {
  for (const auto& [known, name] : kRoles) {
    if (known == role) return name;
  }
  return "unknown";
}

absl::StatusOr<ServiceRole> ParseRole(absl::string_view name) {
  for (const auto& [role, known] : kRoles) {
    if (known == name) return role;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", Printable(name),
                   "\" is no role; roles are dealer, party/0, party/1, "
                   "gateway and operator"));
}

std::optional<int> PartyOf(ServiceRole role) {
  if (role == ServiceRole::kParty0) return 0;
  if (role == ServiceRole::kParty1) return 1;
  return std::nullopt;
}

ServiceRole PartyRole(int party) {
  return party == 0 ? ServiceRole::kParty0 : ServiceRole::kParty1;
}

std::string Identity::Path() const {
  const absl::string_view role_name = RoleName(role);
  return name.empty() ? std::string(role_name)
                      : absl::StrCat(role_name, "/", name);
}

std::string Identity::Uri() const {
  return absl::StrCat(kScheme, trust_domain, "/", Path());
}

absl::Status ValidateTrustDomain(absl::string_view trust_domain) {
  return CheckCharacters("trust domain", trust_domain, kMaxTrustDomain);
}

absl::Status ValidateIdentity(const Identity& identity) {
  RETURN_IF_ERROR(ValidateTrustDomain(identity.trust_domain));
  if (HasName(identity.role)) {
    return CheckCharacters("name", identity.name, kMaxName);
  }
  if (!identity.name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(RoleName(identity.role), " takes no name"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Identity> ParseIdentity(absl::string_view uri) {
  const auto bad = [uri](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("identity \"", Printable(uri), "\": ", why));
  };
  absl::string_view rest = uri;
  if (!absl::ConsumePrefix(&rest, kScheme)) {
    return bad("does not begin with spiffe://");
  }
  const size_t slash = rest.find('/');
  if (slash == absl::string_view::npos) return bad("has no path");
  Identity identity;
  identity.trust_domain = std::string(rest.substr(0, slash));
  absl::string_view path = rest.substr(slash + 1);
  // "gateway/alice" is a role and a name, "party/0" a role.
  const size_t name_at = path.find('/');
  if (const auto role = ParseRole(path.substr(0, name_at));
      role.ok() && HasName(*role) && name_at != absl::string_view::npos) {
    identity.role = *role;
    identity.name = std::string(path.substr(name_at + 1));
  } else if (const auto whole = ParseRole(path); whole.ok()) {
    identity.role = *whole;
  } else {
    return bad("names no role");
  }
  if (const absl::Status status = ValidateIdentity(identity); !status.ok()) {
    return bad(status.message());
  }
  return identity;
}

}  // namespace tacit
