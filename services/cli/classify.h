// `tacit run` of a classifier.
#ifndef TACIT_SERVICES_CLI_CLASSIFY_H_
#define TACIT_SERVICES_CLI_CLASSIFY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/schema.h"
#include "services/cli/run.h"
#include "services/gateway/text.h"

namespace tacit {

struct ClassifyRunResult {
  std::vector<std::string> labels;
  std::vector<TextClass> texts;  // in the request's order
  Cost counted;
  // Loading, calibrating, planning, sharing; the dealer's wall clock; from the
  // first message to the logits; all.
  double seconds_plan = 0, seconds_material = 0, seconds_online = 0;
  double seconds_total = 0;
};

// Loads, plans, shares and classifies, with all roles as threads. Of `options`,
// the request is for decoders only.
// Errors: NOT_FOUND if there is no model; INVALID_ARGUMENT for a text that is
//   empty, no UTF-8 or too long; FAILED_PRECONDITION if the model is no
//   classifier.
absl::StatusOr<ClassifyRunResult> ClassifyModel(const RunOptions& options,
                                                const ClassifyRequest& request,
                                                const PhaseFn& on_phase);

// The labels with their probabilities, the likeliest first; of several texts,
// each behind its text.
std::string ToText(const ClassifyRunResult& result,
                   const ClassifyRequest& request);
// One text: its fields and the run's; several: "texts".
std::string ToJson(const ClassifyRunResult& result);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_CLASSIFY_H_
