// `tacit plan`: rings and costs of a model before anything runs.
#ifndef TACIT_SERVICES_CLI_PLAN_H_
#define TACIT_SERVICES_CLI_PLAN_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/values.h"
#include "common/models/decoder.h"

namespace tacit {

struct PlanOptions {
  std::string model;   // folder; empty: the demo model
  std::string shape;   // instead of a folder; see models/shapes.h
  size_t context = 0;  // 0: 128, or what the model holds if that is less
  std::string save;    // file to write the plan to
  bool cost = false;   // by part, and beside SIGMA's
  bool json = false;
  Objective objective = Objective::kBytes;
  Rounding rounding = Rounding::kStochastic;
  WeightMode weights = WeightMode::kDealerHeld;
};

// The plan and its costs as text: a table, or JSON with `per_token` and
// `prefill` {rounds, opened_bytes, material_bytes, aes_calls}, byte counts as
// [party0, party1].
// Errors: NOT_FOUND for an unknown shape or no model; INVALID_ARGUMENT for a
//   context that the model does not hold; the plan's.
absl::StatusOr<std::string> PlanReport(const PlanOptions& options);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_PLAN_H_
