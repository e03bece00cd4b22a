// One description of a configuration, from which its file, its flags, its
// environment variables, its help and its error messages follow.
#ifndef TACIT_SERVICES_CONFIG_SCHEMA_H_
#define TACIT_SERVICES_CONFIG_SCHEMA_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tacit {

// A setting, bound to a variable. In the file `limits.max_sessions` is key
// `max_sessions` of section `limits`; as a flag it is --limits-max-sessions, in
// the environment TACIT_LIMITS_MAX_SESSIONS.
struct ConfigField {
  std::string key;
  std::string type;   // in words, for help: "duration"
  std::string range;  // in words, may be empty: "1s to 24h"
  std::string doc;
  std::string short_flag;  // a second flag, may be empty: "--insecure"
  bool is_flag = false;    // true or false
  bool is_path = false;    // relative to the file it stands in

  // Sets the variable. INVALID_ARGUMENT, saying what is allowed, if the text is
  // none of its type or range; the variable is unchanged then.
  std::function<absl::Status(absl::string_view)> parse;
  // The variable's value as `parse` takes it.
  std::function<std::string()> show;

  std::string Flag() const;         // "--limits-max-sessions"
  std::string Environment() const;  // "TACIT_LIMITS_MAX_SESSIONS"
};

// The fields of a configuration, in the order they are shown in. Variables must
// outlive the schema, and hold their defaults when they are added. Not
// thread-safe.
class ConfigSchema {
 public:
  ConfigField& Text(std::string key, std::string* variable, std::string doc);
  ConfigField& Path(std::string key, std::string* variable, std::string doc);
  ConfigField& Flag(std::string key, bool* variable, std::string doc);
  ConfigField& Integer(std::string key, int64_t* variable, int64_t min,
                       int64_t max, std::string doc);
  // Bytes: "2GiB", "64 KiB", "1000000".
  ConfigField& Size(std::string key, uint64_t* variable, uint64_t min,
                    uint64_t max, std::string doc);
  // "500ms", "30s", "1h30m".
  ConfigField& Duration(std::string key, absl::Duration* variable,
                        absl::Duration min, absl::Duration max,
                        std::string doc);
  // host:port; empty where `optional`.
  ConfigField& Address(std::string key, std::string* variable, bool optional,
                       std::string doc);
  ConfigField& Choice(std::string key, std::string* variable,
                      std::vector<std::string> choices, std::string doc);

  const std::vector<ConfigField>& fields() const { return fields_; }
  const ConfigField* Find(absl::string_view key) const;
  // Whether there is a field `section`.something.
  bool HasSection(absl::string_view section) const;
  // The key or section that was probably meant, or "".
  std::string Nearest(absl::string_view key) const;

 private:
  ConfigField& Add(std::string key, std::string type, std::string range,
                   std::string doc);

  std::vector<ConfigField> fields_;
};

// INVALID_ARGUMENT if the text is no such quantity, or too large.
absl::StatusOr<uint64_t> ParseSize(absl::string_view text);
absl::StatusOr<absl::Duration> ParseDurationText(absl::string_view text);
// In the largest unit that needs no fraction: "2GiB".
std::string FormatSize(uint64_t bytes);

// Insertions, deletions, replacements and swaps of neighbours between two
// texts.
int EditDistance(absl::string_view a, absl::string_view b);

}  // namespace tacit

#endif  // TACIT_SERVICES_CONFIG_SCHEMA_H_
