// The files of a role's folder (see provision.h), for its writer and reader.
#ifndef TACIT_COMMON_MODELS_PROVISION_FORMAT_H_
#define TACIT_COMMON_MODELS_PROVISION_FORMAT_H_

#include <xxhash.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/gates/session.h"
#include "common/models/provision.h"
#include "common/prg/seed.h"

namespace tacit {

inline constexpr char kConfigName[] = "config.json";
inline constexpr char kGenerationName[] = "generation_config.json";
inline constexpr char kPlanName[] = "plan.json";
inline constexpr char kWeightsName[] = "weights.safetensors";
inline constexpr char kSeedName[] = "weights.seed";
inline constexpr char kEmbeddingName[] = "embedding.safetensors";

// A file that tokenizers are loaded from.
bool IsTokenizerFile(absl::string_view name);
// Any file of any role's folder.
bool IsProvisionedFile(absl::string_view name);
// Whether a role's folder has these.
bool HasWeights(FolderRole role, WeightMode mode);
bool HasSeed(FolderRole role, WeightMode mode);

// plan.json. INVALID_ARGUMENT, naming the field.
std::string ToJson(const FolderInfo& info);
absl::StatusOr<FolderInfo> ParseFolderInfo(absl::string_view text);
// Of a name for users: printable ASCII without spaces, quotes and backslashes,
// at most 128 bytes. INVALID_ARGUMENT.
absl::Status CheckModelName(absl::string_view name);

// Whether a gateway can look this model's tokens up. INVALID_ARGUMENT.
absl::Status CheckGatewayEmbedding(const ModelPlan& plan);

// See ProvisionedPlan. INTERNAL if OpenSSL fails.
absl::StatusOr<PlanDigest> SessionDigest(const FolderInfo& info,
                                         const PlanDigest& plan);

// weights.seed: magic, the run of provisioning, role and mode, the seed (of one
// stream, or for a blind dealer the parent of both), SHA-256 of all that.
// Reading: see LoadPartyMatrices.
absl::Status WriteSeedFile(const std::string& path, const FolderInfo& info,
                           const Seed& seed);
absl::StatusOr<Seed> ReadSeedFile(const std::string& path,
                                  const FolderInfo& info);

// The metadata of weights.safetensors.
inline constexpr char kRoleKey[] = "role", kModeKey[] = "weights",
                      kProvisionKey[] = "provision",
                      kChecksumKey[] = "checksum";
std::map<std::string, std::string> WeightsMetadata(const FolderInfo& info);

// Of all tensors' bytes, in order: finds damage, not malice.
class WeightsChecksum {
 public:
  WeightsChecksum();
  void Add(std::span<const uint8_t> bytes);
  std::string Hex() const;

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_PROVISION_FORMAT_H_
