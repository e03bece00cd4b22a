// What a role serves.
#ifndef TACIT_SERVICES_RUNTIME_SERVED_MODEL_H_
#define TACIT_SERVICES_RUNTIME_SERVED_MODEL_H_

#include <string>

#include "common/gates/session.h"
#include "common/gates/values.h"
#include "common/models/model.h"
#include "services/transport/service_bases.h"

namespace tacit {

// A provisioned model as one role holds it.
struct ServedModel {
  std::string name;
  ModelPlan plan;
  PlanDigest digest = {};
  WeightMode weights = WeightMode::kDealerHeld;
  ModelMatrices matrices;  // this role's; SECRET
};

v1::ModelKind ToProto(ModelKind kind);

// Answers GetPlan. The model must outlive it. Thread-safe.
class PlanServiceImpl final : public PlanServiceBase {
 public:
  explicit PlanServiceImpl(const ServedModel& model) : model_(model) {}

  grpc::Status GetPlan(grpc::ServerContext* context,
                       const v1::GetPlanRequest* request,
                       v1::GetPlanResponse* response) override;

 private:
  const ServedModel& model_;
};

// INVALID_ARGUMENT unless `bytes` is a session id or a digest by length.
absl::StatusOr<SessionId> ParseSessionId(const std::string& bytes);
absl::StatusOr<PlanDigest> ParseDigest(const std::string& bytes);
// FAILED_PRECONDITION, with the beginnings of both, unless they are equal.
absl::Status CheckDigest(const PlanDigest& ours, const PlanDigest& theirs);

}  // namespace tacit

#endif  // TACIT_SERVICES_RUNTIME_SERVED_MODEL_H_
