// gpu_check's checks as tests.
#include <algorithm>
#include <string>
#include <vector>

#include "gpu/base/device.h"
#include "gpu/check/check.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

class GpuCheckTest : public testing::TestWithParam<Check> {};

TEST_P(GpuCheckTest, DeviceEqualsReference) {
  if (const Result<int> count = DeviceCount(); !count.ok()) {
    GTEST_SKIP() << count.error().message();
  }
  const Error error = GetParam().run();
  EXPECT_TRUE(error.ok()) << error.message();
}

std::string Name(const testing::TestParamInfo<Check>& info) {
  return std::string(info.param.suite) + "_" + info.param.name;
}

// In the checks' files they are registered before main, in no known order, so
// they are listed when main asks.
std::vector<Check> Sorted() {
  std::vector<Check> checks = Checks();
  std::sort(checks.begin(), checks.end(), [](const Check& a, const Check& b) {
    return std::string(a.suite) + a.name < std::string(b.suite) + b.name;
  });
  return checks;
}

INSTANTIATE_TEST_SUITE_P(All, GpuCheckTest, testing::ValuesIn(Sorted()), Name);

}  // namespace
}  // namespace tacit::gpu
