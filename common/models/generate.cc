#include "common/models/generate.h"

#include <memory>
#include <utility>

#include "common/base/status_macros.h"
#include "common/gates/two_party.h"

namespace tacit {

absl::StatusOr<GenerateResult> GenerateInProcess(
    const DecoderPlan& plan, const DecoderShares& shares,
    const PlanDigest& digest, const std::vector<std::vector<int64_t>>& prompts,
    const GenerateOptions& options, GenerationGateway::TokenFn on_token,
    GenerationGateway::EmbedFn embed) {
  const GenerationShape shape =
      MakeShape(prompts, options.max_tokens, options.sampling_side,
                options.embedding_side, options.sampling);
  ASSIGN_OR_RETURN(const SessionSeeds seeds,
                   SessionSeeds::Generate(OsSeedSource()));
  ASSIGN_OR_RETURN(std::unique_ptr<Prg> masks, GatewayStream(seeds.gateway));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GenerationGateway> gateway,
      GenerationGateway::Create(
          plan, shape, prompts, {options.sampling, options.stop_tokens},
          std::move(masks), std::move(on_token), std::move(embed)));
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
          [&](Evaluator& ev) { Generate(ev, plan, Pick(ev, shares), shape); },
          link0, link1,
          [&](int, const absl::Status& status) {
            if (!status.ok()) gateway->End(status);
          }));
  // After a stop the roles end with what is left over; that is no error.
  if (!gateway->stopped()) RETURN_IF_ERROR(run.FirstError());
  GenerateResult result;
  result.sequences = gateway->TakeSequences();
  result.counted = run.counted;
  result.seconds_material = run.seconds_deal;
  result.seconds_prefill = gateway->seconds_first();
  result.seconds_decode = gateway->seconds_last() - result.seconds_prefill;
  return result;
}

}  // namespace tacit
