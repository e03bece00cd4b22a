// The `tacit` program: one command for every role and tool.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/models/shapes.h"
#include "services/cli/bench.h"
#include "services/cli/certs.h"
#include "services/cli/classify.h"
#include "services/cli/eval.h"
#include "services/cli/options.h"
#include "services/cli/plan.h"
#include "services/cli/provision.h"
#include "services/cli/request.h"
#include "services/cli/run.h"
#include "services/cli/serve.h"
#include "services/cli/serve_commands.h"

namespace tacit {
namespace {

// Exit codes: 0 done, 1 failed, 2 bad usage.
int Bench(const std::vector<std::string>& ops, const BenchOptions& options,
          bool json) {
  std::vector<BenchResult> results;
  for (const std::string& op : ops) {
    absl::StatusOr<BenchResult> result = RunBench(op, options);
    if (!result.ok()) {
      std::fprintf(stderr, "tacit bench: %s: %s\n", op.c_str(),
                   std::string(result.status().message()).c_str());
      return absl::IsInvalidArgument(result.status()) ? 2 : 1;
    }
    results.push_back(*std::move(result));
  }
  std::puts((json ? ToJson(results) : ToTable(results)).c_str());
  return 0;
}

int Run(RunOptions& options, const RequestOptions& request, bool in_process,
        bool json) {
  return RunRequest(
      "run", options.model, request, json,
      [&](const TextRequest& text, const RunEvents& events) {
        options.request = text;
        return in_process ? RunModel(options, events)
                          : RunDeployed(options, events);
      },
      [&](const ClassifyRequest& texts, const PhaseFn& on_phase) {
        return in_process ? ClassifyModel(options, texts, on_phase)
                          : ClassifyDeployed(options, texts, on_phase);
      });
}

int Plan(const PlanOptions& options) {
  const absl::StatusOr<std::string> report = PlanReport(options);
  if (!report.ok()) return Failed("plan", report.status());
  std::puts(report->c_str());
  return 0;
}

int Eval(const EvalOptions& options, bool json) {
  const absl::StatusOr<EvalResult> result = EvalModel(options);
  if (!result.ok()) return Failed("eval", result.status());
  std::puts((json ? ToJson(*result) : ToTable(*result)).c_str());
  return 0;
}

void AddRunOptions(CLI::App& run, RunOptions& options, RequestOptions& request,
                   bool& in_process, bool& json) {
  AddRequestOptions(run, request);
  run.add_option("--model", options.model, kModelHelp);
  AddPlanFile(run, options.plan);
  AddWeights(run, options.weights);
  AddThreads(run, options.threads);
  AddDevice(run, options.device);
  run.add_flag("--in-process", in_process,
               "All roles as threads of this process");
  run.add_flag("--json", json, "Print a JSON object instead of text");
}

void AddPlanOptions(CLI::App& plan, PlanOptions& options) {
  auto* model = plan.add_option("model", options.model, kModelHelp);
  plan.add_option(
          "--shape", options.shape,
          "Costs from shapes alone: " + absl::StrJoin(ShapeNames(), ", "))
      ->excludes(model);
  plan.add_option("--context", options.context, "Positions; default: 128")
      ->check(CLI::Range(1, 1 << 20));
  plan.add_option("--save", options.save, "File to write the plan to");
  plan.add_option("--objective", options.objective,
                  "What to save: bytes, or two rounds of a layer")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Objective>{
          {"bytes", Objective::kBytes}, {"rounds", Objective::kRounds}}));
  plan.add_flag("--cost", options.cost, "Costs of each part");
  plan.add_flag("--json", options.json, "Print JSON instead of a table");
  AddRounding(plan, options.rounding);
  AddWeights(plan, options.weights);
}

void AddEvalOptions(CLI::App& eval, EvalOptions& options, bool& json) {
  eval.add_option("model", options.model, kModelHelp);
  auto* text = eval.add_option("--text", options.text, "File of text");
  eval.add_option("--classify", options.classify,
                  "File of lines SENTENCE<TAB>LABEL, for classifiers")
      ->excludes(text);
  eval.add_option("--limit", options.limit,
                  "Tokens (or lines) that are run privately; 0: all")
      ->check(CLI::NonNegativeNumber);
  eval.add_option("--context", options.context, "Tokens of a pass")
      ->check(CLI::Range(2, 1 << 20));
  AddPlanFile(eval, options.plan);
  AddRounding(eval, options.rounding);
  AddWeights(eval, options.weights);
  AddThreads(eval, options.threads);
  eval.add_flag("--json", json, "Print a JSON object instead of a table");
}

int Main(int argc, char** argv) {
  CLI::App app("Private language model inference between two parties.");
  app.require_subcommand(1);

  CLI::App* run = app.add_subcommand(
      "run",
      "Continue or classify a text privately; the roles come up for it here");
  RunOptions run_options;
  RequestOptions run_request;
  bool in_process = false, run_json = false;
  AddRunOptions(*run, run_options, run_request, in_process, run_json);

  CLI::App* plan = app.add_subcommand(
      "plan", "Rings and costs of a model before anything runs");
  PlanOptions plan_options;
  AddPlanOptions(*plan, plan_options);

  CLI::App* eval = app.add_subcommand(
      "eval", "Accuracy of private runs beside float and plain fixed point");
  EvalOptions eval_options;
  bool eval_json = false;
  AddEvalOptions(*eval, eval_options, eval_json);

  ProvisionOptions provision_options;
  CLI::App* provision = AddProvisionCommand(app, provision_options);
  CertsOptions certs_options;
  CLI::App* certs = AddCertsCommand(app, certs_options);

  CLI::App* bench = app.add_subcommand(
      "bench", "Run operations with all roles in this process; print costs");
  std::vector<std::string> ops = BenchOps();
  BenchOptions options;
  bool json = false;
  bench
      ->add_option("--ops", ops,
                   "Comma-separated: " + absl::StrJoin(BenchOps(), ",") +
                       "; models: " + absl::StrJoin(BenchModels(), ","))
      ->delimiter(',');
  bench->add_option("--repeat", options.repeat, "Runs; medians are printed")
      ->check(CLI::Range(1, 1000));
  AddThreads(*bench, options.threads);
  AddDevice(*bench, options.device);
  bench->add_flag("--json", json, "Print a JSON array instead of a table");

  ServeCommands serve(app);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (run->parsed()) {
    return Run(run_options, run_request, in_process, run_json);
  }
  if (const std::optional<int> code = serve.Run()) return *code;
  if (plan->parsed()) return Plan(plan_options);
  if (eval->parsed()) return Eval(eval_options, eval_json);
  if (provision->parsed()) return RunProvisionCommand(provision_options);
  if (certs->parsed()) return RunCertsCommand(certs_options);
  return Bench(ops, options, json);
}

}  // namespace
}  // namespace tacit

int main(int argc, char** argv) {
  try {
    return tacit::Main(argc, argv);
  } catch (const std::exception& error) {  // no memory, most likely
    std::fprintf(stderr, "tacit: %s\n", error.what());
    return 1;
  }
}
