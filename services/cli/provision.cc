#include "services/cli/provision.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/models/plan_file.h"
#include "common/models/safetensors.h"
#include "services/cli/model.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDefaultContext = 1024;

// Bytes that programs may still take, as the kernel estimates them.
uint64_t AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  uint64_t kibibytes;
  while (file >> key >> kibibytes) {
    if (key == "MemAvailable:") return kibibytes << 10;
    std::getline(file, unit);
  }
  return std::numeric_limits<uint64_t>::max();
}

absl::Status CheckFits(const Checkpoint& checkpoint) {
  uint64_t bytes = 0;
  for (const std::string& name : checkpoint.names()) {
    ASSIGN_OR_RETURN(const TensorInfo info, checkpoint.Info(name));
    uint64_t floats = 1;
    for (const int64_t dim : info.shape) floats *= static_cast<uint64_t>(dim);
    bytes += floats * sizeof(float);
  }
  const uint64_t available = AvailableMemory();
  if (bytes <= available) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "calibrating takes the whole model in memory, %.1f GB as floats, and "
      "%.1f GB are available: make a plan on a larger machine with "
      "`tacit plan --save FILE`, and give it with --plan FILE",
      static_cast<double>(bytes) / 1e9, static_cast<double>(available) / 1e9));
}

absl::StatusOr<ModelBounds> CalibratedBounds(const std::string& folder,
                                             const ModelConfig& config,
                                             size_t context) {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  RETURN_IF_ERROR(CheckFits(checkpoint));
  ASSIGN_OR_RETURN(const ModelWeights weights,
                   LoadModelWeights(config, checkpoint));
  return BoundsFor(weights, "", context);
}

absl::StatusOr<PlanFile> PlanFor(const ProvisionOptions& options,
                                 const std::string& folder) {
  PlanFile file;
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(folder));
  if (config.architecture == Architecture::kBert) {
    return file;  // SplitModel says what is the matter
  }
  size_t most = static_cast<size_t>(config.max_positions);
  if (!options.plan.empty()) {
    ASSIGN_OR_RETURN(file, LoadPlanFile(options.plan));
    most = std::min(most, file.context);
  }
  if (options.context > most) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a context of ", options.context, "; the ",
        options.plan.empty() ? "model" : "plan file", " holds ", most));
  }
  if (options.context != 0) {
    file.context = options.context;
  } else if (options.plan.empty()) {
    file.context = std::min(kDefaultContext, most);
  }
  file.objective = options.objective.value_or(file.objective);
  if (!options.plan.empty()) return file;
  ASSIGN_OR_RETURN(file.bounds, CalibratedBounds(folder, config, file.context));
  return file;
}

std::string NameOf(const std::string& folder) {
  std::error_code error;
  const fs::path whole = fs::canonical(folder, error);
  return (error ? fs::path(folder) : whole).filename().string();
}

volatile std::sig_atomic_t interrupted = 0;

// Ctrl-C and SIGTERM stop between pieces, so that nothing is left behind;
// again, at once, and the next run removes what is left. A file beyond its size
// limit is an error like others.
void CatchSignals() {
  const auto remember = [](int signal) {
    interrupted = 1;
    std::signal(signal, SIG_DFL);
  };
  std::signal(SIGINT, remember);
  std::signal(SIGTERM, remember);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool ShowProgress(size_t done, size_t pieces) {
  if (isatty(STDERR_FILENO)) {
    std::fprintf(stderr, "\r\033[K[piece %zu of %zu]", done + 1, pieces);
  }
  return interrupted == 0;
}

std::string Report(const ProvisionOptions& options, const SplitResult& result,
                   double seconds) {
  std::string out;
  for (const FolderRole role : kFolderRoles) {
    absl::StrAppendFormat(&out, "%s/%-8s %12.3f MB\n", options.out,
                          std::string(ToString(role)),
                          static_cast<double>(result.bytes.at(role)) / 1e6);
  }
  const FolderInfo& info = result.plan.info;
  absl::StrAppendFormat(&out, "%s, weights %s, context %d, digest %s, %.1f s\n",
                        info.model, std::string(ToString(info.weights)),
                        info.plan.context, info.digest, seconds);
  return out + "Give each role's machine its own folder and no other.";
}

}  // namespace

absl::StatusOr<SplitResult> ProvisionModel(
    const ProvisionOptions& options,
    const std::function<bool(size_t done, size_t pieces)>& on_progress) {
  SplitOptions split;
  split.model = options.model;
  if (split.model.empty()) {
    ASSIGN_OR_RETURN(split.model, DemoModel());
  }
  split.out = options.out;
  split.name = options.name.empty() ? NameOf(split.model) : options.name;
  split.weights = options.weights;
  split.gateway_embedding = options.client_embedding;
  split.force = options.force;
  split.on_progress = on_progress;
  ASSIGN_OR_RETURN(split.plan, PlanFor(options, split.model));
  return SplitModel(split);
}

CLI::App* AddProvisionCommand(CLI::App& app, ProvisionOptions& options) {
  CLI::App* provision = app.add_subcommand(
      "provision",
      "Split a model into folders for dealer, parties and gateway");
  provision->add_option(
      "model", options.model,
      "Folder as Hugging Face writes it; default: the demo model");
  provision->add_option("--out", options.out, "Folder to write")->required();
  provision
      ->add_option("--weights", options.weights,
                   "Who knows the weights: the dealer, or nobody (blind)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, WeightMode>{
          {"dealer-held", WeightMode::kDealerHeld},
          {"blind", WeightMode::kBlind}}));
  provision
      ->add_option("--context", options.context,
                   "Positions that a session may hold; default: the plan "
                   "file's, or 1024 if the model holds that")
      ->check(CLI::Range(1, 1 << 20));
  provision->add_option(
      "--plan", options.plan,
      "File that `tacit plan --save` wrote; default: calibrate now, which "
      "takes the whole model in memory (with a file: a layer at a time)");
  provision
      ->add_option("--objective", options.objective,
                   "What to save: bytes, or two rounds of a layer; default: "
                   "the plan file's, or bytes")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Objective>{
          {"bytes", Objective::kBytes}, {"rounds", Objective::kRounds}}));
  provision->add_option("--name", options.name,
                        "Of the model, for users; default: its folder's");
  provision->add_flag("--client-embedding", options.client_embedding,
                      "Give the gateway the embedding, in clear, so that it "
                      "can look tokens up by itself");
  provision->add_flag("--force", options.force,
                      "Replace the folders of an earlier run");
  return provision;
}

int RunProvisionCommand(const ProvisionOptions& options) {
  CatchSignals();
  const auto start = std::chrono::steady_clock::now();
  const absl::StatusOr<SplitResult> result =
      ProvisionModel(options, ShowProgress);
  if (isatty(STDERR_FILENO)) std::fputs("\r\033[K", stderr);
  if (!result.ok()) {
    std::fprintf(stderr, "tacit provision: %s\n",
                 std::string(result.status().message()).c_str());
    const bool usage = absl::IsInvalidArgument(result.status()) ||
                       absl::IsAlreadyExists(result.status());
    return usage ? 2 : 1;
  }
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  std::puts(Report(options, *result, seconds.count()).c_str());
  return 0;
}

}  // namespace tacit
