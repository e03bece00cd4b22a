// The roles as processes, from their configuration.
#ifndef TACIT_SERVICES_RUNTIME_ROLES_H_
#define TACIT_SERVICES_RUNTIME_ROLES_H_

#include "absl/status/status.h"
#include "services/config/config.h"

namespace tacit {

// Load what was provisioned, open the ledger, listen, and serve until SIGTERM
// or SIGINT; then drain. Errors: what kept the role from starting: files,
// certificates, addresses, a ledger in use.
absl::Status ServeDealer(const DealerConfig& config);
absl::Status ServeParty(const PartyConfig& config);
// Without a ledger; the roles that it calls may come later.
absl::Status ServeGateway(const GatewayConfig& config);

}  // namespace tacit

#endif  // TACIT_SERVICES_RUNTIME_ROLES_H_
