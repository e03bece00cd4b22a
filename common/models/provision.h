// What `tacit provision` writes, one folder for each role, and how a role loads
// its own:
//
//   every folder  config.json and generation_config.json, as in the model's
//                 plan.json: the plan, and what FolderInfo has
//                 dealer-held           blind
//   dealer        weights.safetensors   weights.seed (of both streams of r_W)
//                 (W: I32 or I64)
//   party0        weights.seed (W_0)    weights.safetensors (W + r_W: U64)
//                                       weights.seed ([r_W]_0)
//   party1        weights.safetensors   weights.safetensors (the same)
//                 (W - W_0: U64)        weights.seed ([r_W]_1)
//   gateway       the tokenizer's files; embedding.safetensors (F32), if the
//                 user's side looks tokens up
//
// Tensors are named as ForEachMatrix does and stored as MatrixSpec
// lays them out. By itself a party's folder tells nothing about the weights,
// nor does a blind dealer's, nor the gateway's without the embedding. Both
// parties' together do, and a blind dealer's with either party's.
//
// Files may come from anywhere: everything is checked before use.
#ifndef TACIT_COMMON_MODELS_PROVISION_H_
#define TACIT_COMMON_MODELS_PROVISION_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/gates/session.h"
#include "common/gates/values.h"
#include "common/models/model.h"
#include "common/models/plan_file.h"
#include "common/models/weights.h"

namespace tacit {

enum class FolderRole { kDealer, kParty0, kParty1, kGateway };
inline constexpr FolderRole kFolderRoles[] = {
    FolderRole::kDealer, FolderRole::kParty0, FolderRole::kParty1,
    FolderRole::kGateway};
// "dealer", "party0", "party1", "gateway": also the folder's name.
absl::string_view ToString(FolderRole role);
// "dealer-held", "blind".
absl::string_view ToString(WeightMode mode);

// What plan.json says.
struct FolderInfo {
  FolderRole role = FolderRole::kDealer;
  std::string model;  // its name for users
  WeightMode weights = WeightMode::kDealerHeld;
  bool gateway_embedding = false;  // the gateway's folder has the embedding
  // Which run of provisioning wrote the folder: 16 random bytes, public, hex.
  std::string provision;
  std::string digest;  // DigestOf the plan, hex
  PlanFile plan;
};

struct ProvisionedPlan {
  FolderInfo info;
  ModelPlan plan;
  PlanDigest digest = {};
  // What sessions should carry: covers the plan, the weight mode, and the run
  // of provisioning, so that roles whose weights do not belong together stop
  // before anything is used.
  PlanDigest session_digest = {};
};

// Errors: NOT_FOUND for a missing file; INVALID_ARGUMENT, naming file and
//   field; FAILED_PRECONDITION, with both digests, if this program makes
//   another plan of the same numbers.
absl::StatusOr<ProvisionedPlan> LoadProvisionedPlan(const std::string& folder);

// The role's matrices with exactly its own buffers (see values.h).
// Errors: FAILED_PRECONDITION if the folder is another role's, or its weights
//   are of another role, mode or run of provisioning; NOT_FOUND for a missing
//   file or tensor; INVALID_ARGUMENT for another shape or dtype, tensors too
//   many, a truncated file; DATA_LOSS for bytes that are not those written;
//   PERMISSION_DENIED for a seed that everyone may read; RESOURCE_EXHAUSTED if
//   they do not fit into the machine's memory.
absl::StatusOr<ModelMatrices> LoadDealerMatrices(const std::string& folder,
                                                 const ProvisionedPlan& plan);
absl::StatusOr<ModelMatrices> LoadPartyMatrices(const std::string& folder,
                                                int party,
                                                const ProvisionedPlan& plan);

struct GatewayFolder {
  ProvisionedPlan plan;
  std::string tokenizer;  // folder for Tokenizer::Load
  // For EmbedToken: the fields `config`, `embedding` and `positions`. A
  // decoder's only.
  std::optional<ModelWeights> embedding;
};
// Errors: as above.
absl::StatusOr<GatewayFolder> LoadGatewayFolder(const std::string& folder);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_PROVISION_H_
