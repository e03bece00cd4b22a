#include "services/cli/model.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/models/float_model.h"
#include "common/models/plan_file.h"
#include "common/models/safetensors.h"

namespace tacit {
namespace {

// What a model is planned for: the plan file's, or calibrated for `positions`.
absl::StatusOr<PlanFile> PlanFileFor(const ModelWeights& weights,
                                     const std::string& plan_file,
                                     size_t positions) {
  PlanFile file;
  if (!plan_file.empty()) {
    ASSIGN_OR_RETURN(file, LoadPlanFile(plan_file));
    if (file.context >= positions) return file;
    return absl::InvalidArgumentError(absl::StrCat(
        plan_file, ": a context of ", file.context, " positions; this takes ",
        positions, ": make the plan with a longer --context"));
  }
  file.context = ContextFor(weights.config, positions);
  ASSIGN_OR_RETURN(file.bounds, BoundsFor(weights, "", file.context));
  return file;
}

}  // namespace

absl::StatusOr<std::string> DemoModel() {
  std::error_code error;
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const std::filesystem::path& folder :
       {std::filesystem::path("models/demo"),
        program / "../../models/demo",  // build/bin
        program / "../share/tacit/models/demo"}) {
    if (std::filesystem::exists(folder / "config.json", error)) {
      return folder.string();
    }
  }
  return absl::NotFoundError("no demo model found; name one with --model");
}

absl::StatusOr<LoadedModel> LoadModel(const std::string& folder) {
  LoadedModel model;
  model.folder = folder;
  if (folder.empty()) {
    ASSIGN_OR_RETURN(model.folder, DemoModel());
  }
  ASSIGN_OR_RETURN(model.config, LoadModelConfig(model.folder));
  ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::Load(model.folder));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(model.folder));
  ASSIGN_OR_RETURN(model.weights, LoadModelWeights(model.config, checkpoint));
  return model;
}

absl::StatusOr<ModelKind> ModelKindOf(const std::string& folder) {
  std::string path = folder;
  if (path.empty()) {
    ASSIGN_OR_RETURN(path, DemoModel());
  }
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(path));
  return KindOf(config);
}

size_t ContextFor(const ModelConfig& config, size_t positions) {
  const size_t most = static_cast<size_t>(config.max_positions);
  positions = std::min(positions, most);
  return std::min(most, std::max<size_t>(64, std::bit_ceil(positions)));
}

absl::StatusOr<ModelBounds> BoundsFor(const ModelWeights& weights,
                                      const std::string& plan_file,
                                      size_t context) {
  if (!plan_file.empty()) {
    ASSIGN_OR_RETURN(PlanFile file, LoadPlanFile(plan_file));
    return std::move(file.bounds);
  }
  constexpr size_t kTokens = 128;
  constexpr uint64_t kSeed = 1;  // of tokens to calibrate on
  ASSIGN_OR_RETURN(const ModelRanges ranges,
                   Calibrate(weights, std::min(context, kTokens), kSeed));
  return BoundsOf(ranges);
}

absl::StatusOr<PlannedDecoder> PlanModel(const ModelWeights& weights,
                                         const std::string& plan_file,
                                         size_t positions) {
  PlannedDecoder out;
  ASSIGN_OR_RETURN(const PlanFile file,
                   PlanFileFor(weights, plan_file, positions));
  ASSIGN_OR_RETURN(out.plan, PlanDecoder(weights.config, file.bounds,
                                         file.context, file.objective));
  ASSIGN_OR_RETURN(out.digest, DigestOf(out.plan));
  return out;
}

absl::StatusOr<PlannedEncoder> PlanClassifier(const ModelWeights& weights,
                                              const std::string& plan_file,
                                              size_t positions) {
  if (weights.config.architecture != Architecture::kBertClassifier) {
    return absl::FailedPreconditionError(absl::StrCat(
        ToString(weights.config.architecture), " is no classifier"));
  }
  PlannedEncoder out;
  ASSIGN_OR_RETURN(const PlanFile file,
                   PlanFileFor(weights, plan_file, positions));
  ASSIGN_OR_RETURN(out.plan,
                   PlanEncoder(weights.config, file.bounds, file.context));
  ASSIGN_OR_RETURN(out.digest, DigestOf(out.plan));
  return out;
}

}  // namespace tacit
