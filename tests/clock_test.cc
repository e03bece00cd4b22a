// Wall clocks that jump, of all roles and of one: nothing that waits or
// measures depends on them, and certificates do.
#include "absl/time/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "tests/proxied.h"
#include "tests/role_calls.h"
#include "tests/testing.h"

namespace tacit {
namespace {

constexpr absl::Duration kDay = absl::Hours(25);  // no one mixes it up
constexpr absl::Duration kLimit = absl::Seconds(30);
constexpr char kVariable[] = "TACIT_TEST_WALL_CLOCK";
const char* const kRoles[] = {"dealer", "party0", "party1"};

// wall_clock.cc reads it.
void SetOffset(const std::string& file, absl::Duration offset) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(offset);
  EXPECT_EQ(pwrite(fd, &nanoseconds, sizeof(nanoseconds), 0),
            static_cast<ssize_t>(sizeof(nanoseconds)));
  close(fd);
}

class ClockTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(getenv(kVariable), nullptr)
        << "run it with ctest, which preloads a wall clock";
    ShiftAll(absl::ZeroDuration());
  }
  void TearDown() override { ShiftAll(absl::ZeroDuration()); }

  void Start(std::map<std::string, std::vector<std::string>> flags) {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.flags = std::move(flags);
    options.flags["dealer"].insert(options.flags["dealer"].end(),
                                   {"--limits-prefetch-sessions", "0"});
    options.up.adjust = [](const std::string& role,
                           std::vector<std::string>& words) {
      words.insert(words.begin(), {"/usr/bin/env",
                                   absl::StrCat(kVariable, "=", FileOf(role))});
    };
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = *std::move(started);
    calls_ = std::make_unique<RoleCalls>(deployment_->roles());
  }

  static std::string FileOf(const std::string& role) {
    return absl::StrCat(getenv(kVariable), ".", role);
  }
  static void Shift(const std::string& role, absl::Duration by) {
    SetOffset(FileOf(role), by);
  }
  // Of this process, too, which is the gateway.
  static void ShiftAll(absl::Duration by) {
    SetOffset(getenv(kVariable), by);
    for (const char* role : kRoles) Shift(role, by);
  }

  // A request during which `jump` happens, at the third piece.
  template <typename Jump>
  absl::StatusOr<std::string> TextWith(size_t tokens, Jump jump) {
    int pieces = 0;
    const auto result = deployment_->client().Infer(
        DemoRequest(tokens),
        [&](size_t, const std::string&) {
          if (++pieces == 3) jump();
          return true;
        },
        {.deadline = absl::Now() + absl::Minutes(1)});
    if (!result.ok()) return result.status();
    return result->sequences[0].text;
  }

  std::unique_ptr<ProxiedDeployment> deployment_;
  std::unique_ptr<RoleCalls> calls_;
};

TEST_F(ClockTest, TheTestsClockJumpsAndTheMonotonicOneDoesNot) {
  const absl::Time wall = absl::Now(), steady = SteadyNow();
  ShiftAll(kDay);
  EXPECT_GT(absl::Now() - wall, kDay - absl::Seconds(1));
  EXPECT_LT(SteadyNow() - steady, absl::Seconds(10));
  EXPECT_GT(time(nullptr), absl::ToTimeT(wall + kDay) - 1);
}

TEST_F(ClockTest, AJumpInMidRequestChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start({}));
  const auto want = deployment_->Text(30);
  ASSERT_OK(want);
  for (const absl::Duration by : {kDay, -kDay}) {
    const auto got = TextWith(30, [&] { ShiftAll(by); });
    ASSERT_OK(got);
    EXPECT_EQ(*got, *want);
    ShiftAll(absl::ZeroDuration());
  }
}

TEST_F(ClockTest, AJumpOfOneRoleChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start({}));
  for (const char* role : kRoles) {
    for (const absl::Duration by : {kDay, -kDay}) {
      EXPECT_OK(TextWith(10, [&] { Shift(role, by); }));
      EXPECT_OK(deployment_->Text(2, kLimit));
      Shift(role, absl::ZeroDuration());
    }
  }
}

TEST_F(ClockTest, ASessionExpiresByTimeAndNotByTheClock) {
  ASSERT_NO_FATAL_FAILURE(
      Start({{"dealer", {"--deadlines-session-idle", "6s"}}}));
  std::string session = calls_->Open();
  ShiftAll(kDay);
  absl::SleepFor(absl::Seconds(2));  // the dealer looks twice a second
  EXPECT_OK(calls_->Fetch(0, session, 0));
  ShiftAll(absl::ZeroDuration());
  session = calls_->Open();
  ShiftAll(-kDay);
  absl::SleepFor(absl::Seconds(8));
  ShiftAll(absl::ZeroDuration());  // certificates must be valid
  EXPECT_THAT(calls_->Fetch(0, session, 0),
              StatusIs(absl::StatusCode::kNotFound, "expired"));
}

TEST_F(ClockTest, DrainingTakesAsLongAsItMayAndNoLonger) {
  ASSERT_NO_FATAL_FAILURE(Start({{"dealer", {"--deadlines-drain", "3s"}},
                                 {"party0", {"--deadlines-drain", "20s"}}}));
  // A request under way may end, however late it seems to be.
  EXPECT_OK(TextWith(30, [&] {
    kill(deployment_->roles().pid("party0"), SIGTERM);
    absl::SleepFor(absl::Milliseconds(300));
    ShiftAll(kDay);
  }));
  ShiftAll(absl::ZeroDuration());
  ASSERT_OK(deployment_->roles().Restart("party0"));
  // A session that nobody fetches does not hold the dealer, however early it
  // seems to be.
  calls_->Open();
  const absl::Time start = SteadyNow();
  kill(deployment_->roles().pid("dealer"), SIGTERM);
  absl::SleepFor(absl::Milliseconds(500));
  ShiftAll(-kDay);
  while (deployment_->roles().Check().ok() &&
         SteadyNow() < start + absl::Seconds(30)) {
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_LT(SteadyNow() - start, absl::Seconds(10));
}

TEST_F(ClockTest, ADeadlineHoldsWhenTheClockIsSetBack) {
  ASSERT_NO_FATAL_FAILURE(Start({}));
  ASSERT_OK(deployment_->Text(2));
  kill(deployment_->roles().pid("party0"), SIGSTOP);
  const absl::Time start = SteadyNow();
  std::thread setter([] {
    absl::SleepFor(absl::Milliseconds(300));
    ShiftAll(-kDay);
  });
  const absl::Status status = deployment_->Text(20, absl::Seconds(2)).status();
  setter.join();
  kill(deployment_->roles().pid("party0"), SIGCONT);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded, ""));
  EXPECT_LT(SteadyNow() - start, absl::Seconds(6));
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
}

// What is valid when is a matter of the wall clock: a role whose clock is a
// year ahead refuses its peers, says why, and serves again once it is right.
TEST_F(ClockTest, CertificatesAreJudgedByTheWallClock) {
  ASSERT_NO_FATAL_FAILURE(Start({}));
  ASSERT_OK(deployment_->Text(2));
  Shift("party1", absl::Hours(24 * 365));
  EXPECT_OK(deployment_->Text(2, kLimit));  // over connections that stand
  for (const char* link : {"gateway-party1", "party0-party1"}) {
    deployment_->proxy(link).Reset();
  }
  EXPECT_THAT(deployment_->Text(2, kLimit).status(),
              StatusIs(absl::StatusCode::kUnavailable, "party 1"));
  EXPECT_NE(deployment_->roles().Log("party1").find("verify failed"),
            std::string::npos);
  Shift("party1", absl::ZeroDuration());
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
}

}  // namespace
}  // namespace tacit
