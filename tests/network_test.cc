// The roles on hosts of their own: slow and lossy wires, and cut ones.
#include "tests/network.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/cli/up.h"
#include "services/gateway/text_client.h"
#include "tests/testing.h"

namespace tacit {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;

constexpr absl::Duration kStep = absl::Seconds(5);  // roles' deadline

class NetworkTest : public testing::Test {
 protected:
  // Before any other thread, so that all are on the gateway's host.
  static void SetUpTestSuite() {
    auto network = Network::Create({"gateway", "dealer", "party0", "party1"});
    unavailable_ = network.status();
    if (!network.ok()) return;
    network_ = network->release();
    ASSERT_OK(network_->Enter("gateway"));
    UpOptions options = DemoDeployment();
    for (const char* role : {"dealer", "party0", "party1"}) {
      options.hosts[role] = network_->address(role);
    }
    options.adjust = [](const std::string& role,
                        std::vector<std::string>& words) {
      words.insert(words.begin(), {"/usr/bin/nsenter",
                                   "--net=" + network_->NamespacePath(role)});
      words.insert(words.end(),
                   {"--deadlines-step", absl::FormatDuration(kStep)});
    };
    auto deployment = Deployment::Start(options);
    ASSERT_OK(deployment);
    deployment_ = deployment->release();
    auto client = TextClient::Create(deployment_->gateway());
    ASSERT_OK(client);
    client_ = client->release();
  }
  static void TearDownTestSuite() {
    delete client_;
    delete deployment_;
    delete network_;
  }

  void SetUp() override {
    if (!unavailable_.ok()) {
      GTEST_SKIP() << "no networks of their own here: " << unavailable_;
    }
    ASSERT_NE(client_, nullptr);
  }

  static absl::StatusOr<std::string> TextSoon(size_t tokens,
                                              absl::Duration limit) {
    const absl::Time until = absl::Now() + limit;
    while (true) {
      const auto text = TextOf(*client_, tokens, until - absl::Now());
      if (text.ok() || absl::Now() >= until) return text;
      absl::SleepFor(absl::Milliseconds(200));
    }
  }

  static inline absl::Status unavailable_;
  static inline Network* network_ = nullptr;
  static inline Deployment* deployment_ = nullptr;
  static inline TextClient* client_ = nullptr;
};

TEST_F(NetworkTest, SlowAndLossyWiresCostTimeAndNothingElse) {
  constexpr size_t kTokens = 2;
  const auto want = TextOf(*client_, kTokens);
  ASSERT_OK(want);
  // A round trip of 200 ms, and a packet in a hundred lost.
  network_->SetDelay(absl::Milliseconds(100), 0.01);
  const absl::Time start = absl::Now();
  const auto got = TextOf(*client_, kTokens, absl::Minutes(4));
  const absl::Duration took = absl::Now() - start;
  network_->SetDelay(absl::ZeroDuration(), 0);
  ASSERT_OK(got);
  EXPECT_EQ(*got, *want);
  // It was slow: each round waits for a packet.
  EXPECT_GT(took, absl::Seconds(5));
  std::cout << "took " << took << std::endl;
}

TEST_F(NetworkTest, ACutInMidGenerationEndsTheRequestAndHealsUnaided) {
  const std::vector<std::pair<std::string, std::string>> wires = {
      {"party0", "party1"}, {"party0", "dealer"}, {"gateway", "party1"}};
  for (const auto& [a, b] : wires) {
    SCOPED_TRACE(a + " - " + b);
    int pieces = 0;
    absl::Time cut = absl::Now();
    // So long that its material is not all sent before.
    const auto result =
        client_->Infer(DemoRequest(200),
                       [&, &a = a, &b = b](size_t, const std::string&) {
                         if (++pieces == 3) {
                           network_->SetCut(a, b, true);
                           cut = absl::Now();
                         }
                         return true;
                       },
                       {.deadline = absl::Now() + absl::Minutes(3)});
    const absl::Duration took = absl::Now() - cut;
    EXPECT_FALSE(result.ok());
    EXPECT_THAT(result.status().code(),
                AnyOf(Eq(absl::StatusCode::kUnavailable),
                      Eq(absl::StatusCode::kDeadlineExceeded)))
        << result.status();
    // The gateway's own patience for a step is 30 s.
    EXPECT_LT(took, absl::Seconds(35));
    std::cout << a << " - " << b << ": " << result.status() << " after " << took
              << std::endl;
    network_->SetCut(a, b, false);
    EXPECT_OK(deployment_->Check());
    EXPECT_OK(TextSoon(2, absl::Seconds(40)));
  }
}

}  // namespace
}  // namespace tacit
