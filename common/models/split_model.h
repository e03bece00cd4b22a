// Splitting a model into folders, one for each role (see provision.h).
#ifndef TACIT_COMMON_MODELS_SPLIT_MODEL_H_
#define TACIT_COMMON_MODELS_SPLIT_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/models/plan_file.h"
#include "common/models/provision.h"
#include "common/prg/seed.h"

namespace tacit {

struct SplitOptions {
  std::string model;  // folder as Hugging Face writes it
  std::string out;    // gets dealer/, party0/, party1/, gateway/
  std::string name;   // of the model, for users
  PlanFile plan;
  WeightMode weights = WeightMode::kDealerHeld;
  bool gateway_embedding = false;  // the user's side looks tokens up
  bool force = false;              // replace folders of an earlier run
  // Called before each piece of the model; false stops it.
  std::function<bool(size_t done, size_t pieces)> on_progress;
};

struct SplitResult {
  ProvisionedPlan plan;  // as the dealer has it
  std::map<FolderRole, uint64_t> bytes;
};

// Reads the model piece by piece: takes memory for one layer, or the embedding,
// as floats, and one of its matrices in words. Seeds come from `source`. The
// folders appear when all are complete; otherwise nothing is left.
// Errors: NOT_FOUND for a missing file or tensor, or without any tokenizer;
//   UNIMPLEMENTED for an encoder without a classifier; INVALID_ARGUMENT for a
//   classifier with gateway_embedding; those of model, plan and encoding;
//   StagedFolders'; RESOURCE_EXHAUSTED if the disk is full; CANCELLED.
absl::StatusOr<SplitResult> SplitModel(const SplitOptions& options,
                                       SeedSource& source = OsSeedSource());

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_SPLIT_MODEL_H_
