// `tacit certs`: certificates for trying Tacit out.
#ifndef TACIT_SERVICES_CLI_CERTS_H_
#define TACIT_SERVICES_CLI_CERTS_H_

#include "CLI/CLI.hpp"
#include "services/security/certs.h"

namespace tacit {

// Adds the subcommand; parsing fills `options`, which must outlive `app`.
CLI::App* AddCertsCommand(CLI::App& app, CertsOptions& options);

// Writes the files and says which. Exit code: 0 done, 1 failed, 2 bad usage
// (which includes files that are already there).
int RunCertsCommand(const CertsOptions& options);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_CERTS_H_
