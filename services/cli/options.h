// Options that several commands have.
#ifndef TACIT_SERVICES_CLI_OPTIONS_H_
#define TACIT_SERVICES_CLI_OPTIONS_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/values.h"
#include "services/gateway/text.h"

namespace tacit {

inline constexpr char kModelHelp[] =
    "Folder as Hugging Face writes it; default: the demo model";

void AddRounding(CLI::App& app, Rounding& rounding);
void AddWeights(CLI::App& app, WeightMode& weights);
void AddThreads(CLI::App& app, int& threads);
void AddDevice(CLI::App& app, std::string& device);
void AddPlanFile(CLI::App& app, std::string& plan);

// What a user asks for, of a model of either kind.
struct RequestOptions {
  TextRequest text;                      // the prompts: also texts to classify
  std::vector<std::string> more;         // and those that follow
  std::vector<std::string> pairs;        // second texts, one for each
  std::vector<CLI::Option*> generation;  // what only decoders take
};
void AddRequestOptions(CLI::App& app, RequestOptions& request);
// INVALID_ARGUMENT, naming it, if an option was given that is for the other
// kind of model.
absl::StatusOr<TextRequest> ForDecoder(const RequestOptions& request);
absl::StatusOr<ClassifyRequest> ForClassifier(const RequestOptions& request);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_OPTIONS_H_
