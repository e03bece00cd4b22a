// A thousand sessions, several at once: no role grows.
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/cli/up.h"
#include "services/gateway/text_client.h"
#include "tests/process_stats.h"
#include "tests/testing.h"

namespace tacit {
namespace {

constexpr int kAtOnce = 4;
constexpr int kSessions = 1000;
constexpr int kWarm = 200;  // sessions until pools and arenas are full
// What a role may be larger at the end than when it was warm. A leak of a
// session's state, tens of KiB at least, would be 8 MiB and more.
constexpr double kGrowth = 0.03;
constexpr int64_t kGrowthKib = 2048;
constexpr int64_t kFewMore = 8;  // threads or open files

class SoakTest : public testing::Test {
 protected:
  void SetUp() override {
    UpOptions options = DemoDeployment();
    auto deployment = Deployment::Start(options);
    ASSERT_OK(deployment);
    deployment_ = *std::move(deployment);
    auto client = TextClient::Create(deployment_->gateway());
    ASSERT_OK(client);
    client_ = *std::move(client);
  }

  // Requests of several shapes; every seventh is given up.
  absl::Status OneRequest(int i) {
    TextRequest request = DemoRequest(1 + i % 3);
    if (i % 5 == 0) request.prompts.push_back("Lily wanted a");
    int pieces = 0;
    const bool give_up = i % 7 == 0;
    return client_
        ->Infer(request,
                [&](size_t, const std::string&) {
                  return !give_up || ++pieces < 1;
                },
                {.deadline = absl::Now() + absl::Minutes(2)})
        .status();
  }

  void Run(int sessions) {
    std::atomic<int> next{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kAtOnce; ++t) {
      threads.emplace_back([&] {
        for (int i = next++; i < sessions; i = next++) EXPECT_OK(OneRequest(i));
      });
    }
    for (std::thread& thread : threads) thread.join();
    // What ends in the background.
    absl::SleepFor(absl::Seconds(3));
  }

  std::map<std::string, ProcessStats> Stats() const {
    std::map<std::string, ProcessStats> stats;
    for (const char* role : {"dealer", "party0", "party1"}) {
      stats[role] = StatsOf(deployment_->pid(role));
    }
    stats["gateway"] = StatsOf(getpid());
    return stats;
  }

  std::unique_ptr<Deployment> deployment_;
  std::unique_ptr<TextClient> client_;
};

TEST_F(SoakTest, AThousandSessionsLeaveNothingBehind) {
  Run(kWarm);
  const std::map<std::string, ProcessStats> warm = Stats();
  Run(kSessions - kWarm);
  for (const auto& [role, now] : Stats()) {
    SCOPED_TRACE(role);
    const ProcessStats& before = warm.at(role);
    ASSERT_GT(before.resident_kib, 0);
    std::cout << role << ": " << before.resident_kib << " to "
              << now.resident_kib << " KiB, " << before.threads << " to "
              << now.threads << " threads, " << before.files << " to "
              << now.files << " files" << std::endl;
    EXPECT_LE(now.resident_kib,
              before.resident_kib * (1 + kGrowth) + kGrowthKib);
    EXPECT_LE(now.threads, before.threads + kFewMore);
    EXPECT_LE(now.files, before.files + kFewMore);
  }
}

}  // namespace
}  // namespace tacit
