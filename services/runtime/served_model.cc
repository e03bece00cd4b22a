#include "services/runtime/served_model.h"

#include <algorithm>

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

}  // namespace

grpc::Status PlanServiceImpl::GetPlan(grpc::ServerContext*,
                                      const v1::GetPlanRequest*,
                                      v1::GetPlanResponse* response) {
  const ModelConfig& config = model_.plan.config;
  v1::PlanSummary* plan = response->mutable_plan();
  plan->set_digest(model_.digest.data(), model_.digest.size());
  plan->set_model_name(model_.name);
  plan->set_architecture(std::string(ToString(config.architecture)));
  plan->set_context_tokens(static_cast<uint32_t>(model_.plan.context));
  plan->set_vocabulary_size(static_cast<uint32_t>(config.vocab_size));
  plan->set_token_width_bits(
      static_cast<uint32_t>(TokenWidth(config.vocab_size)));
  plan->set_logit_fraction_bits(kLogitFrac);
  plan->set_logit_width_bits(static_cast<uint32_t>(model_.plan.logit_ring));
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
