#include "services/telemetry/process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>

#include "services/security/files.h"

namespace tacit {

absl::Status HardenProcess() {
  const rlimit none = {0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) {
    return ErrnoStatus(errno, "no core dumps");
  }
#if !defined(__SANITIZE_ADDRESS__)
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) {
    return ErrnoStatus(errno, "no debuggers");
  }
#endif
  ::umask(077);
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
      ::signal(SIGXFSZ, SIG_IGN) == SIG_ERR) {
    return ErrnoStatus(errno, "ignoring signals");
  }
  return absl::OkStatus();
}

}  // namespace tacit
