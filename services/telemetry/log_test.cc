#include "services/telemetry/log.h"

#include <grpc/support/log.h>

#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class LogTest : public ::testing::Test {
 protected:
  void Init(LogLevel level, bool json) {
    LogOptions options;
    options.role = "party/0";
    options.level = level;
    options.json = json;
    options.sink = [this](absl::string_view line) {
      const std::lock_guard<std::mutex> lock(mutex_);
      lines_.emplace_back(line);
    };
    InitLog(std::move(options));
  }
  void TearDown() override { InitLog(LogOptions()); }

  std::mutex mutex_;
  std::vector<std::string> lines_;
};

constexpr SessionId kSession = {0xa1, 0xb2, 0xc3, 0xd4, 5, 6, 7, 8, 9};

TEST_F(LogTest, WritesJsonLines) {
  Init(LogLevel::kInfo, /*json=*/true);
  LogEvent(LogLevel::kInfo, "session_ended")
      .Session(kSession)
      .Trace("0af7651916cd43dd8448eb211c80319c")
      .Count("tokens", 17)
      .Elapsed("prefill", absl::Milliseconds(1500))
      .Choice("phase", "decode")
      .Error(absl::UnavailableError("peer is gone"))
      .Public("peer", "10.0.0.1:5");
  ASSERT_THAT(lines_, SizeIs(1));
  const auto line = nlohmann::json::parse(lines_[0]);
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["role"], "party/0");
  EXPECT_EQ(line["event"], "session_ended");
  EXPECT_EQ(line["session"], "a1b2c3d405060708");
  EXPECT_EQ(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(line["tokens"], 17);
  EXPECT_EQ(line["prefill"], 1.5);
  EXPECT_EQ(line["phase"], "decode");
  EXPECT_EQ(line["code"], "UNAVAILABLE");
  EXPECT_EQ(line["error"], "peer is gone");
  EXPECT_EQ(line["peer"], "10.0.0.1:5");
  EXPECT_THAT(std::string(line["time"]),
              testing::MatchesRegex("....-..-..T..:..:..[.]...Z"));
}

TEST_F(LogTest, WritesText) {
  Init(LogLevel::kInfo, /*json=*/false);
  LogEvent(LogLevel::kWarning, "peer_slow").Trace("").Count("waited", 3);
  EXPECT_THAT(lines_,
              ElementsAre(HasSubstr(" warning party/0 peer_slow waited=3")));
}

TEST_F(LogTest, LeavesOutWhatIsBelowTheLevel) {
  Init(LogLevel::kWarning, /*json=*/true);
  LogEvent(LogLevel::kDebug, "a");
  LogEvent(LogLevel::kInfo, "b").Count("n", 1);
  LogEvent(LogLevel::kWarning, "c");
  LogEvent(LogLevel::kError, "d");
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("\"c\""), HasSubstr("\"d\"")));
}

TEST_F(LogTest, KeepsHostileTextInItsField) {
  for (const bool json : {false, true}) {
    lines_.clear();
    Init(LogLevel::kInfo, json);
    LogEvent(LogLevel::kInfo, "call")
        .Public("agent", "x\",\"level\":\"error\"\n2030 error \x1b[2J\xff");
    ASSERT_THAT(lines_, SizeIs(1));
    EXPECT_EQ(lines_[0].find('\n'), std::string::npos);
    EXPECT_EQ(lines_[0].find('\x1b'), std::string::npos);
    if (json) {
      EXPECT_EQ(nlohmann::json::parse(lines_[0])["level"], "info");
    }
  }
  LogEvent(LogLevel::kInfo, "call").Public("agent", std::string(10000, 'x'));
  EXPECT_LT(lines_.back().size(), 1000);
}

// Only literals name events and keys, only public kinds of values get in.
template <typename Event>
concept CanBeAnEvent = requires(Event event) {
  LogLine(LogLevel::kInfo, event);
};
template <typename Value>
concept CanBeCounted = requires(LogLine& line, Value value) {
  line.Count("n", value);
};
static_assert(!CanBeAnEvent<std::string>);
static_assert(!CanBeAnEvent<absl::string_view>);
static_assert(CanBeCounted<size_t>);
static_assert(!CanBeCounted<double>);
static_assert(!CanBeCounted<const uint8_t*>);
static_assert(!CanBeCounted<std::string>);

TEST_F(LogTest, KeepsLinesOfManyThreadsWhole) {
  Init(LogLevel::kInfo, /*json=*/true);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 100; ++i) {
        LogEvent(LogLevel::kInfo, "tick").Count("thread", t).Count("i", i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_THAT(lines_, SizeIs(800));
  for (const std::string& line : lines_) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
}

TEST_F(LogTest, TakesInAFewOfGrpcsOwnErrors) {
  Init(LogLevel::kInfo, /*json=*/true);
  RouteGrpcLog();
  for (int i = 0; i < 1000; ++i) gpr_log(GPR_ERROR, "handshake %d", i);
  gpr_log(GPR_INFO, "chatter");
  EXPECT_GE(lines_.size(), 10);
  EXPECT_LT(lines_.size(), 100);
  EXPECT_THAT(lines_[0], HasSubstr("handshake 0"));
}

TEST(LogLevelTest, HasNames) {
  EXPECT_EQ(*ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_EQ(*ParseLogLevel("error"), LogLevel::kError);
  EXPECT_THAT(ParseLogLevel("loud"),
              StatusIs(absl::StatusCode::kInvalidArgument, "loud"));
}

}  // namespace
}  // namespace tacit
