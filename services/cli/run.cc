#include "services/cli/run.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/models/config.h"
#include "common/models/decoder.h"
#include "common/models/float_decoder.h"
#include "common/models/safetensors.h"
#include "common/models/tokenizer.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The demo model: beside the sources, or where the program is installed.
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

// Positions to plan for: enough for this run, in powers of two, so that the
// plan says no more than the order of its length.
size_t Context(const ModelConfig& config, size_t positions) {
  return std::min(static_cast<size_t>(config.max_positions),
                  std::max<size_t>(64, std::bit_ceil(positions)));
}

// Decodes tokens as they come, and watches for texts that end the generation.
class Transcript {
 public:
  Transcript(const Tokenizer& tokenizer, const RunOptions& options,
             const std::function<void(const std::string&)>& on_text)
      : stream_(tokenizer.NewStream()), options_(options), on_text_(on_text) {}

  // Whether to go on.
  bool Add(int64_t token) {
    return Append(stream_.Next(static_cast<int32_t>(token)));
  }
  void Finish() { Append(stream_.Finish()); }
  const std::string& text() const { return text_; }
  const absl::Status& status() const { return status_; }

 private:
  bool Append(absl::StatusOr<std::string> piece) {
    if (!piece.ok()) {
      status_ = piece.status();
      return false;
    }
    text_ += *piece;
    if (!piece->empty()) on_text_(*piece);
    return std::none_of(options_.stop.begin(), options_.stop.end(),
                        [&](const std::string& stop) {
                          return !stop.empty() &&
                                 absl::StrContains(text_, stop);
                        });
  }

  Tokenizer::Stream stream_;
  const RunOptions& options_;
  const std::function<void(const std::string&)>& on_text_;
  std::string text_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<RunResult> RunModel(
    const RunOptions& options,
    const std::function<void(const std::string& piece)>& on_text) {
  const Clock::time_point start = Clock::now();
  std::string folder = options.model;
  if (folder.empty()) {
    ASSIGN_OR_RETURN(folder, DemoModel());
  }
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(folder));
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer,
                   Tokenizer::Load(folder));
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                   tokenizer->Encode(options.prompt));
  if (options.prompt.empty()) {
    return absl::InvalidArgumentError("the prompt is empty");
  }
  const std::vector<int64_t> prompt(ids.begin(), ids.end());
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  ASSIGN_OR_RETURN(const DecoderWeights weights,
                   LoadDecoderWeights(config, checkpoint));
  const size_t context = Context(config, prompt.size() + options.max_tokens);
  ASSIGN_OR_RETURN(const DecoderRanges ranges,
                   Calibrate(weights, std::min<size_t>(context, 128), 1));
  ASSIGN_OR_RETURN(const DecoderPlan plan,
                   PlanDecoder(config, ranges, context));
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(const DecoderShares shares,
                   ShareDecoder(weights, options.weights, seed));

  RunResult result;
  result.prompt_tokens = prompt.size();
  result.seconds_plan = SecondsSince(start);
  GenerateOptions generate;
  generate.max_tokens = options.max_tokens;
  generate.sampling = options.sampling;
  generate.stop_tokens = config.eos_ids;
  generate.rounding = options.rounding;
  generate.threads = options.threads;
  Transcript transcript(*tokenizer, options, on_text);
  ASSIGN_OR_RETURN(
      result.generated,
      GenerateInProcess(plan, shares, prompt, generate,
                        [&](int64_t token) { return transcript.Add(token); }));
  transcript.Finish();
  RETURN_IF_ERROR(transcript.status());
  result.text = transcript.text();
  result.seconds_total = SecondsSince(start);
  return result;
}

std::string ToJson(const RunResult& result) {
  const GenerateResult& g = result.generated;
  nlohmann::ordered_json top = nlohmann::ordered_json::array();
  for (const auto& [id, logit] : g.first_step_top) top.push_back({id, logit});
  const nlohmann::ordered_json json = {
      {"text", result.text},
      {"prompt_tokens", result.prompt_tokens},
      {"tokens", g.tokens},
      {"first_step_top5", top},
      {"rounds", g.counted.rounds},
      {"opened_bytes", g.counted.opened_bytes},
      {"material_bytes", g.counted.material_bytes},
      {"aes_calls", g.counted.aes_calls()},
      {"seconds",
       {{"plan", result.seconds_plan},
        {"material", g.seconds_material},
        {"prefill", g.seconds_prefill},
        {"decode", g.seconds_decode},
        {"total", result.seconds_total}}}};
  return json.dump(2);
}

}  // namespace tacit
