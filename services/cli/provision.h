// `tacit provision`: a model, split for the machines that serve it.
#ifndef TACIT_SERVICES_CLI_PROVISION_H_
#define TACIT_SERVICES_CLI_PROVISION_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "common/gates/values.h"
#include "common/models/decoder.h"
#include "common/models/split_model.h"

namespace tacit {

struct ProvisionOptions {
  std::string model;   // folder; empty: the demo model
  std::string out;     // folder to write
  std::string name;    // empty: that of the model's folder
  std::string plan;    // file; empty: calibrate now
  size_t context = 0;  // 0: the plan file's, or 1024 if the model holds that
  std::optional<Objective> objective;  // none: the plan file's, or bytes
  WeightMode weights = WeightMode::kDealerHeld;
  bool client_embedding = false;
  bool force = false;
};

// Plans and splits. Errors: SplitModel's; INVALID_ARGUMENT for a context that
// the model or the plan file does not hold; RESOURCE_EXHAUSTED if a model that
// is to be calibrated does not fit into memory.
absl::StatusOr<SplitResult> ProvisionModel(
    const ProvisionOptions& options,
    const std::function<bool(size_t done, size_t pieces)>& on_progress = {});

// Adds the subcommand; parsing fills `options`, which must outlive `app`.
CLI::App* AddProvisionCommand(CLI::App& app, ProvisionOptions& options);

// Provisions and says what was written. Exit code: 0 done, 1 failed, 2 bad
// usage (which includes folders that are already there).
int RunProvisionCommand(const ProvisionOptions& options);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_PROVISION_H_
