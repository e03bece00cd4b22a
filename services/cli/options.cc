#include "services/cli/options.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "common/base/device_name.h"

namespace tacit {
namespace {

std::vector<std::string> AllTexts(const RequestOptions& request) {
  std::vector<std::string> texts = request.text.prompts;
  texts.insert(texts.end(), request.more.begin(), request.more.end());
  return texts;
}

}  // namespace

void AddRounding(CLI::App& app, Rounding& rounding) {
  app.add_option("--rounding", rounding)
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Rounding>{{"stochastic", Rounding::kStochastic},
                                          {"faithful", Rounding::kFaithful}}));
}
void AddWeights(CLI::App& app, WeightMode& weights) {
  app.add_option("--weights", weights, "Who knows the weights")
      ->transform(CLI::CheckedTransformer(std::map<std::string, WeightMode>{
          {"dealer-held", WeightMode::kDealerHeld},
          {"blind", WeightMode::kBlind}}));
}
void AddThreads(CLI::App& app, int& threads) {
  app.add_option("--threads", threads, "Threads of each role")
      ->check(CLI::Range(1, 256));
}
void AddDevice(CLI::App& app, std::string& device) {
  app.add_option("--device", device,
                 "Where the roles compute: cpu, cuda or cuda:N")
      ->check([](const std::string& text) {
        return std::string(ParseDevice(text).status().message());
      });
}
void AddPlanFile(CLI::App& app, std::string& plan) {
  app.add_option("--plan", plan,
                 "File that `tacit plan --save` wrote; default: calibrate now");
}

// CLI11 takes "[a, b]" for a list where an option allows extra arguments, and
// what follows "--pair TEXT" for more of them. A single text, and what has a
// flag, is taken as it is; of further texts by place, such brackets go.
void AddRequestOptions(CLI::App& app, RequestOptions& options) {
  TextRequest& request = options.text;
  app.add_option("prompt,--prompt", request.prompts,
                 "Text to continue, or to classify; several make a batch")
      ->required()
      ->allow_extra_args(false);
  app.add_option("more", options.more, "Further texts of the batch");
  AddRounding(app, request.rounding);
  app.add_option("--pair", options.pairs,
                 "Classifiers: the second text of a pair, for each text")
      ->group("Classification")
      ->allow_extra_args(false);
  std::vector<CLI::Option*>& generation = options.generation;
  generation = {
      app.add_flag("--chat", request.chat,
                   "The prompt is a message in the model's chat template"),
      app.add_option("--max-tokens", request.max_tokens, "Tokens to generate")
          ->check(CLI::Range(1, 1 << 20)),
      app.add_option("--temperature", request.sampling.temperature,
                     "0: greedy"),
      // Without a check, -1 would be a very large number.
      app.add_option("--top-k", request.sampling.top_k, "0: all")
          ->check(CLI::NonNegativeNumber),
      app.add_option("--top-p", request.sampling.top_p),
      app.add_option("--repetition-penalty",
                     request.sampling.repetition_penalty),
      app.add_option("--seed", request.sampling.seed, "Of the sampling"),
      app.add_option(
             "--sampling", request.sampling_side,
             "Where tokens are chosen: by the user, or between the parties")
          ->transform(
              CLI::CheckedTransformer(std::map<std::string, SamplingSide>{
                  {"client", SamplingSide::kClient},
                  {"secure", SamplingSide::kSecure}})),
      app.add_option("--embedding", request.embedding_side,
                     "Where tokens are looked up")
          ->transform(
              CLI::CheckedTransformer(std::map<std::string, EmbeddingSide>{
                  {"client", EmbeddingSide::kClient},
                  {"secure", EmbeddingSide::kSecure}})),
      app.add_option("--stop", request.stop, "Text that ends the generation")
          ->allow_extra_args(false)};
  for (CLI::Option* option : generation) option->group("Generation");
}

absl::StatusOr<TextRequest> ForDecoder(const RequestOptions& request) {
  TextRequest out = request.text;
  out.prompts = AllTexts(request);
  if (request.pairs.empty()) return out;
  return absl::InvalidArgumentError(
      "--pair is for classifiers, and the model continues text");
}

absl::StatusOr<ClassifyRequest> ForClassifier(const RequestOptions& request) {
  for (const CLI::Option* option : request.generation) {
    if (option->count() == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        option->get_name(), " is for generation, and the model classifies"));
  }
  const std::vector<std::string> texts = AllTexts(request);
  if (!request.pairs.empty() && request.pairs.size() != texts.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.pairs.size(), " second texts (--pair) for ",
                     texts.size(), " texts"));
  }
  ClassifyRequest out;
  out.rounding = request.text.rounding;
  for (size_t i = 0; i < texts.size(); ++i) {
    ClassifyText& one = out.texts.emplace_back(ClassifyText{texts[i], {}});
    if (!request.pairs.empty()) one.pair = request.pairs[i];
  }
  return out;
}

}  // namespace tacit
