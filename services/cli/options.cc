#include "services/cli/options.h"

#include <map>

namespace tacit {

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
void AddPlanFile(CLI::App& app, std::string& plan) {
  app.add_option("--plan", plan,
                 "File that `tacit plan --save` wrote; default: calibrate now");
}
void AddRequestOptions(CLI::App& app, TextRequest& request) {
  app.add_option("prompt,--prompt", request.prompts,
                 "Text to continue; several make a batch")
      ->required();
  app.add_flag("--chat", request.chat,
               "The prompt is a message in the model's chat template");
  app.add_option("--max-tokens", request.max_tokens, "Tokens to generate")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--temperature", request.sampling.temperature, "0: greedy");
  // Without a check, -1 would be a very large number.
  app.add_option("--top-k", request.sampling.top_k, "0: all")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--top-p", request.sampling.top_p);
  app.add_option("--repetition-penalty", request.sampling.repetition_penalty);
  app.add_option("--seed", request.sampling.seed, "Of the sampling");
  app.add_option("--sampling", request.sampling_side,
                 "Where tokens are chosen: by the user, or between the parties")
      ->transform(CLI::CheckedTransformer(std::map<std::string, SamplingSide>{
          {"client", SamplingSide::kClient},
          {"secure", SamplingSide::kSecure}}));
  app.add_option("--embedding", request.embedding_side,
                 "Where tokens are looked up")
      ->transform(CLI::CheckedTransformer(std::map<std::string, EmbeddingSide>{
          {"client", EmbeddingSide::kClient},
          {"secure", EmbeddingSide::kSecure}}));
  app.add_option("--stop", request.stop, "Text that ends the generation");
  AddRounding(app, request.rounding);
}

}  // namespace tacit
