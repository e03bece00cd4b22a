#include "services/runtime/session_shape.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

absl::Status Bad(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("the session's shape: ", field, ": ", why));
}

absl::Status CheckLimits(const v1::SessionShape& shape,
                         const ShapeLimits& limits) {
  const size_t sequences = static_cast<size_t>(shape.prompt_tokens_size());
  if (sequences > limits.max_sequences) {
    return absl::ResourceExhaustedError(absl::StrCat("a batch of ", sequences,
                                                     " texts; the limit is ",
                                                     limits.max_sequences));
  }
  for (uint32_t tokens : shape.prompt_tokens()) {
    if (tokens > limits.max_prompt_tokens) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a text of ", tokens, " tokens; the limit is ",
                       limits.max_prompt_tokens));
    }
  }
  if (shape.max_tokens() > limits.max_tokens) {
    return absl::ResourceExhaustedError(
        absl::StrCat(shape.max_tokens(), " tokens to generate; the limit is ",
                     limits.max_tokens));
  }
  return absl::OkStatus();
}

absl::StatusOr<Rounding> ReadRounding(const v1::SessionShape& from) {
  switch (from.rounding()) {
    case v1::ROUNDING_STOCHASTIC:
      return Rounding::kStochastic;
    case v1::ROUNDING_FAITHFUL:
      return Rounding::kFaithful;
    default:
      return Bad("rounding", "not said");
  }
}

absl::Status ReadModes(const v1::SessionShape& from, GenerationShape& to) {
  switch (from.sampling_mode()) {
    case v1::SAMPLING_MODE_CLIENT:
      to.sampling = SamplingSide::kClient;
      break;
    case v1::SAMPLING_MODE_SECURE:
      to.sampling = SamplingSide::kSecure;
      break;
    default:
      return Bad("sampling_mode", "not said");
  }
  switch (from.embedding_mode()) {
    case v1::EMBEDDING_MODE_SECURE:
      to.embedding = EmbeddingSide::kSecure;
      break;
    case v1::EMBEDDING_MODE_CLIENT:
      to.embedding = EmbeddingSide::kClient;
      break;
    default:
      return Bad("embedding_mode", "not said");
  }
  return absl::OkStatus();
}

absl::StatusOr<GenerationShape> ReadGeneration(const v1::SessionShape& from) {
  GenerationShape to;
  RETURN_IF_ERROR(ReadModes(from, to));
  to.prompts.assign(from.prompt_tokens().begin(), from.prompt_tokens().end());
  to.steps = from.max_tokens();
  if (to.sampling != SamplingSide::kSecure) return to;
  const v1::SecureSampling& secure = from.secure_sampling();
  to.temperature = secure.temperature();
  to.top_k = secure.top_k();
  to.top_p = secure.top_p();
  const bool temperature =
      to.temperature == 0 || (to.temperature >= 1e-3 && to.temperature <= 100);
  if (!temperature) return Bad("temperature", "outside [0.001, 100]");
  if (!(to.top_p > 0 && to.top_p <= 1)) return Bad("top_p", "outside (0, 1]");
  return to;
}

// Fields that would mean nothing are refused: whoever sent them wanted
// something else.
absl::StatusOr<ClassificationShape> ReadClassification(
    const v1::SessionShape& from) {
  constexpr char kForGeneration[] = "is for generation, not for classification";
  if (from.max_tokens() != 0) return Bad("max_tokens", kForGeneration);
  if (from.sampling_mode() != v1::SAMPLING_MODE_UNSPECIFIED) {
    return Bad("sampling_mode", kForGeneration);
  }
  if (from.has_secure_sampling()) return Bad("secure_sampling", kForGeneration);
  if (from.embedding_mode() != v1::EMBEDDING_MODE_UNSPECIFIED) {
    return Bad("embedding_mode", kForGeneration);
  }
  ClassificationShape to;
  to.lengths.assign(from.prompt_tokens().begin(), from.prompt_tokens().end());
  to.segments = from.classification().segments();
  return to;
}

void Write(const GenerationShape& shape, v1::SessionShape& out) {
  for (size_t tokens : shape.prompts) {
    out.add_prompt_tokens(static_cast<uint32_t>(tokens));
  }
  out.set_max_tokens(static_cast<uint32_t>(shape.steps));
  out.set_embedding_mode(shape.embedding == EmbeddingSide::kSecure
                             ? v1::EMBEDDING_MODE_SECURE
                             : v1::EMBEDDING_MODE_CLIENT);
  out.set_sampling_mode(v1::SAMPLING_MODE_CLIENT);
  if (shape.sampling == SamplingSide::kSecure) {
    out.set_sampling_mode(v1::SAMPLING_MODE_SECURE);
    v1::SecureSampling* secure = out.mutable_secure_sampling();
    secure->set_temperature(shape.temperature);
    secure->set_top_k(static_cast<uint32_t>(shape.top_k));
    secure->set_top_p(shape.top_p);
  }
}

void Write(const ClassificationShape& shape, v1::SessionShape& out) {
  for (size_t tokens : shape.lengths) {
    out.add_prompt_tokens(static_cast<uint32_t>(tokens));
  }
  out.mutable_classification()->set_segments(shape.segments);
}

}  // namespace

v1::SessionShape ToProto(const SessionProgram& program) {
  v1::SessionShape out;
  std::visit([&](const auto& shape) { Write(shape, out); }, program.shape);
  out.set_rounding(program.rounding == Rounding::kStochastic
                       ? v1::ROUNDING_STOCHASTIC
                       : v1::ROUNDING_FAITHFUL);
  return out;
}

absl::StatusOr<SessionProgram> FromProto(const v1::SessionShape& shape,
                                         const ShapeLimits& limits,
                                         const ModelPlan& plan) {
  const bool classifies = shape.has_classification();
  RETURN_IF_ERROR(CheckKind(
      plan, classifies ? ModelKind::kClassifier : ModelKind::kDecoder));
  RETURN_IF_ERROR(CheckLimits(shape, limits));
  SessionProgram out;
  ASSIGN_OR_RETURN(out.rounding, ReadRounding(shape));
  if (classifies) {
    ASSIGN_OR_RETURN(out.shape, ReadClassification(shape));
  } else {
    ASSIGN_OR_RETURN(out.shape, ReadGeneration(shape));
  }
  RETURN_IF_ERROR(CheckShape(plan, out.shape));
  return out;
}

std::string ShapeKey(const SessionProgram& program) {
  // One message type with few fields, in one process: deterministic.
  return ToProto(program).SerializeAsString();
}

}  // namespace tacit
