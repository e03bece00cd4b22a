#include "common/models/classify.h"

#include <memory>
#include <utility>

#include "common/base/status_macros.h"
#include "common/gates/two_party.h"

namespace tacit {

absl::StatusOr<ClassifyResult> ClassifyInProcess(
    const EncoderPlan& plan, const EncoderShares& shares,
    const PlanDigest& digest, const TextBatch& texts,
    const ClassifyOptions& options) {
  ASSIGN_OR_RETURN(const SessionSeeds seeds,
                   SessionSeeds::Generate(OsSeedSource()));
  ASSIGN_OR_RETURN(std::unique_ptr<Prg> masks, GatewayStream(seeds.gateway));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<ClassificationGateway> gateway,
      ClassificationGateway::Create(plan, texts, std::move(masks)));
  const ClassificationShape shape = ShapeOf(texts);
  TwoPartyOptions roles;
  roles.rounding = options.rounding;
  roles.plan = digest;
  roles.threads = options.threads;
  roles.accelerator = options.accelerator;
  UserLink link0(0, *gateway), link1(1, *gateway);
  ASSIGN_OR_RETURN(
      const RolesResult run,
      RunRoles(
          roles, seeds,
          [&](Evaluator& ev) { Classify(ev, plan, Pick(ev, shares), shape); },
          link0, link1,
          [&](int, const absl::Status& status) {
            if (!status.ok()) gateway->End(status);
          }));
  RETURN_IF_ERROR(run.FirstError());
  ClassifyResult result;
  result.logits = gateway->TakeLogits();
  result.counted = run.counted;
  result.seconds_material = run.seconds_deal;
  result.seconds = gateway->seconds_last();
  return result;
}

}  // namespace tacit
