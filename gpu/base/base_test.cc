#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gpu/base/arena.h"
#include "gpu/base/device.h"
#include "gpu/base/error.h"
#include "gpu/base/launch.h"
#include "gpu/base/status.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

struct CountVisits {
  uint32_t* visits;
  size_t count;
  void operator()(const Thread& thread) const {
    for (size_t i = thread.index(); i < count; i += thread.stride()) {
      ++visits[i];
    }
  }
};

TEST(LaunchTest, EveryItemIsVisitedOnce) {
  for (size_t count : {0, 1, 2, 31, 32, 33, 255, 256, 257, 1000}) {
    for (uint32_t threads : {1, 32, 256}) {
      std::vector<uint32_t> visits(count);
      RunOnHost(Cover(count, threads), CountVisits{visits.data(), count});
      EXPECT_EQ(visits, std::vector<uint32_t>(count, 1));
    }
  }
}

TEST(LaunchTest, FewerThreadsThanItemsStride) {
  std::vector<uint32_t> visits(1000);
  RunOnHost(Launch{3, 32}, CountVisits{visits.data(), visits.size()});
  EXPECT_EQ(visits, std::vector<uint32_t>(1000, 1));
}

TEST(LaunchTest, GridStaysWithinCudasLimit) {
  EXPECT_EQ(Cover(0).blocks, 0);
  EXPECT_EQ(Cover(~size_t{0}, 32).blocks, kMaxBlocks);
}

TEST(ErrorTest, KeepsCodeAndMessageAsStatus) {
  EXPECT_TRUE(ToStatus(Error()).ok());
  const absl::Status status =
      ToStatus(Error(Code::kResourceExhausted, "12 bytes too few"));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "12 bytes too few");
}

TEST(ErrorTest, ResultHoldsAValueOrWhyThereIsNone) {
  EXPECT_EQ(*ToStatusOr(Result<int>(7)), 7);
  EXPECT_EQ(ToStatusOr(Result<int>(Error(Code::kUnavailable, "gone"))).status(),
            absl::UnavailableError("gone"));
}

TEST(ArenaLayoutTest, GivesAlignedDistinctPartsUpToItsCapacity) {
  ArenaLayout arena(1000);
  EXPECT_EQ(*arena.Allocate(1), 0);
  EXPECT_EQ(*arena.Allocate(256), 256);
  EXPECT_EQ(*arena.Allocate(0), 512);
  const size_t mark = arena.used();
  EXPECT_EQ(*arena.Allocate(488), 512);  // to the end, which is not aligned
  EXPECT_EQ(arena.used(), 1000);
  EXPECT_EQ(*arena.Allocate(0), 1000);
  EXPECT_FALSE(arena.Allocate(1).ok());
  arena.Release(mark);
  EXPECT_EQ(*arena.Allocate(300), 512);
  EXPECT_EQ(arena.highest(), 1000);
}

TEST(ArenaLayoutTest, TooMuchIsAnErrorWithFigures) {
  ArenaLayout arena(1000);
  ASSERT_TRUE(arena.Allocate(256).ok());
  for (size_t bytes : {size_t{745}, ~size_t{0}}) {
    const Error error = arena.Allocate(bytes).error();
    EXPECT_EQ(error.code(), Code::kResourceExhausted);
    for (const std::string& figure :
         {std::to_string(bytes), std::string("256 of the session's 1000")}) {
      EXPECT_NE(error.message().find(figure), std::string::npos)
          << error.message();
    }
  }
  EXPECT_TRUE(arena.Allocate(744).ok());
}

TEST(MemoryBudgetTest, SessionsShareItAndGiveItBack) {
  MemoryBudget budget(100);
  auto first = budget.Reserve(60);
  ASSERT_TRUE(first.ok());
  {
    auto second = budget.Reserve(40);
    ASSERT_TRUE(second.ok());
    const Error error = budget.Reserve(1).error();
    EXPECT_EQ(error.code(), Code::kResourceExhausted);
    EXPECT_NE(error.message().find("2 others have 100 of 100"),
              std::string::npos)
        << error.message();
    const auto moved = *std::move(second);
    EXPECT_EQ(budget.reserved(), 100);
  }
  EXPECT_EQ(budget.reserved(), 60);
  EXPECT_FALSE(budget.Reserve(~size_t{0}).ok());
  EXPECT_TRUE(budget.Reserve(40).ok());
}

TEST(DeviceTest, PeaksFollowFromTheFigures) {
  DeviceInfo info;
  EXPECT_EQ(info.MemoryBytesPerSecond(), 0);
  EXPECT_EQ(info.Int8OperationsPerSecond(), 0);
  info.major = 9;
  info.multiprocessors = 132;
  info.clock_khz = 1'980'000;
  info.memory_clock_khz = 3'201'000;
  info.memory_bus_bits = 6144;
  EXPECT_NEAR(info.MemoryBytesPerSecond(), 4.9e12, 0.1e12);
  EXPECT_NEAR(info.Int8OperationsPerSecond(), 2.14e15, 0.01e15);
}

// Without a device: an error that says what to do. With one: it works.
TEST(DeviceTest, WithoutADeviceSaysWhatToDo) {
  const Result<int> count = DeviceCount();
  if (count.ok()) GTEST_SKIP() << "there is a device";
  EXPECT_EQ(count.error().code(), Code::kUnavailable);
  EXPECT_NE(count.error().message().find("--device cpu"), std::string::npos)
      << count.error().message();
  EXPECT_EQ(CheckHealth(0).code(), Code::kUnavailable);
  EXPECT_EQ(QueryDevice(0).error().code(), Code::kUnavailable);
}

TEST(DeviceTest, AnswersWithItsFigures) {
  const Result<int> count = DeviceCount();
  if (!count.ok()) GTEST_SKIP() << count.error().message();
  Result<DeviceInfo> info = QueryDevice(0);
  ASSERT_TRUE(info.ok()) << info.error().message();
  EXPECT_GT(info->memory_total, 0);
  EXPECT_LE(info->memory_free, info->memory_total);
  EXPECT_GT(info->multiprocessors, 0);
  EXPECT_TRUE(CheckHealth(0).ok()) << CheckHealth(0).message();
  EXPECT_EQ(QueryDevice(1000).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace tacit::gpu
