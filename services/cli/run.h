// `tacit run`: private generation from a model's folder.
#ifndef TACIT_SERVICES_CLI_RUN_H_
#define TACIT_SERVICES_CLI_RUN_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/values.h"
#include "common/models/generate.h"
#include "services/gateway/text.h"

namespace tacit {

struct RunOptions {
  std::string model;  // folder; empty: the demo model
  std::string plan;   // file; empty: calibrate now
  TextRequest request;
  WeightMode weights = WeightMode::kDealerHeld;
  int threads = 1;             // of each role
  std::string device = "cpu";  // of all roles: ParseDevice
};

struct RunResult {
  std::vector<TextSequence> sequences;
  Cost counted;
  // Loading, calibrating, planning, sharing; the dealer's wall clock; to the
  // first tokens; from there to the last; all.
  double seconds_plan = 0, seconds_material = 0;
  double seconds_prefill = 0, seconds_decode = 0;
  double seconds_total = 0;

  size_t tokens() const;
};

// What a run is at: "planning", ...
using PhaseFn = std::function<void(const std::string& phase)>;

// What a run tells while it goes on.
struct RunEvents {
  TextFn on_text;
  PhaseFn on_phase;
};

// Loads, plans, shares and generates.
// Errors: NOT_FOUND if there is no model, or no chat template for `chat`;
//   INVALID_ARGUMENT for a prompt that is empty, no UTF-8 or too long, and for
//   options out of range; UNIMPLEMENTED for models that are no decoders.
absl::StatusOr<RunResult> RunModel(const RunOptions& options,
                                   const RunEvents& events);

// One prompt: the fields of its sequence and of the run; several: "sequences".
std::string ToJson(const RunResult& result);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_RUN_H_
