// How a command shows a request and its result.
#ifndef TACIT_SERVICES_CLI_REQUEST_H_
#define TACIT_SERVICES_CLI_REQUEST_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/cli/classify.h"
#include "services/cli/options.h"
#include "services/cli/run.h"
#include "services/gateway/text.h"

namespace tacit {

// Prints an error. Exit code: 1, or 2 for bad usage.
int Failed(const char* command, const absl::Status& status);

// How a command runs a request of either kind.
using GenerateFn = std::function<absl::StatusOr<RunResult>(
    const TextRequest& request, const RunEvents& events)>;
using ClassifyFn = std::function<absl::StatusOr<ClassifyRunResult>(
    const ClassifyRequest& request, const PhaseFn& on_phase)>;

// Runs a request as the model in `folder` takes it (empty: the demo model),
// streaming its text if it is one prompt to continue, and prints the result:
// text to stdout, what is about it to stderr, or one JSON object to stdout.
// Returns the exit code.
int RunRequest(const char* command, const std::string& folder,
               const RequestOptions& request, bool json,
               const GenerateFn& generate, const ClassifyFn& classify);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_REQUEST_H_
