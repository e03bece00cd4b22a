// Checks: a kernel on the device against its reference on the host, bit for
// bit. With nothing but the standard library, so that a bare machine can run
// them (gpu_check); the test gpu_check_test runs the same ones.
//
//   TACIT_GPU_CHECK(Limbs, DecomposeMatchesTheReference) {
//     ...
//     TACIT_GPU_RETURN_IF_ERROR(Decompose(...));
//     return ExpectEqual("n = 48", device_words, expected);
//   }
#ifndef TACIT_GPU_CHECK_CHECK_H_
#define TACIT_GPU_CHECK_CHECK_H_

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gpu/base/error.h"
#include "gpu/base/memory.h"

namespace tacit::gpu {

struct Check {
  const char* suite;
  const char* name;
  Error (*run)();
  bool small;  // little enough work to be run under compute-sanitizer
};

// All checks that are linked in, in no order that means anything.
std::vector<Check>& Checks();

inline bool RegisterCheck(Check check) {
  Checks().push_back(check);
  return true;
}

#define TACIT_GPU_CHECK(suite, name) TACIT_GPU_CHECK_(suite, name, false)
// For checks of a few hundred launches on small arrays: bench/gpu.sh runs them
// under compute-sanitizer too.
#define TACIT_GPU_SMALL_CHECK(suite, name) TACIT_GPU_CHECK_(suite, name, true)

#define TACIT_GPU_CHECK_(suite, name, small)                               \
  static ::tacit::gpu::Error suite##_##name();                             \
  [[maybe_unused]] static const bool suite##_##name##_registered =         \
      ::tacit::gpu::RegisterCheck({#suite, #name, suite##_##name, small}); \
  static ::tacit::gpu::Error suite##_##name()

// The first difference, with its place; values may be shown, since a check's
// data is random and nobody's.
template <typename T>
Error ExpectEqual(const std::string& what, const std::vector<T>& actual,
                  const std::vector<T>& expected) {
  if (actual.size() != expected.size()) {
    return Error(Code::kInternal, what + ": " + std::to_string(actual.size()) +
                                      " values, not " +
                                      std::to_string(expected.size()));
  }
  const auto [a, e] =
      std::mismatch(actual.begin(), actual.end(), expected.begin());
  if (a == actual.end()) return {};
  return Error(Code::kInternal,
               what + ": at " + std::to_string(a - actual.begin()) + " of " +
                   std::to_string(actual.size()) + " is " + std::to_string(*a) +
                   ", not " + std::to_string(*e));
}

// `size` random values. A fixed seed of each check: test data, never a secret.
template <typename T>
std::vector<T> RandomValues(size_t size, std::mt19937_64& rng) {
  std::vector<T> values(size);
  for (T& value : values) value = static_cast<T>(rng());
  return values;
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_CHECK_CHECK_H_
