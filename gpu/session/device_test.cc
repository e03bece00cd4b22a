#include "gpu/session/device.h"

#include "common/base/status_matchers.h"
#include "gpu/base/device.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

TEST(DeviceTest, Names) {
  EXPECT_EQ(*ParseDevice("cpu"), std::nullopt);
  EXPECT_EQ(*ParseDevice("cuda"), 0);
  EXPECT_EQ(*ParseDevice("cuda:12"), 12);
  for (const char* name : {"", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:1x",
                           "cuda:99999999999", "gpu"}) {
    EXPECT_EQ(ParseDevice(name).status().code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
}

TEST(DeviceTest, TheHostIsNoDevice) {
  const auto device = OpenDevice("cpu");
  ASSERT_OK(device);
  EXPECT_EQ(*device, nullptr);
  EXPECT_EQ(SessionsOn(nullptr), nullptr);
}

TEST(DeviceTest, WithoutADeviceTheErrorSaysWhatToDo) {
  if (DeviceCount().ok()) GTEST_SKIP() << "there is a device";
  const absl::Status status = OpenDevice("cuda").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_NE(status.message().find("--device cpu"), std::string::npos) << status;
}

}  // namespace
}  // namespace tacit::gpu
