// No mask is used twice, whatever fails: what is dealt, and what is opened, is
// recorded while roles are killed and stopped, connections break and callers
// leave, and compared. replay_test shows that the comparison finds what it is
// to find.
#include <signal.h>

#include <atomic>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "tests/proxied.h"
#include "tests/recording.h"
#include "tests/testing.h"

namespace tacit {
namespace {

constexpr int kFaults = 60;
constexpr int kCallers = 2;

class MasksTest : public testing::Test {
 protected:
  void SetUp() override {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.up.insecure = true;  // else there is nothing to be seen
    options.flags["*"] = {"--deadlines-connect", "1s", "--deadlines-step",
                          "2s"};
    options.gateway_step = absl::Seconds(3);
    recording_.Attach(options);
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = *std::move(started);
  }

  // One after the other until told to stop. A third are given up by their
  // caller, by deadline or at a token; equal prompts show a mask at its second
  // use.
  void Call(int seed) {
    std::mt19937 random(seed);
    while (!stop_) {
      const unsigned kind = random() % 6;
      Cancellation cancellation;
      TextRequest request = DemoRequest(2 + random() % 3);
      request.prompts = {
          "Once upon a time there was a little girl who had a "
          "red ball and a small dog"};
      const absl::Time deadline =
          absl::Now() + (kind == 0 ? absl::Milliseconds(20 + random() % 200)
                                   : absl::Seconds(20));
      const auto result = deployment_->client().Infer(
          request,
          [&](size_t, const std::string&) {
            if (kind == 1) cancellation.Cancel();
            return true;
          },
          {.deadline = deadline, .cancellation = &cancellation});
      ++(result.ok() ? answered_ : failed_);
    }
  }

  void Break(std::mt19937& random) {
    const std::string role =
        std::vector<std::string>{"dealer", "party0", "party1"}[random() % 3];
    Proxy& proxy = deployment_->proxy(kLinks[random() % std::size(kLinks)]);
    const Toward toward = random() % 2 == 0 ? Toward::kServer : Toward::kClient;
    switch (random() % 5) {
      case 0:
        deployment_->Kill(role);
        ASSERT_OK(deployment_->roles().Restart(role));
        return;
      case 1:
        kill(deployment_->roles().pid(role), SIGSTOP);
        absl::SleepFor(absl::Milliseconds(100 + random() % 3000));
        kill(deployment_->roles().pid(role), SIGCONT);
        return;
      case 2:
        return proxy.Reset();
      case 3:
        return proxy.Inject(toward, Fault::kTruncate);
      case 4:
        return proxy.Inject(toward, Fault::kRepeat, 100);
    }
  }

  Recording recording_{Recording::kFrames};
  std::unique_ptr<ProxiedDeployment> deployment_;
  std::atomic<bool> stop_{false};
  std::atomic<int> answered_{0}, failed_{0};
};

TEST_F(MasksTest, NoneIsUsedTwiceWhateverFails) {
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i)
    callers.emplace_back([=, this] { Call(i); });
  std::mt19937 random(7);
  for (int i = 0; i < kFaults && !HasFatalFailure(); ++i) {
    absl::SleepFor(absl::Milliseconds(random() % 700));
    Break(random);
  }
  stop_ = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_OK(deployment_->TextSoon(2, absl::Seconds(30)));

  const std::vector<std::string> opened = recording_.OpenedSessions();
  const std::vector<std::string> dealt = recording_.DealtSessions();
  const std::vector<std::string> masked = recording_.Masked();
  std::cout << answered_ << " requests answered, " << failed_ << " failed, "
            << opened.size() << " sessions opened, " << dealt.size()
            << " streams of material begun, " << masked.size()
            << " masked messages" << std::endl;
  // There was enough of everything.
  EXPECT_GT(answered_, 20);
  EXPECT_GT(failed_, 20);
  EXPECT_GT(opened.size(), 60u);
  EXPECT_GT(masked.size(), 1000u);
  const std::vector<std::string> none;
  EXPECT_EQ(Repeated(opened), none);
  EXPECT_EQ(Repeated(dealt), none);
  EXPECT_EQ(Repeated(recording_.Seeds()), none);
  EXPECT_EQ(Repeated(masked), none);
}

}  // namespace
}  // namespace tacit
