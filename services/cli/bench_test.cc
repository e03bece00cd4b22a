#include "services/cli/bench.h"

#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

class BenchTest : public testing::TestWithParam<std::string> {};

TEST_P(BenchTest, ReportsEveryFigureAndSmallErrors) {
  BenchOptions options;
  options.repeat = 1;
  const absl::StatusOr<BenchResult> result = RunBench(GetParam(), options);
  ASSERT_OK(result);
  EXPECT_LE(result->max_error, 2e-3);
  EXPECT_LE(result->mean_error, result->max_error);
  const auto json = nlohmann::json::parse(ToJson({*result}));
  ASSERT_EQ(json.size(), 1u);
  for (const char* key :
       {"op", "shape", "seconds_deal", "seconds_online", "seconds_total",
        "rounds", "opened_bytes", "material_bytes", "aes_calls", "max_error",
        "mean_error"}) {
    EXPECT_TRUE(json[0].contains(key)) << key;
  }
  EXPECT_EQ(json[0]["opened_bytes"].size(), 2u);
  EXPECT_NE(ToTable({*result}).find(GetParam()), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Ops, BenchTest, testing::ValuesIn(BenchOps()),
                         [](const auto& info) { return info.param; });

TEST(BenchTest, AnUnknownOperationListsTheKnownOnes) {
  EXPECT_THAT(RunBench("fft", {}), StatusIs(absl::StatusCode::kInvalidArgument,
                                            "gemm, compare, gelu"));
}

}  // namespace
}  // namespace tacit
