#include "services/runtime/served_model.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/models/plan_file.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

template <typename Id>
absl::StatusOr<Id> ParseBytes(const std::string& bytes,
                              absl::string_view name) {
  Id id;
  if (bytes.size() != id.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " of ", bytes.size(), " bytes, which has ", id.size()));
  }
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

std::string Beginning(const PlanDigest& digest) {
  return ToHex(digest).substr(0, 16);
}

void AddLogits(const DecoderPlan& plan, v1::PlanSummary& out) {
  out.set_logit_fraction_bits(kLogitFrac);
  out.set_logit_width_bits(static_cast<uint32_t>(plan.logit_ring));
}
void AddLogits(const EncoderPlan& plan, v1::PlanSummary& out) {
  out.set_logit_fraction_bits(kEncoderLogitFrac);
  out.set_logit_width_bits(static_cast<uint32_t>(plan.logit_ring));
  out.set_segment_width_bits(
      static_cast<uint32_t>(TokenWidth(plan.config.type_vocab_size)));
  for (const std::string& label : plan.config.labels) out.add_labels(label);
}

// But for the model's name, digest and weights.
v1::PlanSummary Summarize(const ModelPlan& plan) {
  const ModelConfig& config = ConfigOf(plan);
  v1::PlanSummary out;
  out.set_model_kind(ToProto(KindOf(plan)));
  out.set_architecture(std::string(ToString(config.architecture)));
  out.set_context_tokens(static_cast<uint32_t>(ContextOf(plan)));
  out.set_vocabulary_size(static_cast<uint32_t>(config.vocab_size));
  out.set_token_width_bits(
      static_cast<uint32_t>(TokenWidth(config.vocab_size)));
  std::visit([&](const auto& one) { AddLogits(one, out); }, plan);
  return out;
}

}  // namespace

v1::ModelKind ToProto(ModelKind kind) {
  return kind == ModelKind::kDecoder ? v1::MODEL_KIND_DECODER
                                     : v1::MODEL_KIND_CLASSIFIER;
}

grpc::Status PlanServiceImpl::GetPlan(grpc::ServerContext*,
                                      const v1::GetPlanRequest*,
                                      v1::GetPlanResponse* response) {
  v1::PlanSummary* plan = response->mutable_plan();
  *plan = Summarize(model_.plan);
  plan->set_digest(model_.digest.data(), model_.digest.size());
  plan->set_model_name(model_.name);
  plan->set_weight_mode(model_.weights == WeightMode::kDealerHeld
                            ? v1::WEIGHT_MODE_DEALER_HELD
                            : v1::WEIGHT_MODE_BLIND);
  return grpc::Status::OK;
}

absl::StatusOr<SessionId> ParseSessionId(const std::string& bytes) {
  return ParseBytes<SessionId>(bytes, "a session id");
}
absl::StatusOr<PlanDigest> ParseDigest(const std::string& bytes) {
  return ParseBytes<PlanDigest>(bytes, "a plan's digest");
}

absl::Status CheckDigest(const PlanDigest& ours, const PlanDigest& theirs) {
  if (ours == theirs) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the caller's plan is ", Beginning(theirs), "..., this role's ",
      Beginning(ours), "...: provision all roles from one model"));
}

}  // namespace tacit
