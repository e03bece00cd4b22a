// `tacit run`: private generation from a model's folder.
#ifndef TACIT_SERVICES_CLI_RUN_H_
#define TACIT_SERVICES_CLI_RUN_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/values.h"
#include "common/models/generate.h"

namespace tacit {

struct RunOptions {
  std::string model;  // folder; empty: the demo model
  std::string prompt;
  size_t max_tokens = 64;
  SamplingOptions sampling;
  std::vector<std::string> stop;  // texts that end the generation
  Rounding rounding = Rounding::kStochastic;
  WeightMode weights = WeightMode::kDealerHeld;
  int threads = 1;
};

struct RunResult {
  std::string text;  // the continuation
  size_t prompt_tokens = 0;
  GenerateResult generated;
  double seconds_plan = 0;  // loading, calibrating, planning, sharing
  double seconds_total = 0;
};

// Loads, calibrates, plans, shares and generates. `on_text` gets the text as it
// is decoded; pieces are valid UTF-8.
// Errors: NOT_FOUND if there is no model; INVALID_ARGUMENT for a prompt that is
//   empty, no UTF-8 or too long, and for options out of range; UNIMPLEMENTED
//   for models that are no decoders with rotary positions.
absl::StatusOr<RunResult> RunModel(
    const RunOptions& options,
    const std::function<void(const std::string& piece)>& on_text);

std::string ToJson(const RunResult& result);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_RUN_H_
