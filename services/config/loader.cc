#include "services/config/loader.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "services/security/files.h"

namespace tacit {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;
constexpr size_t kMaxErrors = 20;
constexpr char kFileVariable[] = "TACIT_CONFIG";

std::string FileOf(const ConfigFlags& flags, const Environment& environment) {
  if (!flags.file.empty()) return flags.file;
  const auto it = environment.find(kFileVariable);
  return it == environment.end() ? "" : it->second;
}

class Loader {
 public:
  Loader(const ConfigSchema& schema, std::string file)
      : schema_(schema), file_(std::move(file)) {}

  absl::Status LoadFile();
  void LoadEnvironment(const Environment& environment);
  void LoadFlags(const ConfigFlags& flags);
  absl::StatusOr<LoadReport> Finish();

 private:
  std::string Place(const YAML::Mark& mark) const;
  void Error(const std::string& place, absl::string_view message);
  void Walk(const YAML::Node& node, const std::string& section);
  void Entry(const YAML::Node& key, const YAML::Node& value,
             const std::string& section);
  void Unknown(const YAML::Mark& mark, const std::string& key);
  void SetFromFile(const ConfigField& field, const YAML::Mark& mark,
                   const YAML::Node& value);
  void Set(const ConfigField& field, const std::string& text,
           const std::string& origin);

  const ConfigSchema& schema_;
  const std::string file_;
  std::set<std::string> seen_;  // keys and sections in the file
  std::vector<std::string> errors_;
  LoadReport report_;
};

std::string Loader::Place(const YAML::Mark& mark) const {
  if (mark.is_null()) return file_;
  return absl::StrCat(file_, ":", mark.line + 1, ":", mark.column + 1);
}

void Loader::Error(const std::string& place, absl::string_view message) {
  if (errors_.size() < kMaxErrors) {
    errors_.push_back(absl::StrCat(place, ": ", message));
  }
}

void Loader::Set(const ConfigField& field, const std::string& text,
                 const std::string& origin) {
  const absl::Status status = field.parse(text);
  if (status.ok()) {
    report_.origins[field.key] = origin;
  } else {
    Error(origin, absl::StrCat(field.key, ": ", status.message()));
  }
}

absl::Status Loader::LoadFile() {
  if (file_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file_, kMaxFileBytes));
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      Error(Place(documents[1].Mark()), "a second document; only one is read");
    } else if (!documents.empty() && documents[0].IsMap()) {
      Walk(documents[0], "");
    } else if (!documents.empty() && !documents[0].IsNull()) {
      Error(Place(documents[0].Mark()),
            "must hold settings, as \"key: value\"");
    }
  } catch (const YAML::Exception& error) {
    Error(Place(error.mark), error.msg);
  }
  return absl::OkStatus();
}

void Loader::Walk(const YAML::Node& node, const std::string& section) {
  for (const auto& pair : node) Entry(pair.first, pair.second, section);
}

void Loader::Entry(const YAML::Node& key_node, const YAML::Node& value,
                   const std::string& section) {
  const YAML::Mark mark = key_node.Mark();
  if (!key_node.IsScalar()) return Error(Place(mark), "a key must be a word");
  const std::string key = section.empty()
                              ? key_node.Scalar()
                              : absl::StrCat(section, ".", key_node.Scalar());
  const ConfigField* field = schema_.Find(key);
  const bool is_section = schema_.HasSection(key);
  if (field == nullptr && !is_section) return Unknown(mark, key);
  if (!seen_.insert(key).second) {
    return Error(Place(mark), absl::StrCat(key, ": is there twice"));
  }
  if (is_section) {
    if (value.IsMap()) return Walk(value, key);
    if (value.IsNull()) return;
    return Error(Place(value.Mark()),
                 absl::StrCat(key, ": must hold settings of its own"));
  }
  SetFromFile(*field, mark, value);
}

void Loader::Unknown(const YAML::Mark& mark, const std::string& key) {
  const std::string nearest = schema_.Nearest(key);
  Error(Place(mark),
        absl::StrCat(
            absl::CHexEscape(key.substr(0, 128)), ": there is no such setting",
            nearest.empty() ? ""
                            : absl::StrCat("; did you mean ", nearest, "?")));
}

void Loader::SetFromFile(const ConfigField& field, const YAML::Mark& mark,
                         const YAML::Node& value) {
  if (value.IsNull()) {
    return Error(Place(mark), absl::StrCat(field.key, ": has no value"));
  }
  if (!value.IsScalar()) {
    return Error(
        Place(value.Mark()),
        absl::StrCat(field.key, ": must be one value (", field.type, ")"));
  }
  std::string text = value.Scalar();
  if (field.is_path && !text.empty()) {
    const std::filesystem::path folder =
        std::filesystem::path(file_).parent_path();
    text = (folder / text).lexically_normal().string();
  }
  Set(field, text, Place(mark));
}

void Loader::LoadEnvironment(const Environment& environment) {
  std::set<std::string> known = {kFileVariable};
  for (const ConfigField& field : schema_.fields()) {
    const std::string name = field.Environment();
    known.insert(name);
    const auto it = environment.find(name);
    if (it != environment.end()) Set(field, it->second, name);
  }
  for (const auto& [name, value] : environment) {
    if (absl::StartsWith(name, "TACIT_") && known.count(name) == 0) {
      report_.warnings.push_back(
          absl::StrCat(name, ": no setting of this service; ignored"));
    }
  }
}

void Loader::LoadFlags(const ConfigFlags& flags) {
  for (const ConfigField& field : schema_.fields()) {
    const auto it = flags.values.find(field.key);
    if (it != flags.values.end()) Set(field, it->second, field.Flag());
  }
}

absl::StatusOr<LoadReport> Loader::Finish() {
  if (!errors_.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  }
  return std::move(report_);
}

// A scalar that YAML reads back as the same text.
std::string YamlScalar(const ConfigField& field) {
  std::string text = field.show();
  const bool plain = field.is_flag || field.type == "integer" ||
                     field.type == "size" || field.type == "duration";
  if (plain) return text;
  YAML::Emitter quoted;
  quoted << YAML::DoubleQuoted << text;
  return quoted.c_str();
}

// Calls line(field, indent, name) for each field, and writes the sections.
template <typename Line>
std::string WriteYaml(const ConfigSchema& schema, Line line) {
  std::string out, section;
  for (const ConfigField& field : schema.fields()) {
    const size_t dot = field.key.find('.');
    const std::string in =
        dot == std::string::npos ? "" : field.key.substr(0, dot);
    if (in != section && !in.empty()) absl::StrAppend(&out, in, ":\n");
    section = in;
    const std::string indent = in.empty() ? "" : "  ";
    absl::StrAppend(&out,
                    line(field, indent,
                         in.empty() ? field.key : field.key.substr(dot + 1)));
  }
  return out;
}

std::string Describe(const ConfigField& field) {
  return absl::StrCat(
      field.doc, " (", field.type,
      field.range.empty() ? "" : absl::StrCat(", ", field.range), ")");
}

}  // namespace

void AddConfigFlags(CLI::App& app, const ConfigSchema& schema,
                    ConfigFlags& flags) {
  app.add_option("--config", flags.file, "YAML file with settings");
  app.add_flag("--check-config", flags.check,
               "Check the configuration, print it, and end");
  for (const ConfigField& field : schema.fields()) {
    std::string names = field.Flag();
    if (!field.short_flag.empty()) {
      absl::StrAppend(&names, ",", field.short_flag);
    }
    const std::string help =
        absl::StrCat(Describe(field), " [", field.Environment(), "]");
    if (field.is_flag) {
      app.add_flag_function(
          names,
          [&flags, key = field.key](int64_t count) {
            flags.values[key] = count > 0 ? "true" : "false";
          },
          help);
    } else {
      app.add_option_function<std::string>(
          names,
          [&flags, key = field.key](const std::string& text) {
            flags.values[key] = text;
          },
          help);
    }
  }
}

Environment ProcessEnvironment() {
  Environment variables;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr;
       ++entry) {
    const absl::string_view text = *entry;
    const size_t equals = text.find('=');
    if (absl::StartsWith(text, "TACIT_") && equals != text.npos) {
      variables[std::string(text.substr(0, equals))] =
          std::string(text.substr(equals + 1));
    }
  }
  return variables;
}

absl::StatusOr<LoadReport> LoadInto(const ConfigSchema& schema,
                                    const ConfigFlags& flags,
                                    const Environment& environment) {
  Loader loader(schema, FileOf(flags, environment));
  RETURN_IF_ERROR(loader.LoadFile());
  loader.LoadEnvironment(environment);
  loader.LoadFlags(flags);
  return loader.Finish();
}

absl::Status ReportProblems(const std::vector<ConfigProblem>& problems,
                            const ConfigSchema& schema,
                            const ConfigFlags& flags, const Origins& origins) {
  if (problems.empty()) return absl::OkStatus();
  std::vector<std::string> lines;
  for (const ConfigProblem& problem : problems) {
    const auto origin = origins.find(problem.key);
    const ConfigField* field = schema.Find(problem.key);
    if (origin != origins.end()) {
      lines.push_back(absl::StrCat(origin->second, ": ", problem.key, ": ",
                                   problem.message));
    } else {
      lines.push_back(absl::StrCat(
          flags.file.empty() ? "configuration" : flags.file, ": ", problem.key,
          ": ", problem.message,
          field == nullptr
              ? ""
              : absl::StrCat("; set it in the file, as ", field->Flag(),
                             " or as ", field->Environment())));
    }
  }
  return absl::InvalidArgumentError(absl::StrJoin(lines, "\n"));
}

std::string ShowConfig(const ConfigSchema& schema, const Origins& origins) {
  return WriteYaml(schema, [&](const ConfigField& field,
                               const std::string& indent,
                               const std::string& name) {
    const auto origin = origins.find(field.key);
    return absl::StrCat(indent, name, ": ", YamlScalar(field), "  # ",
                        origin == origins.end() ? "default" : origin->second,
                        "\n");
  });
}

std::string ConfigReference(const ConfigSchema& schema) {
  return WriteYaml(
      schema, [](const ConfigField& field, const std::string& indent,
                 const std::string& name) {
        return absl::StrCat(indent, "# ", Describe(field), "\n", indent, name,
                            ": ", YamlScalar(field), "\n");
      });
}

}  // namespace tacit
