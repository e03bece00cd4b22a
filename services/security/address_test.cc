#include "services/security/address.h"

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

TEST(AddressTest, ParsesHostAndPort) {
  const auto v4 = ParseAddress("10.0.0.1:80");
  ASSERT_OK(v4);
  EXPECT_EQ(v4->host, "10.0.0.1");
  EXPECT_EQ(v4->port, 80);
  const auto v6 = ParseAddress("[fd00::1]:65535");
  ASSERT_OK(v6);
  EXPECT_EQ(v6->host, "fd00::1");
  EXPECT_EQ(v6->port, 65535);
  EXPECT_OK(ParseAddress("dealer-0.cell_a.example.com:0"));
}

TEST(AddressTest, RejectsWhatIsNone) {
  for (const char* bad :
       {"", ":", "host", "host:", ":80", "host:-1", "host:+1", "host:65536",
        "host:99999999999", "host:0x50", "host: 80", "::1:80", "[::1]80",
        "[host]:80", "[]:80", "ho st:80", "host:80/x", "a,b:1"}) {
    EXPECT_THAT(ParseAddress(bad),
                StatusIs(absl::StatusCode::kInvalidArgument, "no address"))
        << bad;
  }
}

TEST(AddressTest, KnowsLoopback) {
  for (const char* good :
       {"127.0.0.1:7000", "127.8.9.10:1", "localhost:7000", "[::1]:7000", "::1",
        "localhost", "unix:/run/x", "ipv4:127.0.0.1:80", "dns:///localhost:1",
        "ipv6:[::1]:1"}) {
    EXPECT_TRUE(IsLoopback(good)) << good;
  }
  for (const char* bad :
       {"0.0.0.0:7000", "[::]:7000", ":7000", "", "10.0.0.1:1", "localhost.x:1",
        "127.0.0.1.example:1", "1270.0.0.1:1", "dealer:7000",
        "[::ffff:10.0.0.1]:1", "*:80"}) {
    EXPECT_FALSE(IsLoopback(bad)) << bad;
  }
  EXPECT_OK(CheckInsecureAllowed({"127.0.0.1:1", "[::1]:2"}));
  EXPECT_THAT(CheckInsecureAllowed({"127.0.0.1:1", "0.0.0.0:7000"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "0.0.0.0:7000"));
}

}  // namespace
}  // namespace tacit
