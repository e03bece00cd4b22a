// `tacit bench`: what each operation costs with all roles on this machine.
#ifndef TACIT_SERVICES_CLI_BENCH_H_
#define TACIT_SERVICES_CLI_BENCH_H_

#include <array>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/schema.h"

namespace tacit {

struct BenchOptions {
  int repeat = 5;              // figures are medians
  int threads = 1;             // of each role; there are three
  std::string device = "cpu";  // of all roles: ParseDevice
};

struct BenchResult {
  std::string op;
  std::string shape;
  // With all material dealt before the parties start.
  double seconds_deal = 0;
  double seconds_online = 0;  // the slower party
  // With material streamed while it is used: wall clock, all roles.
  double seconds_total = 0;
  Cost cost;                             // counted
  double max_error = 0, mean_error = 0;  // against float64
};

// The operations that `RunBench` knows, and the models, which take longer and
// more memory.
std::vector<std::string> BenchOps();
std::vector<std::string> BenchModels();

// Errors: INVALID_ARGUMENT if `op` is unknown; else a role's.
absl::StatusOr<BenchResult> RunBench(const std::string& op,
                                     const BenchOptions& options);

std::string ToJson(const std::vector<BenchResult>& results);
std::string ToTable(const std::vector<BenchResult>& results);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_BENCH_H_
