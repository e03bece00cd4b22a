// `tacit dealer`, `party`, `up`, `infer` and `status`.
#ifndef TACIT_SERVICES_CLI_SERVE_COMMANDS_H_
#define TACIT_SERVICES_CLI_SERVE_COMMANDS_H_

#include <memory>
#include <optional>

#include "CLI/CLI.hpp"

namespace tacit {

class ServeCommands {
 public:
  // Adds the subcommands; `app` is parsed afterwards.
  explicit ServeCommands(CLI::App& app);
  ~ServeCommands();

  // The exit code, if one of them was given: 0 done, 1 failed, 2 bad usage.
  std::optional<int> Run();

 private:
  struct Parsed;
  const std::unique_ptr<Parsed> parsed_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_SERVE_COMMANDS_H_
