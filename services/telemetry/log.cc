#include "services/telemetry/log.h"

#include <grpc/support/log.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

constexpr size_t kMaxText = 512;
constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};

// A JSON string; bytes that are no UTF-8 are replaced.
std::string Quote(absl::string_view text) {
  return nlohmann::json(std::string(text.substr(0, kMaxText)))
      .dump(-1, ' ', /*ensure_ascii=*/true,
            nlohmann::json::error_handler_t::replace);
}

// The options, and where lines go.
class Log {
 public:
  explicit Log(LogOptions options) : options_(std::move(options)) {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    logger_ = std::make_unique<spdlog::logger>("tacit", std::move(sink));
    logger_->set_pattern("%v");
    logger_->set_level(spdlog::level::trace);  // levels are decided here
  }

  bool Enabled(LogLevel level) const { return level >= options_.level; }

  void Write(LogLevel level, const char* event, const std::string& fields) {
    const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ",
                                              absl::Now(), absl::UTCTimeZone());
    const char* name = kLevels[static_cast<int>(level)];
    std::string line;
    if (options_.json) {
      line = absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", name,
                          "\",\"role\":", Quote(options_.role),
                          ",\"event\":", Quote(event), fields, "}");
    } else {
      line =
          absl::StrCat(time, " ", name, " ", options_.role, " ", event, fields);
    }
    if (options_.sink) {
      options_.sink(line);
    } else {
      logger_->info(line);
    }
  }

  bool json() const { return options_.json; }

 private:
  const LogOptions options_;
  std::unique_ptr<spdlog::logger> logger_;
};

// Never deleted: threads may log until the very end.
std::atomic<Log*>& Current() {
  static std::atomic<Log*> current{new Log(LogOptions())};
  return current;
}

// Lets ten through in each second, and counts the rest.
class RateLimit {
 public:
  // How many were held back before this one; -1 if it is held back itself.
  int64_t Admit() {
    const std::lock_guard<std::mutex> lock(mutex_);
    const absl::Time now = SteadyNow();
    if (now >= begin_ + absl::Seconds(1)) {
      begin_ = now;
      admitted_ = 0;
    }
    if (admitted_ == kMax) {
      ++held_;
      return -1;
    }
    ++admitted_;
    return std::exchange(held_, 0);
  }

 private:
  static constexpr int kMax = 10;
  std::mutex mutex_;
  absl::Time begin_;
  int admitted_ = 0;
  int64_t held_ = 0;
};

void WriteGrpcMessage(gpr_log_func_args* message) {
  static RateLimit* const limit = new RateLimit;
  const int64_t held_back = limit->Admit();
  if (held_back < 0) return;
  // An error to gRPC, but no more than a peer that could not get in to us.
  LogLine line(LogLevel::kWarning, "grpc");
  line.Public("message", message->message);
  if (held_back > 0) line.Count("held_back", held_back);
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name) {
  for (int i = 0; i < 4; ++i) {
    if (name == kLevels[i]) return static_cast<LogLevel>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("log level \"", absl::CHexEscape(name.substr(0, 64)),
                   "\" is none of debug, info, warning, error"));
}

void InitLog(LogOptions options) {
  delete Current().exchange(new Log(std::move(options)));
}

LogLine::LogLine(LogLevel level, Literal event)
    : level_(level),
      event_(event),
      enabled_(Current().load()->Enabled(level)) {}

LogLine::~LogLine() {
  if (enabled_) Current().load()->Write(level_, event_.text(), fields_);
}

void LogLine::Add(Literal key, const std::string& json) {
  if (Current().load()->json()) {
    absl::StrAppend(&fields_, ",", Quote(key.text()), ":", json);
  } else {
    absl::StrAppend(&fields_, " ", key.text(), "=", json);
  }
}

LogLine& LogLine::Session(const SessionId& session) {
  if (enabled_) {
    Add("session", Quote(absl::BytesToHexString(absl::string_view(
                       reinterpret_cast<const char*>(session.data()), 8))));
  }
  return *this;
}

LogLine& LogLine::Trace(const std::string& id) {
  if (enabled_ && !id.empty()) Add("trace_id", Quote(id));
  return *this;
}

LogLine& LogLine::Number(Literal key, int64_t value) {
  if (enabled_) Add(key, absl::StrCat(value));
  return *this;
}

LogLine& LogLine::Elapsed(Literal key, absl::Duration duration) {
  if (enabled_) {
    Add(key, absl::StrFormat("%.6f", absl::ToDoubleSeconds(duration)));
  }
  return *this;
}

LogLine& LogLine::Choice(Literal key, Literal value) {
  if (enabled_) Add(key, Quote(value.text()));
  return *this;
}

LogLine& LogLine::Error(const absl::Status& status) {
  if (!enabled_) return *this;
  Add("code", Quote(absl::StatusCodeToString(status.code())));
  Add("error", Quote(status.message()));
  return *this;
}

LogLine& LogLine::Public(Literal key, absl::string_view text) {
  if (enabled_) Add(key, Quote(text));
  return *this;
}

void RouteGrpcLog() {
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function(WriteGrpcMessage);
}

}  // namespace tacit
