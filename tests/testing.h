// What tests with the roles as processes share.
#ifndef TACIT_TESTS_TESTING_H_
#define TACIT_TESTS_TESTING_H_

#include <cstddef>

#include "services/cli/up.h"
#include "tests/requests.h"

namespace tacit {

// The demo model, with a thread for each role. For tests made by
// tacit_process_test.
inline UpOptions DemoDeployment(size_t context = 256) {
  UpOptions options;
  options.program = TACIT_PROGRAM;
  options.model = TACIT_MODELS "/demo";
  options.context = context;
  options.threads = 1;
  return options;
}

}  // namespace tacit

#endif  // TACIT_TESTS_TESTING_H_
