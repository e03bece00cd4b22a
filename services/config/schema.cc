#include "services/config/schema.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "services/security/address.h"

namespace tacit {
namespace {

struct Unit {
  absl::string_view name;
  uint64_t bytes;
};
constexpr std::array<Unit, 9> kUnits = {{{"TiB", uint64_t{1} << 40},
                                         {"GiB", uint64_t{1} << 30},
                                         {"MiB", uint64_t{1} << 20},
                                         {"KiB", uint64_t{1} << 10},
                                         {"TB", 1'000'000'000'000},
                                         {"GB", 1'000'000'000},
                                         {"MB", 1'000'000},
                                         {"kB", 1'000},
                                         {"B", 1}}};

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 128)), "\"");
}

absl::Status Bad(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " ", what));
}

absl::Status OutOfRange(absl::string_view text, absl::string_view range) {
  return Bad(text, absl::StrCat("is out of range, ", range));
}

absl::StatusOr<bool> ParseBool(absl::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return Bad(text, "is neither true nor false");
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(absl::string_view text) {
  absl::string_view number = absl::StripAsciiWhitespace(text);
  uint64_t unit = 1;
  for (const Unit& known : kUnits) {
    if (absl::ConsumeSuffix(&number, known.name)) {
      unit = known.bytes;
      break;
    }
  }
  number = absl::StripTrailingAsciiWhitespace(number);
  uint64_t count = 0;
  if (number.empty() || !absl::ascii_isdigit(number[0]) ||
      !absl::SimpleAtoi(number, &count)) {
    return Bad(text, "is no size such as 512MiB, 2GiB or 1000000");
  }
  if (count > std::numeric_limits<uint64_t>::max() / unit) {
    return Bad(text, "is too large");
  }
  return count * unit;
}

absl::StatusOr<absl::Duration> ParseDurationText(absl::string_view text) {
  absl::Duration duration;
  // absl::ParseDuration takes "0" and "inf", too.
  if (text == "0" || absl::StrContains(text, "inf") ||
      !absl::ParseDuration(text, &duration)) {
    return Bad(text, "is no duration such as 500ms, 30s or 1h30m");
  }
  return duration;
}

std::string FormatSize(uint64_t bytes) {
  for (const Unit& unit : kUnits) {
    const bool binary = absl::EndsWith(unit.name, "iB");
    if (binary && bytes >= unit.bytes && bytes % unit.bytes == 0) {
      return absl::StrCat(bytes / unit.bytes, unit.name);
    }
  }
  return absl::StrCat(bytes);
}

int EditDistance(absl::string_view a, absl::string_view b) {
  // Optimal string alignment, row by row.
  std::vector<int> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

std::string ConfigField::Flag() const {
  return absl::StrCat("--", absl::StrReplaceAll(key, {{".", "-"}, {"_", "-"}}));
}

std::string ConfigField::Environment() const {
  return absl::StrCat(
      "TACIT_", absl::AsciiStrToUpper(absl::StrReplaceAll(key, {{".", "_"}})));
}

ConfigField& ConfigSchema::Add(std::string key, std::string type,
                               std::string range, std::string doc) {
  ConfigField field;
  field.key = std::move(key);
  field.type = std::move(type);
  field.range = std::move(range);
  field.doc = std::move(doc);
  fields_.push_back(std::move(field));
  return fields_.back();
}

ConfigField& ConfigSchema::Text(std::string key, std::string* variable,
                                std::string doc) {
  ConfigField& field = Add(std::move(key), "text", "", std::move(doc));
  field.parse = [variable](absl::string_view text) {
    *variable = std::string(text);
    return absl::OkStatus();
  };
  field.show = [variable] { return *variable; };
  return field;
}

ConfigField& ConfigSchema::Path(std::string key, std::string* variable,
                                std::string doc) {
  ConfigField& field = Text(std::move(key), variable, std::move(doc));
  field.type = "path";
  field.is_path = true;
  return field;
}

ConfigField& ConfigSchema::Flag(std::string key, bool* variable,
                                std::string doc) {
  ConfigField& field = Add(std::move(key), "true or false", "", std::move(doc));
  field.is_flag = true;
  field.parse = [variable](absl::string_view text) -> absl::Status {
    ASSIGN_OR_RETURN(*variable, ParseBool(text));
    return absl::OkStatus();
  };
  field.show = [variable] { return *variable ? "true" : "false"; };
  return field;
}

ConfigField& ConfigSchema::Integer(std::string key, int64_t* variable,
                                   int64_t min, int64_t max, std::string doc) {
  ConfigField& field = Add(std::move(key), "integer",
                           absl::StrCat(min, " to ", max), std::move(doc));
  field.parse = [variable, min, max,
                 range = field.range](absl::string_view text) {
    int64_t value = 0;
    if (!absl::SimpleAtoi(text, &value)) return Bad(text, "is no integer");
    if (value < min || value > max) return OutOfRange(text, range);
    *variable = value;
    return absl::OkStatus();
  };
  field.show = [variable] { return absl::StrCat(*variable); };
  return field;
}

ConfigField& ConfigSchema::Size(std::string key, uint64_t* variable,
                                uint64_t min, uint64_t max, std::string doc) {
  ConfigField& field = Add(
      std::move(key), "size",
      absl::StrCat(FormatSize(min), " to ", FormatSize(max)), std::move(doc));
  field.parse = [variable, min, max,
                 range = field.range](absl::string_view text) -> absl::Status {
    ASSIGN_OR_RETURN(const uint64_t value, ParseSize(text));
    if (value < min || value > max) return OutOfRange(text, range);
    *variable = value;
    return absl::OkStatus();
  };
  field.show = [variable] { return FormatSize(*variable); };
  return field;
}

ConfigField& ConfigSchema::Duration(std::string key, absl::Duration* variable,
                                    absl::Duration min, absl::Duration max,
                                    std::string doc) {
  ConfigField& field = Add(std::move(key), "duration",
                           absl::StrCat(absl::FormatDuration(min), " to ",
                                        absl::FormatDuration(max)),
                           std::move(doc));
  field.parse = [variable, min, max,
                 range = field.range](absl::string_view text) -> absl::Status {
    ASSIGN_OR_RETURN(const absl::Duration value, ParseDurationText(text));
    if (value < min || value > max) return OutOfRange(text, range);
    *variable = value;
    return absl::OkStatus();
  };
  // "0" has no unit, which `parse` asks for.
  field.show = [variable] {
    return *variable == absl::ZeroDuration() ? "0s"
                                             : absl::FormatDuration(*variable);
  };
  return field;
}

ConfigField& ConfigSchema::Address(std::string key, std::string* variable,
                                   bool optional, std::string doc) {
  ConfigField& field = Text(std::move(key), variable, std::move(doc));
  field.type = "host:port";
  field.parse = [variable, optional](absl::string_view text) -> absl::Status {
    if (!optional || !text.empty()) {
      RETURN_IF_ERROR(ParseAddress(text).status());
    }
    *variable = std::string(text);
    return absl::OkStatus();
  };
  return field;
}

ConfigField& ConfigSchema::Choice(std::string key, std::string* variable,
                                  std::vector<std::string> choices,
                                  std::string doc) {
  ConfigField& field = Text(std::move(key), variable, std::move(doc));
  field.type = "one of " + absl::StrJoin(choices, ", ");
  field.parse = [variable, choices = std::move(choices)](
                    absl::string_view text) -> absl::Status {
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      return Bad(text,
                 absl::StrCat("is none of ", absl::StrJoin(choices, ", ")));
    }
    *variable = std::string(text);
    return absl::OkStatus();
  };
  return field;
}

const ConfigField* ConfigSchema::Find(absl::string_view key) const {
  for (const ConfigField& field : fields_) {
    if (field.key == key) return &field;
  }
  return nullptr;
}

bool ConfigSchema::HasSection(absl::string_view section) const {
  const std::string prefix = absl::StrCat(section, ".");
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const ConfigField& field) {
                       return absl::StartsWith(field.key, prefix);
                     });
}

std::string ConfigSchema::Nearest(absl::string_view key) const {
  if (key.size() > 100) return "";
  std::set<std::string> names;
  for (const ConfigField& field : fields_) {
    names.insert(field.key);
    const size_t dot = field.key.find('.');
    if (dot != std::string::npos) names.insert(field.key.substr(0, dot));
  }
  std::string best;
  int best_distance = std::max<int>(2, static_cast<int>(key.size()) / 3) + 1;
  const absl::string_view last = key.substr(key.rfind('.') + 1);
  for (const std::string& name : names) {
    int distance = EditDistance(key, name);
    // The right key in the wrong section.
    if (absl::EndsWith(name, absl::StrCat(".", last))) {
      distance = std::min(distance, 1);
    }
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

}  // namespace tacit
