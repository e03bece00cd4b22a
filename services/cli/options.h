// Options that several commands have.
#ifndef TACIT_SERVICES_CLI_OPTIONS_H_
#define TACIT_SERVICES_CLI_OPTIONS_H_

#include <string>

#include "CLI/CLI.hpp"
#include "common/gates/evaluator.h"
#include "common/gates/values.h"
#include "services/gateway/text.h"

namespace tacit {

inline constexpr char kModelHelp[] =
    "Folder as Hugging Face writes it; default: the demo model";

void AddRounding(CLI::App& app, Rounding& rounding);
void AddWeights(CLI::App& app, WeightMode& weights);
void AddThreads(CLI::App& app, int& threads);
void AddPlanFile(CLI::App& app, std::string& plan);
// What a user asks for.
void AddRequestOptions(CLI::App& app, TextRequest& request);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_OPTIONS_H_
