// Network addresses as configuration and command lines have them.
#ifndef TACIT_SERVICES_SECURITY_ADDRESS_H_
#define TACIT_SERVICES_SECURITY_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tacit {

struct HostPort {
  std::string host;  // without brackets
  int port;
};

// "host:port" or "[IPv6]:port". INVALID_ARGUMENT if it is anything else, or the
// port is not in 0..65535.
absl::StatusOr<HostPort> ParseAddress(absl::string_view address);

// Whether "host:port" or "host" is this machine alone: 127.0.0.0/8, ::1,
// localhost or a Unix socket. Names are not looked up; a wildcard is not
// loopback.
bool IsLoopback(absl::string_view address);

// FAILED_PRECONDITION, saying which, unless all addresses are on loopback.
absl::Status CheckInsecureAllowed(const std::vector<std::string>& addresses);

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_ADDRESS_H_
