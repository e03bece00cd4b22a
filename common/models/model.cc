#include "common/models/model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

size_t Positions(const DecoderPlan& plan) { return plan.context; }
size_t Positions(const EncoderPlan& plan) { return plan.max_tokens; }

ModelSpecs Specs(const DecoderPlan& plan) {
  return DecoderSpecs(plan, nullptr);
}
ModelSpecs Specs(const EncoderPlan& plan) {
  return EncoderSpecs(plan, nullptr);
}

}  // namespace

absl::string_view ToString(ModelKind kind) {
  return kind == ModelKind::kDecoder ? "decoder" : "classifier";
}

absl::StatusOr<ModelPlan> PlanOf(const ModelConfig& config,
                                 const PlanFile& file) {
  if (!config.is_bert()) {
    return PlanDecoder(config, file.bounds, file.context, file.objective);
  }
  if (config.architecture != Architecture::kBertClassifier) {
    return absl::UnimplementedError(absl::StrCat(
        ToString(config.architecture),
        " has no classifier; of encoders, only classifiers are served"));
  }
  return PlanEncoder(config, file.bounds, file.context);
}

ModelKind KindOf(const ModelPlan& plan) {
  return static_cast<ModelKind>(plan.index());
}
ModelKind KindOf(const ModelConfig& config) {
  return config.is_bert() ? ModelKind::kClassifier : ModelKind::kDecoder;
}

const ModelConfig& ConfigOf(const ModelPlan& plan) {
  return std::visit(
      [](const auto& one) -> const ModelConfig& { return one.config; }, plan);
}

size_t ContextOf(const ModelPlan& plan) {
  return std::visit([](const auto& one) { return Positions(one); }, plan);
}

absl::StatusOr<PlanDigest> DigestOf(const ModelPlan& plan) {
  return std::visit([](const auto& one) { return DigestOf(one); }, plan);
}

ModelSpecs SpecsOf(const ModelPlan& plan) {
  return std::visit([](const auto& one) { return Specs(one); }, plan);
}

ModelMatrices ShapesOnly(const ModelPlan& plan, WeightMode mode) {
  return std::visit(
      [mode](const auto& specs) -> ModelMatrices {
        return ShapesOnly(specs, mode);
      },
      SpecsOf(plan));
}

size_t InputTokens(const ProgramShape& shape) {
  if (const auto* one = std::get_if<GenerationShape>(&shape)) {
    return one->prompt_tokens();
  }
  return std::get<ClassificationShape>(shape).tokens();
}

size_t MaxTokens(const ProgramShape& shape) {
  const auto* one = std::get_if<GenerationShape>(&shape);
  return one == nullptr ? 0 : one->steps;
}

absl::Status CheckKind(const ModelPlan& plan, ModelKind wanted) {
  if (KindOf(plan) == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(
      wanted == ModelKind::kDecoder
          ? "the model classifies texts and cannot continue them: call "
            "Classify"
          : "the model continues texts and does not classify them: call "
            "Complete, or Infer of the SDK");
}

absl::Status CheckShape(const ModelPlan& plan, const ProgramShape& shape) {
  RETURN_IF_ERROR(CheckKind(plan, static_cast<ModelKind>(shape.index())));
  if (const auto* decoder = std::get_if<DecoderPlan>(&plan)) {
    return CheckShape(*decoder, std::get<GenerationShape>(shape));
  }
  return CheckShape(std::get<EncoderPlan>(plan),
                    std::get<ClassificationShape>(shape));
}

void RunModelProgram(Evaluator& ev, const ModelPlan& plan,
                     const ModelMatrices& weights, const ProgramShape& shape) {
  if (plan.index() != shape.index() || plan.index() != weights.index()) {
    ev.Reject("Model", "plan, weights and shape are not of one kind");
    return;
  }
  if (const auto* decoder = std::get_if<DecoderPlan>(&plan)) {
    Generate(ev, *decoder, std::get<DecoderMatrices>(weights),
             std::get<GenerationShape>(shape));
  } else {
    Classify(ev, std::get<EncoderPlan>(plan),
             std::get<EncoderMatrices>(weights),
             std::get<ClassificationShape>(shape));
  }
}

}  // namespace tacit
