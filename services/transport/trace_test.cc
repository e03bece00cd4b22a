#include "services/transport/trace.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using testing::MatchesRegex;
using testing::StartsWith;

constexpr char kId[] = "4bf92f3577b34da6a3ce929d0e0e4736";
// The specification's own example.
constexpr char kExample[] =
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceTest, KeepsTheIdAndFlagsOfItsCaller) {
  const TraceContext trace = TraceContext::Parse(kExample);
  ASSERT_TRUE(trace.exists());
  EXPECT_EQ(trace.id(), kId);
  EXPECT_THAT(trace.Traceparent(),
              MatchesRegex(std::string("00-") + kId + "-[0-9a-f]{16}-01"));
  EXPECT_NE(trace.Traceparent(), kExample);
  EXPECT_NE(trace.Traceparent(), trace.Traceparent());
}

TEST(TraceTest, BeginsDifferentTraces) {
  const TraceContext trace = TraceContext::Begin();
  EXPECT_THAT(trace.id(), MatchesRegex("[0-9a-f]{32}"));
  EXPECT_NE(trace.id(), TraceContext::Begin().id());
  EXPECT_EQ(TraceContext::Parse(trace.Traceparent()).id(), trace.id());
}

TEST(TraceTest, TakesLaterVersions) {
  const std::string later = std::string("cc") + (kExample + 2);
  EXPECT_EQ(TraceContext::Parse(later).id(), kId);
  EXPECT_EQ(TraceContext::Parse(later + "-more").id(), kId);
  EXPECT_THAT(TraceContext::Parse(later).Traceparent(), StartsWith("00-"));
}

TEST(TraceTest, IgnoresWhatIsNone) {
  const std::string example = kExample;
  const auto with = [&](size_t at, const std::string& text) {
    return std::string(example).replace(at, text.size(), text);
  };
  for (const std::string& text : {
           std::string(),
           example.substr(1),
           example + "0",
           example + "-0",
           with(0, "ff"),
           with(0, "0x"),
           with(2, "_"),
           with(35, "_"),
           with(52, "_"),
           with(3, "A"),
           with(10, "\n"),
           with(40, "g"),
           with(53, "0G"),
           with(3, std::string(32, '0')),
           with(36, std::string(16, '0')),
           std::string("cc") + (kExample + 2) + "x",
       }) {
    EXPECT_FALSE(TraceContext::Parse(text).exists()) << text;
  }
  EXPECT_FALSE(TraceContext().exists());
}

}  // namespace
}  // namespace tacit
