// Sessions that come once more: after restarts of the dealer and of parties, by
// parties, gateways and dealers that repeat themselves.
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/proxied.h"
#include "tests/recording.h"
#include "tests/replay_dealer.h"
#include "tests/role_calls.h"
#include "tests/testing.h"

namespace tacit {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(30);

// With TLS, called by the test with the roles' own certificates.
class ReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.flags["*"] = {"--deadlines-connect", "2s"};
    options.flags["dealer"] = {"--limits-prefetch-sessions", "0"};
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = *std::move(started);
    calls_ = std::make_unique<RoleCalls>(deployment_->roles());
  }

  std::unique_ptr<ProxiedDeployment> deployment_;
  std::unique_ptr<RoleCalls> calls_;
};

TEST_F(ReplayTest, APartyGetsItsOwnMaterialOnceAndNeverTheOthers) {
  const std::string session = calls_->Open();
  for (int party : {0, 1}) {
    EXPECT_THAT(calls_->Fetch(party, session, 1 - party),
                StatusIs(absl::StatusCode::kPermissionDenied,
                         absl::StrCat("party ", party, " asks for party ",
                                      1 - party, "'s material")));
  }
  EXPECT_OK(calls_->Fetch(0, session, 0));
  EXPECT_FALSE(calls_->Fetch(0, session, 0).ok());
  EXPECT_OK(deployment_->Text(2, kLimit));
}

TEST_F(ReplayTest, ADealersRestartForgetsItsSessions) {
  const std::string session = calls_->Open();
  deployment_->Kill("dealer");
  ASSERT_OK(deployment_->roles().Restart("dealer"));
  for (int party : {0, 1}) {
    EXPECT_THAT(calls_->Fetch(party, session, party),
                StatusIs(absl::StatusCode::kNotFound, "restarted"));
  }
  // Both parties, as with a gateway that does not know.
  absl::Status other;
  std::thread thread([&] { other = calls_->Infer(1, session); });
  const absl::Status status = calls_->Infer(0, session);
  thread.join();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, "the dealer"));
  EXPECT_FALSE(other.ok());
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
}

TEST_F(ReplayTest, ASessionThatHasEndedIsNotBegunAgain) {
  ASSERT_OK(deployment_->Text(2, kLimit));
  const std::string session = calls_->Open();
  EXPECT_OK(calls_->Fetch(0, session, 0));
  EXPECT_OK(calls_->Fetch(1, session, 1));
  absl::Status other;
  std::thread thread([&] { other = calls_->Infer(1, session); });
  EXPECT_FALSE(calls_->Infer(0, session).ok());
  thread.join();
  EXPECT_FALSE(other.ok());
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
}

// Without TLS, so that what a dealer said can be recorded.
class ReplayedDealTest : public testing::Test {
 protected:
  void SetUp() override {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.up.insecure = true;
    options.flags["dealer"] = {"--limits-prefetch-sessions", "0"};
    recording_.Attach(options);
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = *std::move(started);
  }

  // Puts a dealer in place that deals the first session for ever.
  void Replay() {
    const auto of = [&](const std::string& link) {
      const auto streams = recording_.Streams(link, Toward::kClient);
      EXPECT_FALSE(streams.empty());
      return streams.empty() ? Recording::Stream(1) : streams[0];
    };
    dealer_ = std::make_unique<ReplayDealer>(
        of("gateway-dealer")[0], of("party0-dealer"), of("party1-dealer"));
    for (const std::string link : kLinks) {
      if (ServerOf(link) != "dealer") continue;
      deployment_->proxy(link).SetTarget(dealer_->address());
      deployment_->proxy(link).Reset();
    }
  }
  void EndReplay() {
    for (const std::string link : kLinks) {
      if (ServerOf(link) != "dealer") continue;
      deployment_->proxy(link).SetTarget(
          deployment_->roles().address("dealer"));
      deployment_->proxy(link).Reset();
    }
  }

  Recording recording_{Recording::kAll};
  std::unique_ptr<ReplayDealer> dealer_;
  std::unique_ptr<ProxiedDeployment> deployment_;
};

TEST_F(ReplayedDealTest, PartiesRefuseItBeforeAndAfterTheirRestart) {
  ASSERT_OK(deployment_->Text(2, kLimit));
  const size_t masked = recording_.Masked().size();
  Replay();
  const auto refused = [&] {
    absl::Status status;
    // The first may meet a connection that has just been reset.
    for (int i = 0; i < 3 && !absl::IsAlreadyExists(status); ++i) {
      status = deployment_->Text(2, kLimit).status();
      EXPECT_FALSE(status.ok());
    }
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kAlreadyExists, "was used before"));
  };
  refused();
  for (const char* role : {"party0", "party1"}) {
    deployment_->Kill(role);
    ASSERT_OK(deployment_->roles().Restart(role));
  }
  refused();
  EndReplay();
  EXPECT_OK(deployment_->TextSoon(2, kLimit));
  EXPECT_GT(recording_.Masked().size(), masked);
  EXPECT_EQ(Repeated(recording_.Masked()), std::vector<std::string>());
}

// What the ledgers are for: the same without them. It shows too that masks
// which are used twice are noticed by the comparison that masks_test relies on.
TEST_F(ReplayedDealTest, WithoutTheirLedgersMasksWouldBeUsedTwice) {
  const auto want = deployment_->Text(2, kLimit);
  ASSERT_OK(want);
  EXPECT_EQ(Repeated(recording_.Masked()), std::vector<std::string>());
  for (const char* role : {"party0", "party1"}) {
    deployment_->Kill(role);
    std::filesystem::remove(deployment_->roles().folder() + "/state/" + role +
                            "/ledger");
    ASSERT_OK(deployment_->roles().Restart(role));
  }
  Replay();
  const auto again = deployment_->TextSoon(2, kLimit);
  ASSERT_OK(again);
  EXPECT_EQ(*again, *want);
  EXPECT_GT(Repeated(recording_.Masked()).size(), 10u);
  EXPECT_EQ(Repeated(recording_.OpenedSessions()).size(), 1u);
  EXPECT_EQ(Repeated(recording_.DealtSessions()).size(), 2u);
  EXPECT_EQ(Repeated(recording_.Seeds()).size(), 3u);
}

}  // namespace
}  // namespace tacit
