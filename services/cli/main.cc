// The `tacit` program: one command for every role and tool.
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "services/cli/bench.h"
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

int Run(const RunOptions& options, bool json) {
  const auto show = [&](const std::string& piece) {
    if (json) return;
    std::fputs(piece.c_str(), stdout);
    std::fflush(stdout);
  };
  show(options.prompt);
  const absl::StatusOr<RunResult> result = RunModel(options, show);
  if (!result.ok()) {
    std::fprintf(stderr, "%stacit run: %s\n", json ? "" : "\n",
                 std::string(result.status().message()).c_str());
    return absl::IsInvalidArgument(result.status()) ? 2 : 1;
  }
  if (json) {
    std::puts(ToJson(*result).c_str());
    return 0;
  }
  const GenerateResult& g = result->generated;
  const double count = static_cast<double>(g.tokens.size());
  std::puts("");
  std::fflush(stdout);
  // To the terminal's side channel: a pipe gets the text alone.
  std::fprintf(
      stderr, "%s\n",
      absl::StrFormat(
          "[%d prompt tokens, %d tokens in %.2f s (%.1f tokens/s), first after "
          "%.2f s; %d rounds, opened %.2f + %.2f MB, material %.1f + %.1f MB; "
          "all roles in this process]",
          result->prompt_tokens, g.tokens.size(),
          g.seconds_prefill + g.seconds_decode,
          count / (g.seconds_prefill + g.seconds_decode), g.seconds_prefill,
          g.counted.rounds, g.counted.opened_bytes[0] / 1e6,
          g.counted.opened_bytes[1] / 1e6, g.counted.material_bytes[0] / 1e6,
          g.counted.material_bytes[1] / 1e6)
          .c_str());
  return 0;
}

void AddRunOptions(CLI::App& run, RunOptions& options, bool& in_process,
                   bool& json) {
  run.add_option("prompt,--prompt", options.prompt, "Text to continue")
      ->required();
  run.add_option("--model", options.model,
                 "Folder as Hugging Face writes it; default: the demo model");
  run.add_option("--max-tokens", options.max_tokens, "Tokens to generate")
      ->check(CLI::Range(1, 1 << 20));
  run.add_option("--temperature", options.sampling.temperature, "0: greedy");
  run.add_option("--top-k", options.sampling.top_k, "0: all");
  run.add_option("--top-p", options.sampling.top_p);
  run.add_option("--repetition-penalty", options.sampling.repetition_penalty);
  run.add_option("--seed", options.sampling.seed, "Of the sampling");
  run.add_option("--stop", options.stop, "Text that ends the generation");
  run.add_option("--rounding", options.rounding)
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Rounding>{{"stochastic", Rounding::kStochastic},
                                          {"faithful", Rounding::kFaithful}}));
  run.add_option("--weights", options.weights, "Who knows the weights")
      ->transform(CLI::CheckedTransformer(std::map<std::string, WeightMode>{
          {"dealer-held", WeightMode::kDealerHeld},
          {"blind", WeightMode::kBlind}}));
  run.add_option("--threads", options.threads, "Threads of each role")
      ->check(CLI::Range(1, 256));
  run.add_flag("--in-process", in_process,
               "All roles as threads of this process: the only form so far");
  run.add_flag("--json", json, "Print a JSON object instead of text");
}

int Main(int argc, char** argv) {
  CLI::App app("Private language model inference between two parties.");
  app.require_subcommand(1);

  CLI::App* run = app.add_subcommand(
      "run", "Continue a text privately; all roles run here");
  RunOptions run_options;
  bool in_process = true, run_json = false;
  AddRunOptions(*run, run_options, in_process, run_json);

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
  bench->add_option("--threads", options.threads, "Threads of each role")
      ->check(CLI::Range(1, 256));
  bench->add_flag("--json", json, "Print a JSON array instead of a table");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (run->parsed()) return Run(run_options, run_json);
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
