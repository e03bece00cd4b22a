// A session's public shape on the wire, and as the program has it.
#ifndef TACIT_SERVICES_RUNTIME_SESSION_SHAPE_H_
#define TACIT_SERVICES_RUNTIME_SESSION_SHAPE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/models/model.h"
#include "tacit/v1/plan.pb.h"

namespace tacit {

// With a plan it fixes the program, and with the program every size.
struct SessionProgram {
  ProgramShape shape;
  Rounding rounding = Rounding::kStochastic;
};

struct ShapeLimits {
  size_t max_sequences = 64;        // prompts, or texts
  size_t max_prompt_tokens = 4096;  // of each
  size_t max_tokens = 4096;
};

v1::SessionShape ToProto(const SessionProgram& program);
// Checks everything against limits and plan before any memory is taken.
// Errors: INVALID_ARGUMENT, naming the field; RESOURCE_EXHAUSTED above a limit;
//   FAILED_PRECONDITION, saying what to call, if the shape is for another kind
//   of model.
absl::StatusOr<SessionProgram> FromProto(const v1::SessionShape& shape,
                                         const ShapeLimits& limits,
                                         const ModelPlan& plan);

// Equal for equal programs.
std::string ShapeKey(const SessionProgram& program);

}  // namespace tacit

#endif  // TACIT_SERVICES_RUNTIME_SESSION_SHAPE_H_
