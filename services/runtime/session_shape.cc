#include "services/runtime/session_shape.h"

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
                                                     " prompts; the limit is ",
                                                     limits.max_sequences));
  }
  for (uint32_t tokens : shape.prompt_tokens()) {
    if (tokens > limits.max_prompt_tokens) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a prompt of ", tokens, " tokens; the limit is ",
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

absl::Status ReadModes(const v1::SessionShape& from, SessionProgram& to) {
  switch (from.sampling_mode()) {
    case v1::SAMPLING_MODE_CLIENT:
      to.shape.sampling = SamplingSide::kClient;
      break;
    case v1::SAMPLING_MODE_SECURE:
      to.shape.sampling = SamplingSide::kSecure;
      break;
    default:
      return Bad("sampling_mode", "not said");
  }
  switch (from.embedding_mode()) {
    case v1::EMBEDDING_MODE_SECURE:
      to.shape.embedding = EmbeddingSide::kSecure;
      break;
    case v1::EMBEDDING_MODE_CLIENT:
      to.shape.embedding = EmbeddingSide::kClient;
      break;
    default:
      return Bad("embedding_mode", "not said");
  }
  switch (from.rounding()) {
    case v1::ROUNDING_STOCHASTIC:
      to.rounding = Rounding::kStochastic;
      break;
    case v1::ROUNDING_FAITHFUL:
      to.rounding = Rounding::kFaithful;
      break;
    default:
      return Bad("rounding", "not said");
  }
  return absl::OkStatus();
}

}  // namespace

v1::SessionShape ToProto(const SessionProgram& program) {
  const GenerationShape& shape = program.shape;
  v1::SessionShape out;
  for (size_t tokens : shape.prompts) {
    out.add_prompt_tokens(static_cast<uint32_t>(tokens));
  }
  out.set_max_tokens(static_cast<uint32_t>(shape.steps));
  out.set_embedding_mode(shape.embedding == EmbeddingSide::kSecure
                             ? v1::EMBEDDING_MODE_SECURE
                             : v1::EMBEDDING_MODE_CLIENT);
  out.set_rounding(program.rounding == Rounding::kStochastic
                       ? v1::ROUNDING_STOCHASTIC
                       : v1::ROUNDING_FAITHFUL);
  out.set_sampling_mode(v1::SAMPLING_MODE_CLIENT);
  if (shape.sampling == SamplingSide::kSecure) {
    out.set_sampling_mode(v1::SAMPLING_MODE_SECURE);
    v1::SecureSampling* secure = out.mutable_secure_sampling();
    secure->set_temperature(shape.temperature);
    secure->set_top_k(static_cast<uint32_t>(shape.top_k));
    secure->set_top_p(shape.top_p);
  }
  return out;
}

absl::StatusOr<SessionProgram> FromProto(const v1::SessionShape& shape,
                                         const ShapeLimits& limits,
                                         const DecoderPlan& plan) {
  RETURN_IF_ERROR(CheckLimits(shape, limits));
  SessionProgram out;
  RETURN_IF_ERROR(ReadModes(shape, out));
  out.shape.prompts.assign(shape.prompt_tokens().begin(),
                           shape.prompt_tokens().end());
  out.shape.steps = shape.max_tokens();
  if (out.shape.sampling == SamplingSide::kSecure) {
    const v1::SecureSampling& secure = shape.secure_sampling();
    out.shape.temperature = secure.temperature();
    out.shape.top_k = secure.top_k();
    out.shape.top_p = secure.top_p();
    const bool temperature =
        out.shape.temperature == 0 ||
        (out.shape.temperature >= 1e-3 && out.shape.temperature <= 100);
    if (!temperature) return Bad("temperature", "outside [0.001, 100]");
    if (!(out.shape.top_p > 0 && out.shape.top_p <= 1)) {
      return Bad("top_p", "outside (0, 1]");
    }
  }
  RETURN_IF_ERROR(CheckShape(plan, out.shape));
  return out;
}

std::string ShapeKey(const SessionProgram& program) {
  // One message type with few fields, in one process: deterministic.
  return ToProto(program).SerializeAsString();
}

}  // namespace tacit
