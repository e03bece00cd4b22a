#include "services/cli/run.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "gpu/session/device.h"
#include "nlohmann/json.hpp"
#include "services/cli/cost_json.h"
#include "services/cli/model.h"

namespace tacit {
namespace {

using Json = nlohmann::ordered_json;

GenerateOptions GenerateOptionsOf(const RunOptions& options,
                                  const ModelConfig& config,
                                  gpu::Device* device) {
  const TextRequest& request = options.request;
  GenerateOptions out;
  out.max_tokens = request.max_tokens;
  out.sampling = request.sampling;
  out.sampling_side = request.sampling_side;
  out.embedding_side = request.embedding_side;
  out.stop_tokens = config.eos_ids;
  out.rounding = request.rounding;
  out.threads = options.threads;
  out.accelerator = gpu::SessionsOn(device);
  return out;
}

Json SequenceJson(const TextSequence& sequence) {
  Json top = Json::array();
  for (const auto& [id, logit] : sequence.generated.first_step_top) {
    top.push_back({id, logit});
  }
  return {{"text", sequence.text},
          {"prompt_tokens", sequence.prompt_tokens},
          {"tokens", sequence.generated.tokens},
          {"first_step_top5", top}};
}

}  // namespace

size_t RunResult::tokens() const {
  size_t count = 0;
  for (const TextSequence& s : sequences) count += s.generated.tokens.size();
  return count;
}

absl::StatusOr<RunResult> RunModel(const RunOptions& options,
                                   const RunEvents& events) {
  const absl::Time start = SteadyNow();
  auto enter = [&](const std::string& phase) {
    if (events.on_phase) events.on_phase(phase);
  };
  ASSIGN_OR_RETURN(const std::unique_ptr<gpu::Device> device,
                   gpu::OpenDevice(options.device));
  enter("loading");
  ASSIGN_OR_RETURN(LoadedModel model, LoadModel(options.model));
  ASSIGN_OR_RETURN(const auto prompts,
                   EncodePrompts(*model.tokenizer, options.request));
  size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  enter("planning");
  // The last token is not fed back.
  const size_t fed = std::max<size_t>(1, options.request.max_tokens) - 1;
  ASSIGN_OR_RETURN(const PlannedDecoder planned,
                   PlanModel(model.weights, options.plan, longest + fed));
  enter("sharing the weights");
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(
      const DecoderShares shares,
      ShareDecoder(planned.plan, model.weights, options.weights, seed));
  const bool looks_up =
      options.request.embedding_side == EmbeddingSide::kClient;
  if (!looks_up) model.weights = ModelWeights();  // the shares are enough

  RunResult result;
  result.seconds_plan = SecondsSince(start);
  enter(absl::StrCat("prefill of ", longest, " tokens"));
  Transcripts transcripts(*model.tokenizer, options.request, events.on_text);
  GenerationGateway::EmbedFn embed;
  if (looks_up) {
    embed = [&](int64_t token, size_t position, std::span<int64_t> row) {
      EmbedToken(planned.plan, model.weights, token, position, row);
    };
  }
  ASSIGN_OR_RETURN(
      GenerateResult generated,
      GenerateInProcess(
          planned.plan, shares, planned.digest, prompts,
          GenerateOptionsOf(options, model.config, device.get()),
          [&](size_t s, int64_t token) { return transcripts.Add(s, token); },
          std::move(embed)));
  ASSIGN_OR_RETURN(std::vector<std::string> texts, transcripts.Finish());
  for (size_t i = 0; i < prompts.size(); ++i) {
    result.sequences.push_back({std::move(texts[i]), prompts[i].size(),
                                std::move(generated.sequences[i])});
  }
  result.counted = generated.counted;
  result.seconds_material = generated.seconds_material;
  result.seconds_prefill = generated.seconds_prefill;
  result.seconds_decode = generated.seconds_decode;
  result.seconds_total = SecondsSince(start);
  return result;
}

std::string ToJson(const RunResult& result) {
  Json json;
  if (result.sequences.size() == 1) {
    json = SequenceJson(result.sequences[0]);
  } else {
    Json sequences = Json::array();
    for (const TextSequence& sequence : result.sequences) {
      sequences.push_back(SequenceJson(sequence));
    }
    json["sequences"] = std::move(sequences);
  }
  AddCost(result.counted, json);
  json["seconds"] = {{"plan", result.seconds_plan},
                     {"material", result.seconds_material},
                     {"prefill", result.seconds_prefill},
                     {"decode", result.seconds_decode},
                     {"total", result.seconds_total}};
  return json.dump(2);
}

}  // namespace tacit
