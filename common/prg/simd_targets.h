// Runs a test on every SIMD path that was compiled; test code only.
#ifndef TACIT_COMMON_PRG_SIMD_TARGETS_H_
#define TACIT_COMMON_PRG_SIMD_TARGETS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/highway.h"
#include "hwy/targets.h"

namespace tacit {

inline std::vector<int64_t> CompiledTargets() {
  std::vector<int64_t> targets;
  for (int64_t rest = HWY_TARGETS; rest != 0; rest &= rest - 1) {
    targets.push_back(rest & -rest);
  }
  return targets;
}

// While it lives, dynamic dispatch chooses `target` in the whole process.
class ScopedTarget {
 public:
  explicit ScopedTarget(int64_t target) { Set(target); }
  ~ScopedTarget() { Set(0); }
  ScopedTarget(const ScopedTarget&) = delete;
  ScopedTarget& operator=(const ScopedTarget&) = delete;

 private:
  static void Set(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// The baseline path is always there; others need the processor.
inline bool TargetRuns(int64_t target) {
  return target == HWY_STATIC_TARGET || (hwy::SupportedTargets() & target) != 0;
}

// A suite over CompiledTargets(), each test on its target.
class SimdTargetTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if (!TargetRuns(GetParam())) {
      GTEST_SKIP() << "this processor lacks " << hwy::TargetName(GetParam());
    }
    target_ = std::make_unique<ScopedTarget>(GetParam());
  }

 private:
  std::unique_ptr<ScopedTarget> target_;
};

inline std::string TargetTestName(
    const ::testing::TestParamInfo<int64_t>& info) {
  return hwy::TargetName(info.param);
}

}  // namespace tacit

#endif  // TACIT_COMMON_PRG_SIMD_TARGETS_H_
