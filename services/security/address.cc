#include "services/security/address.h"

#include <arpa/inet.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tacit {
namespace {

// The host of "host:port", "[host]:port", "host" or "::1".
absl::string_view HostOf(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "[")) {
    return address.substr(0, address.find(']'));
  }
  const size_t colon = address.find(':');
  if (colon != address.rfind(':')) return address;  // a bare IPv6 address
  return address.substr(0, colon);
}

bool IsV6(const std::string& host) {
  in6_addr address;
  return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool IsHostText(absl::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  for (const char c : host) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' &&
        c != '.' && c != '_') {
      return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<HostPort> ParseAddress(absl::string_view address) {
  const auto bad = [address](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(address.substr(0, 128)),
                     "\" is no address such as 127.0.0.1:7500 or "
                     "[::1]:7500: ",
                     why));
  };
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return bad("no port");
  absl::string_view host = address.substr(0, colon);
  const absl::string_view port = address.substr(colon + 1);
  HostPort result;
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]") || !IsV6(std::string(host))) {
      return bad("no IPv6 address in brackets");
    }
  } else if (!IsHostText(host)) {
    return bad("no host name or IP address");
  }
  result.host = std::string(host);
  int number = 0;
  if (port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(port, &number) || number > 65535) {
    return bad("the port must be between 0 and 65535");
  }
  result.port = number;
  return result;
}

bool IsLoopback(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return true;
  for (const absl::string_view scheme : {"ipv4:", "ipv6:", "dns:///"}) {
    if (absl::ConsumePrefix(&address, scheme)) break;
  }
  const std::string host(HostOf(address));
  if (host == "localhost") return true;
  in_addr v4;
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  in6_addr v6;
  return ::inet_pton(AF_INET6, host.c_str(), &v6) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::Status CheckInsecureAllowed(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) {
    if (!IsLoopback(address)) {
      return absl::FailedPreconditionError(
          absl::StrCat("--insecure works on loopback only, and ", address,
                       " is not; use TLS (tacit certs makes certificates)"));
    }
  }
  return absl::OkStatus();
}

}  // namespace tacit
