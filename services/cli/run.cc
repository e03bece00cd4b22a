#include "services/cli/run.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/models/tokenizer.h"
#include "nlohmann/json.hpp"
#include "services/cli/model.h"

namespace tacit {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Decodes a sequence's tokens as they come, and watches for texts that end it.
class Transcript {
 public:
  Transcript(size_t sequence, const Tokenizer& tokenizer,
             const RunOptions& options, const RunEvents& events)
      : sequence_(sequence),
        stream_(tokenizer.NewStream()),
        options_(options),
        events_(events) {}

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
    if (!piece->empty() && events_.on_text) events_.on_text(sequence_, *piece);
    return std::none_of(options_.stop.begin(), options_.stop.end(),
                        [&](const std::string& stop) {
                          return !stop.empty() &&
                                 absl::StrContains(text_, stop);
                        });
  }

  const size_t sequence_;
  Tokenizer::Stream stream_;
  const RunOptions& options_;
  const RunEvents& events_;
  std::string text_;
  absl::Status status_;
};

absl::StatusOr<std::vector<int64_t>> EncodePrompt(const Tokenizer& tokenizer,
                                                  const std::string& prompt,
                                                  bool chat) {
  if (prompt.empty()) {
    return absl::InvalidArgumentError("the prompt is empty");
  }
  std::vector<int32_t> ids;
  if (chat) {
    const ChatMessage message = {"user", prompt};
    ASSIGN_OR_RETURN(ids, tokenizer.EncodeChat({&message, 1}));
  } else {
    ASSIGN_OR_RETURN(ids, tokenizer.Encode(prompt));
  }
  return std::vector<int64_t>(ids.begin(), ids.end());
}

GenerateOptions GenerateOptionsOf(const RunOptions& options,
                                  const ModelConfig& config) {
  GenerateOptions out;
  out.max_tokens = options.max_tokens;
  out.sampling = options.sampling;
  out.sampling_side = options.sampling_side;
  out.embedding_side = options.embedding_side;
  out.stop_tokens = config.eos_ids;
  out.rounding = options.rounding;
  out.threads = options.threads;
  return out;
}

Json SequenceJson(const RunResult::Sequence& sequence) {
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
  for (const Sequence& s : sequences) count += s.generated.tokens.size();
  return count;
}

absl::StatusOr<RunResult> RunModel(const RunOptions& options,
                                   const RunEvents& events) {
  const Clock::time_point start = Clock::now();
  auto enter = [&](const std::string& phase) {
    if (events.on_phase) events.on_phase(phase);
  };
  enter("loading");
  ASSIGN_OR_RETURN(LoadedModel model, LoadModel(options.model));
  std::vector<std::vector<int64_t>> prompts;
  size_t longest = 0;
  RunResult result;
  for (const std::string& prompt : options.prompts) {
    ASSIGN_OR_RETURN(std::vector<int64_t> ids,
                     EncodePrompt(*model.tokenizer, prompt, options.chat));
    longest = std::max(longest, ids.size());
    result.sequences.push_back({"", ids.size(), {}});
    prompts.push_back(std::move(ids));
  }
  enter("planning");
  ASSIGN_OR_RETURN(
      const PlannedDecoder planned,
      PlanModel(model.weights, options.plan, longest + options.max_tokens));
  enter("sharing the weights");
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(
      const DecoderShares shares,
      ShareDecoder(planned.plan, model.weights, options.weights, seed));
  const bool looks_up = options.embedding_side == EmbeddingSide::kClient;
  if (!looks_up) model.weights = ModelWeights();  // the shares are enough

  result.seconds_plan = SecondsSince(start);
  enter(absl::StrCat("prefill of ", longest, " tokens"));
  std::vector<Transcript> transcripts;
  for (size_t i = 0; i < prompts.size(); ++i) {
    transcripts.emplace_back(i, *model.tokenizer, options, events);
  }
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
          GenerateOptionsOf(options, model.config),
          [&](size_t s, int64_t token) { return transcripts[s].Add(token); },
          std::move(embed)));
  for (size_t i = 0; i < prompts.size(); ++i) {
    transcripts[i].Finish();
    RETURN_IF_ERROR(transcripts[i].status());
    result.sequences[i].text = transcripts[i].text();
    result.sequences[i].generated = std::move(generated.sequences[i]);
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
    for (const RunResult::Sequence& sequence : result.sequences) {
      sequences.push_back(SequenceJson(sequence));
    }
    json["sequences"] = std::move(sequences);
  }
  json["rounds"] = result.counted.rounds;
  json["opened_bytes"] = result.counted.opened_bytes;
  json["material_bytes"] = result.counted.material_bytes;
  json["aes_calls"] = result.counted.aes_calls();
  json["seconds"] = {{"plan", result.seconds_plan},
                     {"material", result.seconds_material},
                     {"prefill", result.seconds_prefill},
                     {"decode", result.seconds_decode},
                     {"total", result.seconds_total}};
  return json.dump(2);
}

}  // namespace tacit
