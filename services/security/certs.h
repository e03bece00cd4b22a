// Certificates for trying Tacit out: a CA, and one identity for each role.
#ifndef TACIT_SERVICES_SECURITY_CERTS_H_
#define TACIT_SERVICES_SECURITY_CERTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tacit {

struct CertsOptions {
  std::string out;                 // folder to write; made if need be
  std::vector<std::string> hosts;  // besides localhost, 127.0.0.1 and ::1
  int days = 90;                   // that the certificates are valid
  std::string trust_domain = "tacit.local";
  std::string gateway = "local";  // name of the gateway's identity
  bool force = false;             // overwrite what is there, the CA too
  bool renew = false;  // keep the CA, replace the roles' certificates
};

// Writes under `out`:
//
//   ca.pem                          the root that every role trusts
//   ca-key.pem                      its key; needed for renewing only
//   dealer/ party0/ party1/ gateway/ operator/
//       ca.pem  cert.pem  key.pem   all that the role's machine needs
//
// New folders have mode 0700, keys 0600. Keys are ECDSA P-256. All certificates
// serve as client and as server. Files are replaced one by one, each as a
// whole: running services with live reload take up a renewed pair.
//
// Returns the paths written. Errors: INVALID_ARGUMENT for a bad option;
// ALREADY_EXISTS if a file is there and neither `force` nor `renew` is set
// (nothing is written); NOT_FOUND if `renew` finds no CA; INTERNAL,
// UNAVAILABLE, PERMISSION_DENIED, RESOURCE_EXHAUSTED if making or writing them
// fails.
//
// For development: whoever reads ca-key.pem can be any role. Between operators
// that don't trust each other, each asks a CA of its own or a common one for
// its certificate, and no key leaves the machine where it was made.
absl::StatusOr<std::vector<std::string>> MakeDevelopmentCerts(
    const CertsOptions& options);

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_CERTS_H_
