#include "services/cli/certs.h"

#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tacit {

CLI::App* AddCertsCommand(CLI::App& app, CertsOptions& options) {
  CLI::App* certs = app.add_subcommand(
      "certs", "Make a development CA and a certificate for each role");
  certs->add_option("--out", options.out, "Folder to write")->required();
  certs
      ->add_option("--host", options.hosts,
                   "Host name or address of a server, besides localhost; may "
                   "be given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  certs->add_option("--days", options.days, "Validity in days")
      ->capture_default_str();
  certs
      ->add_option("--trust-domain", options.trust_domain,
                   "Of the identities, spiffe://<trust domain>/<role>")
      ->capture_default_str();
  certs
      ->add_option("--gateway-name", options.gateway,
                   "Of the gateway's identity")
      ->capture_default_str();
  CLI::Option* force = certs->add_flag("--force", options.force,
                                       "Replace everything, the CA too");
  certs
      ->add_flag("--renew", options.renew,
                 "Keep the CA, replace the roles' certificates")
      ->excludes(force);
  return certs;
}

int RunCertsCommand(const CertsOptions& options) {
  const absl::StatusOr<std::vector<std::string>> written =
      MakeDevelopmentCerts(options);
  if (!written.ok()) {
    std::fprintf(stderr, "tacit certs: %s\n",
                 std::string(written.status().message()).c_str());
    const bool usage = absl::IsInvalidArgument(written.status()) ||
                       absl::IsAlreadyExists(written.status());
    return usage ? 2 : 1;
  }
  for (const std::string& path : *written) std::puts(path.c_str());
  return 0;
}

}  // namespace tacit
