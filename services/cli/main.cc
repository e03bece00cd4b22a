// The `tacit` program: one command for every role and tool.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/models/shapes.h"
#include "services/cli/bench.h"
#include "services/cli/eval.h"
#include "services/cli/plan.h"
#include "services/cli/run.h"

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

int Failed(const char* command, const absl::Status& status) {
  std::fprintf(stderr, "tacit %s: %s\n", command,
               std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

// What a run is at, on a terminal's side channel until the text comes.
class ProgressLine {
 public:
  explicit ProgressLine(bool shown) : shown_(shown && isatty(STDERR_FILENO)) {}

  void Show(const std::string& phase) {
    if (shown_) std::fprintf(stderr, "\r\033[K[%s]", phase.c_str());
  }
  void Clear() {
    if (std::exchange(shown_, false)) std::fputs("\r\033[K", stderr);
  }

 private:
  bool shown_;
};

std::string Summary(const RunResult& result) {
  size_t prompt_tokens = 0;
  for (const RunResult::Sequence& s : result.sequences) {
    prompt_tokens += s.prompt_tokens;
  }
  const double seconds = result.seconds_prefill + result.seconds_decode;
  const Cost& cost = result.counted;
  return absl::StrFormat(
      "[%d prompt tokens, %d tokens in %.2f s (%.1f tokens/s), first after "
      "%.2f s; %d rounds, opened %.2f + %.2f MB, material %.1f + %.1f MB; "
      "all roles in this process]",
      prompt_tokens, result.tokens(), seconds,
      static_cast<double>(result.tokens()) / seconds, result.seconds_prefill,
      cost.rounds, cost.opened_bytes[0] / 1e6, cost.opened_bytes[1] / 1e6,
      cost.material_bytes[0] / 1e6, cost.material_bytes[1] / 1e6);
}

int Run(const RunOptions& options, bool json) {
  const bool streams = !json && options.prompts.size() == 1;
  ProgressLine progress(!json);
  bool begun = false;
  const auto show = [&](size_t, const std::string& piece) {
    if (!streams) return;
    progress.Clear();
    if (!std::exchange(begun, true) && !options.chat) {
      std::fputs(options.prompts[0].c_str(), stdout);
    }
    std::fputs(piece.c_str(), stdout);
    std::fflush(stdout);
  };
  const absl::StatusOr<RunResult> result = RunModel(
      options, {show, [&](const std::string& phase) { progress.Show(phase); }});
  progress.Clear();
  if (!result.ok()) {
    if (begun) std::puts("");
    return Failed("run", result.status());
  }
  if (json) {
    std::puts(ToJson(*result).c_str());
    return 0;
  }
  for (size_t i = 0; !streams && i < options.prompts.size(); ++i) {
    std::printf("%s%s\n\n", options.chat ? "" : options.prompts[i].c_str(),
                result->sequences[i].text.c_str());
  }
  if (streams) std::puts("");
  std::fflush(stdout);
  // To the terminal's side channel: a pipe gets the text alone.
  std::fprintf(stderr, "%s\n", Summary(*result).c_str());
  return 0;
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

// Options that several commands have.
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
constexpr char kModelHelp[] =
    "Folder as Hugging Face writes it; default: the demo model";

void AddRunOptions(CLI::App& run, RunOptions& options, bool& in_process,
                   bool& json) {
  run.add_option("prompt,--prompt", options.prompts,
                 "Text to continue; several make a batch")
      ->required();
  run.add_option("--model", options.model, kModelHelp);
  AddPlanFile(run, options.plan);
  run.add_flag("--chat", options.chat,
               "The prompt is a message in the model's chat template");
  run.add_option("--max-tokens", options.max_tokens, "Tokens to generate")
      ->check(CLI::Range(1, 1 << 20));
  run.add_option("--temperature", options.sampling.temperature, "0: greedy");
  run.add_option("--top-k", options.sampling.top_k, "0: all");
  run.add_option("--top-p", options.sampling.top_p);
  run.add_option("--repetition-penalty", options.sampling.repetition_penalty);
  run.add_option("--seed", options.sampling.seed, "Of the sampling");
  run.add_option("--sampling", options.sampling_side,
                 "Where tokens are chosen: by the user, or between the parties")
      ->transform(CLI::CheckedTransformer(std::map<std::string, SamplingSide>{
          {"client", SamplingSide::kClient},
          {"secure", SamplingSide::kSecure}}));
  run.add_option("--embedding", options.embedding_side,
                 "Where tokens are looked up")
      ->transform(CLI::CheckedTransformer(std::map<std::string, EmbeddingSide>{
          {"client", EmbeddingSide::kClient},
          {"secure", EmbeddingSide::kSecure}}));
  run.add_option("--stop", options.stop, "Text that ends the generation");
  AddRounding(run, options.rounding);
  AddWeights(run, options.weights);
  AddThreads(run, options.threads);
  run.add_flag("--in-process", in_process,
               "All roles as threads of this process: the only form so far");
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
                  "Tokens (or lines) that are run privately; 0: all");
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
      "run", "Continue a text privately; all roles run here");
  RunOptions run_options;
  bool in_process = true, run_json = false;
  AddRunOptions(*run, run_options, in_process, run_json);

  CLI::App* plan = app.add_subcommand(
      "plan", "Rings and costs of a model before anything runs");
  PlanOptions plan_options;
  AddPlanOptions(*plan, plan_options);

  CLI::App* eval = app.add_subcommand(
      "eval", "Accuracy of private runs beside float and plain fixed point");
  EvalOptions eval_options;
  bool eval_json = false;
  AddEvalOptions(*eval, eval_options, eval_json);

  CLI::App* bench = app.add_subcommand(
      "bench", "Run operations with all roles in this process; print costs");
  std::vector<std::string> ops = BenchOps();
  BenchOptions options;
  bool json = false;
  bench
      ->add_option("--ops", ops,
                   "Comma-separated: " + absl::StrJoin(BenchOps(), ","))
      ->delimiter(',');
  bench->add_option("--repeat", options.repeat, "Runs; medians are printed")
      ->check(CLI::Range(1, 1000));
  AddThreads(*bench, options.threads);
  bench->add_flag("--json", json, "Print a JSON array instead of a table");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (run->parsed()) return Run(run_options, run_json);
  if (plan->parsed()) return Plan(plan_options);
  if (eval->parsed()) return Eval(eval_options, eval_json);
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
