// `tacit run`: private generation from a model's folder.
#ifndef TACIT_SERVICES_CLI_RUN_H_
#define TACIT_SERVICES_CLI_RUN_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/values.h"
#include "common/models/generate.h"

namespace tacit {

struct RunOptions {
  std::string model;  // folder; empty: the demo model
  std::string plan;   // file; empty: calibrate now
  std::vector<std::string> prompts;
  // The prompts are a user's messages, put into the model's chat template.
  bool chat = false;
  size_t max_tokens = 64;
  SamplingOptions sampling;
  SamplingSide sampling_side = SamplingSide::kClient;
  EmbeddingSide embedding_side = EmbeddingSide::kSecure;
  std::vector<std::string> stop;  // texts that end the generation
  Rounding rounding = Rounding::kStochastic;
  WeightMode weights = WeightMode::kDealerHeld;
  int threads = 1;
};

struct RunResult {
  struct Sequence {
    std::string text;  // the continuation
    size_t prompt_tokens = 0;
    GeneratedSequence generated;
  };
  std::vector<Sequence> sequences;
  Cost counted;
  // Loading, calibrating, planning, sharing; the dealer's wall clock; to the
  // first tokens; from there to the last; all.
  double seconds_plan = 0, seconds_material = 0;
  double seconds_prefill = 0, seconds_decode = 0;
  double seconds_total = 0;

  size_t tokens() const;
};

// What a run tells while it goes on; called from several threads, not at once.
struct RunEvents {
  // Text as it is decoded; pieces are valid UTF-8.
  std::function<void(size_t sequence, const std::string& piece)> on_text;
  // What it is at: "planning", ...
  std::function<void(const std::string& phase)> on_phase;
};

// Loads, plans, shares and generates.
// Errors: NOT_FOUND if there is no model, or no chat template for `chat`;
//   INVALID_ARGUMENT for a prompt that is empty, no UTF-8 or too long, and for
//   options out of range; UNIMPLEMENTED for models that are no decoders.
absl::StatusOr<RunResult> RunModel(const RunOptions& options,
                                   const RunEvents& events);

// One prompt: the fields of its sequence and of the run; several: "sequences".
std::string ToJson(const RunResult& result);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_RUN_H_
