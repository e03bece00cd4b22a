// Runs a test suite on every instruction set that the kernels are built for.
#ifndef TACIT_COMMON_RING_TARGETS_TEST_UTIL_H_
#define TACIT_COMMON_RING_TARGETS_TEST_UTIL_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace tacit {

// All targets in this build, whether or not this machine has them.
inline std::vector<int64_t> BuiltTargets() {
  std::vector<int64_t> targets;
  for (uint64_t rest = HWY_TARGETS; rest != 0; rest &= rest - 1) {
    targets.push_back(static_cast<int64_t>(rest & -rest));
  }
  return targets;
}

// Its parameter is the target that the kernels use during the test.
class TargetTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    // The static target is what the whole program was compiled for.
    if ((GetParam() & (hwy::SupportedTargets() | HWY_STATIC_TARGET)) == 0) {
      GTEST_SKIP() << "no " << hwy::TargetName(GetParam());
    }
    hwy::SetSupportedTargetsForTest(GetParam());
  }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

inline std::string TargetTestName(
    const testing::TestParamInfo<int64_t>& target) {
  return hwy::TargetName(target.param);
}

#define TACIT_INSTANTIATE_TARGET_TEST(suite)  \
  INSTANTIATE_TEST_SUITE_P(AllTargets, suite, \
                           testing::ValuesIn(BuiltTargets()), TargetTestName)

inline std::vector<uint64_t> RandomWords(size_t n, std::mt19937_64& rng) {
  std::vector<uint64_t> words(n);
  for (uint64_t& word : words) word = rng();
  return words;
}

}  // namespace tacit

#endif  // TACIT_COMMON_RING_TARGETS_TEST_UTIL_H_
