// Small files that hold keys and certificates.
#ifndef TACIT_SERVICES_SECURITY_FILES_H_
#define TACIT_SERVICES_SECURITY_FILES_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tacit {

// The whole file. NOT_FOUND, PERMISSION_DENIED or UNAVAILABLE with the system's
// reason; INVALID_ARGUMENT if it is larger than `max_bytes` or no plain file.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path,
                                          size_t max_bytes);

// As above, for a private key: PERMISSION_DENIED also if users other than the
// owner and its group may read or write it.
absl::StatusOr<std::string> ReadKeyFile(const std::string& path);

// Writes a file as a whole: readers see the old contents or the new, and a
// crash leaves one of the two. UNAVAILABLE or RESOURCE_EXHAUSTED (disk full)
// with the system's reason.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view contents, mode_t mode);

// Status for `errno`, as "<what>: <reason>".
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_FILES_H_
