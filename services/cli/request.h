// How a command shows a request and its result.
#ifndef TACIT_SERVICES_CLI_REQUEST_H_
#define TACIT_SERVICES_CLI_REQUEST_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/cli/run.h"
#include "services/gateway/text.h"

namespace tacit {

// Prints an error. Exit code: 1, or 2 for bad usage.
int Failed(const char* command, const absl::Status& status);

// Runs a request, streaming its text if it is one prompt, and prints the
// result: text to stdout, what is about it to stderr, or one JSON object to
// stdout. Returns the exit code.
int RunRequest(
    const char* command, const TextRequest& request, bool json,
    const std::function<absl::StatusOr<RunResult>(const RunEvents&)>& run);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_REQUEST_H_
