// A model of either kind: a decoder, which generates, or a classifier.
//
// What both have in common is here, so that whoever provisions, deals or
// computes need not know which of them it is.
#ifndef TACIT_COMMON_MODELS_MODEL_H_
#define TACIT_COMMON_MODELS_MODEL_H_

#include <cstddef>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/gates/evaluator.h"
#include "common/gates/session.h"
#include "common/models/classification.h"
#include "common/models/decoder.h"
#include "common/models/encoder.h"
#include "common/models/generation.h"
#include "common/models/plan_file.h"
#include "common/models/share_weights.h"

namespace tacit {

// Alternatives of the variants below have this order.
enum class ModelKind { kDecoder, kClassifier };
// "decoder", "classifier".
absl::string_view ToString(ModelKind kind);

template <typename T>
using ModelTensors = std::variant<DecoderTensors<T>, EncoderTensors<T>>;
using ModelSpecs = ModelTensors<MatrixSpec>;
using ModelMatrices = ModelTensors<StaticMatrix>;
using ModelPlan = std::variant<DecoderPlan, EncoderPlan>;
// What is public about a session.
using ProgramShape = std::variant<GenerationShape, ClassificationShape>;

// f(name, matrix) for each of a model's matrices, in a fixed order.
template <typename Tensors, typename F>
void ForEachMatrix(Tensors& tensors, F f) {
  std::visit([&](auto& one) { one.ForEach(f); }, tensors);
}

// The plan that follows from a model's configuration and its plan file.
// Errors: PlanDecoder's, PlanEncoder's; UNIMPLEMENTED for an encoder without a
//   classifier.
absl::StatusOr<ModelPlan> PlanOf(const ModelConfig& config,
                                 const PlanFile& file);
ModelKind KindOf(const ModelPlan& plan);
ModelKind KindOf(const ModelConfig& config);
const ModelConfig& ConfigOf(const ModelPlan& plan);
// Positions that a sequence, or a text, may have.
size_t ContextOf(const ModelPlan& plan);
absl::StatusOr<PlanDigest> DigestOf(const ModelPlan& plan);

// The shapes of a plan's matrices; the matrices without contents.
ModelSpecs SpecsOf(const ModelPlan& plan);
ModelMatrices ShapesOnly(const ModelPlan& plan, WeightMode mode);

// Tokens of all prompts, or texts.
size_t InputTokens(const ProgramShape& shape);
// Tokens to generate for each prompt at most; 0 where texts are classified.
size_t MaxTokens(const ProgramShape& shape);
// FAILED_PRECONDITION, saying what to call instead, unless the model is of this
// kind.
absl::Status CheckKind(const ModelPlan& plan, ModelKind wanted);
// CheckKind; then as the CheckShape of its kind.
absl::Status CheckShape(const ModelPlan& plan, const ProgramShape& shape);

// The program of that shape: Generate or Classify.
// Errors (sticky): INVALID_ARGUMENT if plan, weights and shape are not of one
//   kind; the program's.
void RunModelProgram(Evaluator& ev, const ModelPlan& plan,
                     const ModelMatrices& weights, const ProgramShape& shape);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_MODEL_H_
