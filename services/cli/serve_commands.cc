#include "services/cli/serve_commands.h"

#include <cstdio>
#include <string>

#include "services/cli/options.h"
#include "services/cli/request.h"
#include "services/cli/serve.h"
#include "services/config/config.h"
#include "services/runtime/roles.h"

namespace tacit {
namespace {

// A command that is configured by file, environment and flags.
template <typename Config>
struct Configured {
  Config defaults;  // what the flags' help shows
  ConfigSchema schema = Describe(defaults);
  ConfigFlags flags;
  CLI::App* command = nullptr;

  void Add(CLI::App& app, const std::string& name, const std::string& help) {
    command = app.add_subcommand(name, help);
    AddConfigFlags(*command, schema, flags);
  }

  // Loads, shows with --check-config, or calls `body`.
  template <typename Body>
  int Run(Body body) {
    const std::string name = command->get_name();
    const absl::StatusOr<LoadedConfig<Config>> loaded =
        LoadConfig<Config>(flags);
    if (!loaded.ok()) return Failed(name.c_str(), loaded.status());
    for (const std::string& warning : loaded->warnings) {
      std::fprintf(stderr, "tacit %s: %s\n", name.c_str(), warning.c_str());
    }
    if (flags.check) {
      std::puts(loaded->shown.c_str());
      return 0;
    }
    return body(loaded->config);
  }
};

int Ended(const char* command, const absl::Status& status) {
  return status.ok() ? 0 : Failed(command, status);
}

}  // namespace

struct ServeCommands::Parsed {
  Configured<DealerConfig> dealer;
  Configured<PartyConfig> party;
  Configured<GatewayConfig> gateway, infer, status;
  RequestOptions request;
  bool json = false;
  UpOptions up_options;
  CLI::App* up = nullptr;
};

ServeCommands::ServeCommands(CLI::App& app)
    : parsed_(std::make_unique<Parsed>()) {
  Parsed& p = *parsed_;
  p.dealer.Add(app, "dealer", "Serve correlated randomness of a model");
  p.party.Add(app, "party", "Serve as one of the two computing parties");
  p.gateway.Add(app, "gateway", "Serve a user's programs, as their gateway");
  p.infer.Add(app, "infer",
              "Continue or classify a text privately by a deployment");
  AddRequestOptions(*p.infer.command, p.request);
  p.infer.command->add_flag("--json", p.json,
                            "Print a JSON object instead of text");
  p.status.Add(app, "status", "Whether a deployment's roles are up and agree");
  p.up = app.add_subcommand(
      "up", "Start all roles on this machine; Ctrl-C ends them");
  p.up->add_option("--model", p.up_options.model, kModelHelp);
  AddPlanFile(*p.up, p.up_options.plan);
  p.up->add_option("--dir", p.up_options.folder,
                   "Folder to keep everything in; default: a temporary one");
  p.up->add_option("--context", p.up_options.context, "Positions to plan for");
  AddWeights(*p.up, p.up_options.weights);
  p.up->add_flag("--client-embedding", p.up_options.client_embedding,
                 "Give the gateway the embedding's table");
  p.up->add_option("--threads", p.up_options.threads, "Threads of each role")
      ->check(CLI::Range(0, 256));
  AddDevice(*p.up, p.up_options.device);
}

ServeCommands::~ServeCommands() = default;

std::optional<int> ServeCommands::Run() {
  Parsed& p = *parsed_;
  if (p.dealer.command->parsed()) {
    return p.dealer.Run([](const DealerConfig& config) {
      return Ended("dealer", ServeDealer(config));
    });
  }
  if (p.party.command->parsed()) {
    return p.party.Run([](const PartyConfig& config) {
      return Ended("party", ServeParty(config));
    });
  }
  if (p.gateway.command->parsed()) {
    return p.gateway.Run([](const GatewayConfig& config) {
      return Ended("gateway", ServeGateway(config));
    });
  }
  if (p.infer.command->parsed()) {
    return p.infer.Run([&](const GatewayConfig& config) {
      return RunRequest(
          "infer", config.model, p.request, p.json,
          [&](const TextRequest& request, const RunEvents& events) {
            return InferOnce(config, request, events);
          },
          [&](const ClassifyRequest& request, const PhaseFn& on_phase) {
            return ClassifyOnce(config, request, on_phase);
          });
    });
  }
  if (p.status.command->parsed()) {
    return p.status.Run([](const GatewayConfig& config) {
      const absl::StatusOr<std::string> text = DeploymentStatus(config);
      if (!text.ok()) return Failed("status", text.status());
      std::puts(text->c_str());
      return 0;
    });
  }
  if (p.up->parsed()) return Ended("up", StayUp(p.up_options));
  return std::nullopt;
}

}  // namespace tacit
