// Fills a schema from a file, the environment and flags.
#ifndef TACIT_SERVICES_CONFIG_LOADER_H_
#define TACIT_SERVICES_CONFIG_LOADER_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/config/schema.h"

namespace tacit {

// What the command line said.
struct ConfigFlags {
  std::string file;                           // --config; may be empty
  bool check = false;                         // --check-config
  std::map<std::string, std::string> values;  // by the field's key
};

// Adds --config, --check-config and a flag for each field; parsing fills
// `flags`, which must outlive `app`.
void AddConfigFlags(CLI::App& app, const ConfigSchema& schema,
                    ConfigFlags& flags);

using Environment = std::map<std::string, std::string>;
// The variables of this process whose names begin with TACIT_.
Environment ProcessEnvironment();

// Where each field's value came from: "party.yaml:12:3", "TACIT_LISTEN",
// "--listen"; fields that kept their default are absent.
using Origins = std::map<std::string, std::string>;

// What is wrong with a field beyond its own type and range.
struct ConfigProblem {
  std::string key;
  std::string message;
};

struct LoadReport {
  Origins origins;
  // TACIT_ variables that are no field's; most likely misspelt.
  std::vector<std::string> warnings;
};

// Sets the schema's variables: flags over environment over file over defaults.
// The file is YAML; TACIT_CONFIG names it if no flag does. Paths in it are
// relative to its folder. INVALID_ARGUMENT with all that is wrong, a line each,
// as "party.yaml:12:3: peer.address: ..."; NOT_FOUND or PERMISSION_DENIED if
// the file cannot be read.
absl::StatusOr<LoadReport> LoadInto(const ConfigSchema& schema,
                                    const ConfigFlags& flags,
                                    const Environment& environment);

// INVALID_ARGUMENT with a line for each problem, placed like LoadInto's; OK if
// there is none.
absl::Status ReportProblems(const std::vector<ConfigProblem>& problems,
                            const ConfigSchema& schema,
                            const ConfigFlags& flags, const Origins& origins);

// The configuration as a YAML file that gives it again, with what each value is
// and where it came from. Holds no secret: keys are named by path.
std::string ShowConfig(const ConfigSchema& schema, const Origins& origins);
// The same with each field's description, as a file to start from.
std::string ConfigReference(const ConfigSchema& schema);

template <typename Config>
struct LoadedConfig {
  Config config;
  Origins origins;
  std::vector<std::string> warnings;
  std::string shown;  // by ShowConfig: what --check-config prints
};

// Loads a Config that has `ConfigSchema Describe(Config&)` and
// `std::vector<ConfigProblem> Check(const Config&)`.
template <typename Config>
absl::StatusOr<LoadedConfig<Config>> LoadConfig(
    const ConfigFlags& flags,
    const Environment& environment = ProcessEnvironment()) {
  LoadedConfig<Config> loaded;
  const ConfigSchema schema = Describe(loaded.config);
  absl::StatusOr<LoadReport> report = LoadInto(schema, flags, environment);
  if (!report.ok()) return report.status();
  absl::Status status =
      ReportProblems(Check(loaded.config), schema, flags, report->origins);
  if (!status.ok()) return status;
  loaded.shown = ShowConfig(schema, report->origins);
  loaded.origins = std::move(report->origins);
  loaded.warnings = std::move(report->warnings);
  return loaded;
}

}  // namespace tacit

#endif  // TACIT_SERVICES_CONFIG_LOADER_H_
