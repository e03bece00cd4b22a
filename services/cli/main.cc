// The `tacit` program: one command for every role and tool.
#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_join.h"
#include "services/cli/bench.h"

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

int Main(int argc, char** argv) {
  CLI::App app("Private language model inference between two parties.");
  app.require_subcommand(1);

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
  return Bench(ops, options, json);
}

}  // namespace
}  // namespace tacit

int main(int argc, char** argv) { return tacit::Main(argc, argv); }
