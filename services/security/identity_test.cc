#include "services/security/identity.h"

#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

TEST(IdentityTest, FormatsAndParsesEveryRole) {
  const std::vector<std::pair<Identity, std::string>> cases = {
      {{"tacit.local", ServiceRole::kDealer, ""},
       "spiffe://tacit.local/dealer"},
      {{"tacit.local", ServiceRole::kParty0, ""},
       "spiffe://tacit.local/party/0"},
      {{"cell-7.example", ServiceRole::kParty1, ""},
       "spiffe://cell-7.example/party/1"},
      {{"tacit.local", ServiceRole::kGateway, "alice"},
       "spiffe://tacit.local/gateway/alice"},
      {{"tacit.local", ServiceRole::kOperator, "on_call.1"},
       "spiffe://tacit.local/operator/on_call.1"},
  };
  for (const auto& [identity, uri] : cases) {
    EXPECT_EQ(identity.Uri(), uri);
    EXPECT_OK(ValidateIdentity(identity));
    const auto parsed = ParseIdentity(uri);
    ASSERT_OK(parsed);
    EXPECT_EQ(*parsed, identity);
  }
}

TEST(IdentityTest, RejectsWhatIsNoIdentityOfOurs) {
  const std::vector<std::string> bad = {
      "",
      "spiffe://",
      "spiffe://tacit.local",
      "spiffe://tacit.local/",
      "spiffe:///dealer",
      "https://tacit.local/dealer",
      "SPIFFE://tacit.local/dealer",
      "spiffe://tacit.local/party",
      "spiffe://tacit.local/party/2",
      "spiffe://tacit.local/party/00",
      "spiffe://tacit.local/party/0/",
      "spiffe://tacit.local/party/0/x",
      "spiffe://tacit.local/dealer/x",
      "spiffe://tacit.local/gateway",
      "spiffe://tacit.local/gateway/",
      "spiffe://tacit.local/gateway/..",
      "spiffe://tacit.local/gateway/a/b",
      "spiffe://tacit.local/gateway/A",
      "spiffe://tacit.local/gateway/a b",
      "spiffe://Tacit.local/dealer",
      "spiffe://user@tacit.local/dealer",
      "spiffe://tacit.local:1/dealer",
      "spiffe://tacit.local/dealer?x",
      "spiffe://" + std::string(256, 'a') + "/dealer",
      "spiffe://tacit.local/gateway/" + std::string(64, 'a'),
      std::string("spiffe://tacit.local/dealer\0", 28),
  };
  for (const std::string& uri : bad) {
    EXPECT_THAT(ParseIdentity(uri),
                StatusIs(absl::StatusCode::kInvalidArgument, "identity"))
        << uri;
  }
}

TEST(IdentityTest, PrintsHostileTextEscapedAndShort) {
  const absl::Status status =
      ParseIdentity("\n\x1b[2J" + std::string(100000, 'x')).status();
  EXPECT_LT(status.message().size(), 1000);
  EXPECT_EQ(std::string(status.message()).find('\n'), std::string::npos);
  EXPECT_EQ(std::string(status.message()).find('\x1b'), std::string::npos);
}

TEST(IdentityTest, KnowsPartiesByNumber) {
  EXPECT_EQ(PartyOf(ServiceRole::kParty0), 0);
  EXPECT_EQ(PartyOf(ServiceRole::kParty1), 1);
  EXPECT_EQ(PartyOf(ServiceRole::kDealer), std::nullopt);
  EXPECT_EQ(PartyRole(0), ServiceRole::kParty0);
  EXPECT_EQ(PartyRole(1), ServiceRole::kParty1);
}

}  // namespace
}  // namespace tacit
