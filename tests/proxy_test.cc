// Networks and peers that misbehave between roles: each fault ends in a clear
// status within its deadline, and the next request works.
#include "tests/proxy.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/proxied.h"
#include "tests/testing.h"

namespace tacit {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;

constexpr absl::Duration kStep = absl::Seconds(3);
// From a fault to the end of its request: the longest wait for a peer, and
// retries.
constexpr absl::Duration kEnd = absl::Seconds(10);
constexpr absl::Duration kHeal = absl::Seconds(30);

class ProxyTest : public testing::TestWithParam<const char*> {
 protected:
  void Start(bool insecure) {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.up.insecure = insecure;
    options.flags["*"] = {"--deadlines-connect", "2s",
                          // So small that material flows until the end.
                          "--limits-material-buffer", "1MiB",
                          "--deadlines-step", absl::FormatDuration(kStep)};
    options.gateway_step = kStep;
    for (const std::string link : kLinks) {
      options.proxies[link].frames = insecure;
    }
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = *std::move(started);
    const auto text = deployment_->Text(kTokens);
    ASSERT_OK(text);
    want_ = *text;
  }

  // A request in which `fault` happens after the second token.
  template <typename Break>
  absl::StatusOr<std::string> TextWith(Break fault, absl::Duration& took) {
    int pieces = 0;
    absl::Time broken = absl::Now();
    const auto result = deployment_->client().Infer(
        DemoRequest(kTokens),
        [&](size_t, const std::string&) {
          if (++pieces == 2) {
            broken = absl::Now();
            fault();
          }
          return true;
        },
        {.deadline = absl::Now() + absl::Minutes(1)});
    took = absl::Now() - broken;
    if (!result.ok()) return result.status();
    return result->sequences[0].text;
  }

  // Everything is as before: the processes, and what they answer.
  void ExpectHealed() {
    ASSERT_OK(deployment_->roles().Check());
    const auto text = deployment_->TextSoon(kTokens, kHeal);
    ASSERT_OK(text);
    EXPECT_EQ(*text, want_);
  }

  // A fault either ends the request, with a status of what can fail and soon,
  // or leaves the text as it is, where nothing was lost.
  template <typename Break>
  absl::Status Outcome(Break fault) {
    absl::Duration took;
    const auto text = TextWith(fault, took);
    EXPECT_LT(took, kEnd);
    if (text.ok()) {
      EXPECT_EQ(*text, want_);
      return absl::OkStatus();
    }
    EXPECT_FALSE(text.status().message().empty());
    EXPECT_THAT(text.status().code(),
                AnyOf(Eq(absl::StatusCode::kUnavailable),
                      Eq(absl::StatusCode::kDataLoss),
                      Eq(absl::StatusCode::kDeadlineExceeded),
                      Eq(absl::StatusCode::kInvalidArgument),
                      Eq(absl::StatusCode::kInternal)))
        << text.status();
    return text.status();
  }

  // So many that their material does not fit into the buffers on its way.
  static constexpr size_t kTokens = 48;
  std::unique_ptr<ProxiedDeployment> deployment_;
  std::string want_;
};

// Over each link.
INSTANTIATE_TEST_SUITE_P(Links, ProxyTest, testing::ValuesIn(kLinks),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(name.find('-'), 1);
                           return name;
                         });

// Whether a request that has begun goes over the link all the time.
bool IsBusy(const std::string& link) { return link != "gateway-dealer"; }

TEST_P(ProxyTest, WithTlsABrokenConnectionEndsTheRequest) {
  const std::string link = GetParam();
  ASSERT_NO_FATAL_FAILURE(Start(/*insecure=*/false));
  Proxy& proxy = deployment_->proxy(link);
  for (Fault fault : {Fault::kReset, Fault::kTruncate, Fault::kGarbage,
                      Fault::kRepeat, Fault::kReorder, Fault::kReplay}) {
    for (Toward toward : {Toward::kServer, Toward::kClient}) {
      SCOPED_TRACE(absl::StrCat("fault ", static_cast<int>(fault), " toward ",
                                static_cast<int>(toward)));
      const absl::Status status = Outcome([&] { proxy.Inject(toward, fault); });
      if (IsBusy(link) && proxy.injected()) {
        EXPECT_FALSE(status.ok());
      }
      proxy.Inject(toward, Fault::kNone);
      ExpectHealed();
    }
  }
}

TEST_P(ProxyTest, APeerThatStallsEndsTheRequestWithinItsDeadline) {
  const std::string link = GetParam();
  ASSERT_NO_FATAL_FAILURE(Start(/*insecure=*/false));
  Proxy& proxy = deployment_->proxy(link);
  const absl::Status status = Outcome([&] { proxy.SetStalled(true); });
  EXPECT_EQ(status.ok(), !IsBusy(link)) << status;
  proxy.SetStalled(false);
  ExpectHealed();
}

// Without TLS nothing but our own checks stands between a peer and us.
TEST_P(ProxyTest, WithoutTlsFramesThatAreWrongEndTheRequest) {
  const std::string link = GetParam();
  ASSERT_NO_FATAL_FAILURE(Start(/*insecure=*/true));
  Proxy& proxy = deployment_->proxy(link);
  for (Fault fault : {Fault::kTruncate, Fault::kGarbage, Fault::kRepeat,
                      Fault::kReorder, Fault::kReplay}) {
    for (Toward toward : {Toward::kServer, Toward::kClient}) {
      SCOPED_TRACE(absl::StrCat("fault ", static_cast<int>(fault), " toward ",
                                static_cast<int>(toward)));
      const absl::Status status =
          Outcome([&] { proxy.Inject(toward, fault, /*min_bytes=*/24); });
      // A dealer hears nothing in mid-session.
      EXPECT_EQ(proxy.injected(), IsBusy(link) && (ServerOf(link) != "dealer" ||
                                                   toward == Toward::kClient));
      EXPECT_NE(status.ok(), proxy.injected()) << status;
      proxy.Inject(toward, Fault::kNone);
      ExpectHealed();
    }
  }
}

// gRPC waits longer and longer between attempts to connect, if it is let.
class ProxyRoleTest : public ProxyTest {};
INSTANTIATE_TEST_SUITE_P(Roles, ProxyRoleTest,
                         testing::Values("dealer", "party1"),
                         [](const auto& info) { return info.param; });

TEST_P(ProxyRoleTest, AfterALongAbsenceItIsFoundSoon) {
  const std::string role = GetParam();
  ASSERT_NO_FATAL_FAILURE(Start(/*insecure=*/false));
  deployment_->Kill(role);
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(deployment_->Text(2, absl::Seconds(5)).ok());
    absl::SleepFor(absl::Seconds(1));
  }
  ASSERT_OK(deployment_->roles().Restart(role));
  const absl::Time back = absl::Now();
  EXPECT_OK(deployment_->TextSoon(2, kHeal));
  EXPECT_LT(absl::Now() - back, absl::Seconds(8));
}

}  // namespace
}  // namespace tacit
