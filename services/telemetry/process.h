// What every service does to its own process first.
#ifndef TACIT_SERVICES_TELEMETRY_PROCESS_H_
#define TACIT_SERVICES_TELEMETRY_PROCESS_H_

#include "absl/status/status.h"

namespace tacit {

// Keeps secrets out of core dumps, debuggers of the same user and new files:
// RLIMIT_CORE 0, PR_SET_DUMPABLE 0 (not under AddressSanitizer, whose leak
// check attaches to the process), umask 077. Ignores SIGPIPE and SIGXFSZ, so
// that a closed connection or a file size limit is an error and not the end.
// Call it first in main. Returns the system's error.
absl::Status HardenProcess();

}  // namespace tacit

#endif  // TACIT_SERVICES_TELEMETRY_PROCESS_H_
