// Commands of a deployment: the roles' processes, and the user's side of them.
#ifndef TACIT_SERVICES_CLI_SERVE_H_
#define TACIT_SERVICES_CLI_SERVE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/cli/classify.h"
#include "services/cli/run.h"
#include "services/cli/up.h"
#include "services/config/config.h"

namespace tacit {

// As RunModel, with dealer and parties as processes that come up for it and go
// afterwards.
absl::StatusOr<RunResult> RunDeployed(const RunOptions& options,
                                      const RunEvents& events);

// As ClassifyModel, likewise.
absl::StatusOr<ClassifyRunResult> ClassifyDeployed(
    const RunOptions& options, const ClassifyRequest& request,
    const PhaseFn& on_phase);

// A request to a deployment that runs.
absl::StatusOr<RunResult> InferOnce(const GatewayConfig& config,
                                    const TextRequest& request,
                                    const RunEvents& events);
absl::StatusOr<ClassifyRunResult> ClassifyOnce(const GatewayConfig& config,
                                               const ClassifyRequest& request,
                                               const PhaseFn& on_phase);

// What the roles of a deployment serve, as text; fails if one is out of reach
// or serves another plan.
absl::StatusOr<std::string> DeploymentStatus(const GatewayConfig& config);

// Keeps a deployment up until SIGINT or SIGTERM, or until a role ends.
absl::Status StayUp(const UpOptions& options);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_SERVE_H_
