// Writing the files of a model's folder.
#ifndef TACIT_COMMON_MODELS_FILES_H_
#define TACIT_COMMON_MODELS_FILES_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tacit {

// A failed system call's errno as "<path>: cannot <what>: <reason>":
// RESOURCE_EXHAUSTED for a full disk or quota and a file beyond its limit,
// PERMISSION_DENIED, else INTERNAL.
absl::Status FileError(int error, absl::string_view path,
                       absl::string_view what);

// write(2) until all is written. Errors: FileError's; `path` is for messages.
absl::Status WriteAll(int fd, absl::string_view path,
                      std::span<const uint8_t> bytes);

// Creates the file, readable by its owner only. Errors: FileError's; a file
// that is there already is one, and stays as it is.
absl::Status WriteNewFile(const std::string& path,
                          std::span<const uint8_t> contents);
absl::Status WriteNewFile(const std::string& path, absl::string_view contents);

// Copies a plain file to a new one, likewise; returns its bytes. Errors: also
// NOT_FOUND, and INVALID_ARGUMENT if `from` is something else.
absl::StatusOr<uint64_t> CopyToNewFile(const std::string& from,
                                       const std::string& to);

// Makes a folder's entries last: fsync(2).
absl::Status SyncFolder(const std::string& path);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_FILES_H_
