// The services' log: one event a line, with typed fields.
//
// A prompt, a token, a share, a mask or a key has no way in: events and keys
// are literals of the program, values are counts, times, public ids, statuses,
// or text that the caller calls public.
#ifndef TACIT_SERVICES_TELEMETRY_LOG_H_
#define TACIT_SERVICES_TELEMETRY_LOG_H_

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/gates/session.h"

namespace tacit {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
// "debug", "info", "warning" or "error"; INVALID_ARGUMENT for anything else.
absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name);

struct LogOptions {
  std::string role = "tacit";  // in every line
  LogLevel level = LogLevel::kInfo;
  bool json = false;  // else "time level role event key=value ..."
  // Takes each line, without its end, instead of stderr; for tests. May be
  // called by several threads at once.
  std::function<void(absl::string_view)> sink;
};

// Sets how this process logs. Before, it logs text to stderr. Not thread-safe:
// call it before other threads log.
void InitLog(LogOptions options);

// A text of the program's source.
class Literal {
 public:
  consteval Literal(const char* text) : text_(text) {}  // NOLINT: implicit
  const char* text() const { return text_; }

 private:
  const char* text_;
};

// An event under construction; written when it goes, in one piece.
class LogLine {
 public:
  LogLine(LogLevel level, Literal event);
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;

  // A session's public id, of which the first 8 bytes are shown.
  LogLine& Session(const SessionId& session);
  // The request's trace (services/transport/trace.h); none if empty.
  LogLine& Trace(const std::string& id);
  // Only what is public: lengths, counts, sizes, party numbers.
  template <std::integral T>
  LogLine& Count(Literal key, T value) {
    return Number(key, static_cast<int64_t>(value));
  }
  LogLine& Elapsed(Literal key, absl::Duration duration);  // in seconds
  LogLine& Choice(Literal key, Literal value);
  // Code and message: messages hold no secrets (CONTRIBUTING.md).
  LogLine& Error(const absl::Status& status);
  // Text that anyone may see: an address, a path, a version, a role. Control
  // characters are escaped, and it is cut at 512 bytes.
  LogLine& Public(Literal key, absl::string_view text);

 private:
  LogLine& Number(Literal key, int64_t value);
  void Add(Literal key, const std::string& json);

  const LogLevel level_;
  const Literal event_;
  const bool enabled_;
  std::string fields_;
};

// LogEvent(LogLevel::kInfo, "session_ended").Session(id).Count("tokens", n);
inline LogLine LogEvent(LogLevel level, Literal event) {
  return LogLine(level, event);
}

// Sends gRPC's own messages, errors only, here as events "grpc". At most ten
// a second, since any peer can cause them.
void RouteGrpcLog();

}  // namespace tacit

#endif  // TACIT_SERVICES_TELEMETRY_LOG_H_
