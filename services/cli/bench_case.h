// What `tacit bench` runs.
#ifndef TACIT_SERVICES_CLI_BENCH_CASE_H_
#define TACIT_SERVICES_CLI_BENCH_CASE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/two_party.h"

namespace tacit {

// A program with its inputs and what float arithmetic makes of them.
struct BenchCase {
  std::string shape;
  Program program;
  std::vector<InputValue> inputs;
  std::vector<double> expected;
  int out_frac = 0;
};

// Whole models with random weights: one pass over 32 tokens of GPT-2 small with
// the head. Takes some gigabytes.
absl::StatusOr<BenchCase> Gpt2Case();

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_BENCH_CASE_H_
