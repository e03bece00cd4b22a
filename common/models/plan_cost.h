// What a planned model costs, from shapes alone.
#ifndef TACIT_COMMON_MODELS_PLAN_COST_H_
#define TACIT_COMMON_MODELS_PLAN_COST_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/schema.h"
#include "common/models/decoder.h"
#include "common/models/encoder.h"

namespace tacit {

// A pass: in all, and by part of the model ("embedding", "layers.3.attention",
// "head", ...), in program order. A round counts where it was waited for.
struct PassCost {
  Cost total;
  std::vector<std::pair<std::string, Cost>> parts;
};

// Bytes that a role needs, beside the process itself.
struct RoleMemory {
  uint64_t weights = 0;
  uint64_t kv_cache = 0;  // of one sequence that fills the context
};

struct PlanCost {
  // Of a decoder: all the context's positions but one, for a token; of an
  // encoder: a text of max_tokens.
  PassCost prefill;
  PassCost per_token;  // of the position that fills the context; decoders
  RoleMemory dealer, party;
};

// Errors: the program's.
absl::StatusOr<PlanCost> CostOf(const DecoderPlan& plan, WeightMode mode,
                                Rounding rounding);
absl::StatusOr<PlanCost> CostOf(const EncoderPlan& plan, WeightMode mode,
                                Rounding rounding);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_PLAN_COST_H_
