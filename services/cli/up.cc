#include "services/cli/up.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/models/config.h"
#include "services/cli/model.h"
#include "services/cli/provision.h"
#include "services/runtime/host.h"
#include "services/security/certs.h"
#include "services/transport/deadline.h"
#include "tacit/v1/gateway.grpc.pb.h"
#include "tacit/v1/plan.grpc.pb.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDefaultContext = 1024;
constexpr absl::Duration kStartTimeout = absl::Seconds(60);
constexpr absl::Duration kStopTimeout = absl::Seconds(10);

absl::Status System(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// A port of loopback that was free a moment ago.
absl::StatusOr<int> FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return System("socket");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool ok =
      bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  if (!ok) return System("no free port on loopback");
  return ntohs(address.sin_port);
}

absl::Status WriteFile(const fs::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::trunc);
  out << text;
  out.close();
  if (out.fail()) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path.string()));
  }
  return absl::OkStatus();
}

// The part of a role's configuration that all have.
std::string CommonYaml(const fs::path& folder, const std::string& role,
                       bool insecure) {
  const std::string model =
      absl::StrCat("model: ", (folder / role).string(), "\n");
  if (insecure) return absl::StrCat(model, "tls:\n  insecure: true\n");
  const fs::path certs = folder / "certs" / role;
  return absl::StrCat(model, "tls:\n  ca: ", (certs / "ca.pem").string(),
                      "\n  cert: ", (certs / "cert.pem").string(),
                      "\n  key: ", (certs / "key.pem").string(), "\n");
}

// The command that runs it.
std::string CommandOf(const std::string& role) {
  return role == "party0" || role == "party1" ? "party" : role;
}

std::string RoleYaml(const fs::path& folder, const std::string& role,
                     const std::string& address, const UpOptions& options) {
  return absl::StrCat(
      "listen: ", address, "\n", CommonYaml(folder, role, options.insecure),
      "state_dir: ", (folder / "state" / role).string(),
      "\nthreads: ", options.threads, "\n",
      role == "gateway" ? "" : absl::StrCat("device: ", options.device, "\n"));
}

// Whether a role answers its first question, soon.
bool Answers(ServiceRole role, const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(DeadlineIn(absl::Milliseconds(500)));
  if (role == ServiceRole::kGateway) {
    v1::GatewayService::Stub stub(channel);
    v1::GetModelResponse response;
    return stub.GetModel(&context, {}, &response).ok();
  }
  v1::PlanService::Stub stub(channel);
  v1::GetPlanResponse response;
  return stub.GetPlan(&context, {}, &response).ok();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Deployment>> Deployment::Start(
    const UpOptions& options) {
  std::unique_ptr<Deployment> deployment(new Deployment(options));
  auto enter = [&](const std::string& phase) {
    if (options.on_phase) options.on_phase(phase);
  };
  if (options.program.empty()) deployment->options_.program = "/proc/self/exe";
  enter("splitting the model for the roles");
  RETURN_IF_ERROR(deployment->Prepare());
  RETURN_IF_ERROR(deployment->WriteConfigs());
  enter("starting the roles");
  for (Role& role : deployment->roles_) {
    RETURN_IF_ERROR(deployment->Spawn(role));
  }
  RETURN_IF_ERROR(deployment->AwaitHealth(SteadyNow() + kStartTimeout));
  return deployment;
}

absl::Status Deployment::Prepare() {
  const UpOptions& options = options_;
  folder_ = options.folder;
  if (folder_.empty()) {
    temporary_ = true;
    std::string pattern = (fs::temp_directory_path() / "tacit-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) return System("mkdtemp");
    folder_ = pattern;
  }
  std::error_code error;
  fs::create_directories(folder_, error);
  folder_ = fs::absolute(folder_, error).string();
  const fs::path folder(folder_);
  if (!fs::exists(folder / "gateway" / "plan.json", error)) {
    ProvisionOptions provision;
    provision.model = options.model;
    if (provision.model.empty()) {
      ASSIGN_OR_RETURN(provision.model, DemoModel());
    }
    ASSIGN_OR_RETURN(const ModelConfig config,
                     LoadModelConfig(provision.model));
    provision.out = folder_;
    provision.weights = options.weights;
    provision.plan = options.plan;
    provision.context =
        options.context != 0
            ? options.context
            : std::min(kDefaultContext,
                       static_cast<size_t>(config.max_positions));
    provision.client_embedding = options.client_embedding;
    RETURN_IF_ERROR(ProvisionModel(provision).status());
  }
  if (!fs::exists(folder / "certs" / "ca.pem", error)) {
    CertsOptions certs;
    certs.out = (folder / "certs").string();
    for (const auto& [role, host] : options.hosts) certs.hosts.push_back(host);
    RETURN_IF_ERROR(MakeDevelopmentCerts(certs).status());
  }
  return absl::OkStatus();
}

absl::Status Deployment::WriteConfigs() {
  const UpOptions& options = options_;
  const fs::path folder(folder_);
  for (const char* name : {"dealer", "party0", "party1"}) {
    ASSIGN_OR_RETURN(const int port, FreePort());
    const auto host = options.hosts.find(name);
    roles_.push_back(
        {name,
         absl::StrCat(host == options.hosts.end() ? "127.0.0.1" : host->second,
                      ":", port)});
    std::error_code error;
    fs::create_directories(folder / "state" / name, error);
  }
  std::string listen;
  if (options.gateway) {
    ASSIGN_OR_RETURN(const int port, FreePort());
    listen = absl::StrCat("listen: 127.0.0.1:", port, "\n");
  }
  for (const Role& role : roles_) {
    std::string yaml = RoleYaml(folder, role.name, role.address, options);
    if (role.name == "dealer") {
      absl::StrAppend(&yaml, "limits: {prefetch_sessions: ", options.prefetch,
                      "}\n");
    } else {
      const Role& peer = roles_[role.name == "party0" ? 2 : 1];
      absl::StrAppend(&yaml, "id: ", role.name == "party0" ? 0 : 1,
                      "\npeer:\n  address: ", peer.address,
                      "\ndealer:\n  address: ", roles_[0].address, "\n");
    }
    RETURN_IF_ERROR(WriteFile(folder / (role.name + ".yaml"), yaml));
  }
  const fs::path file = folder / "gateway.yaml";
  RETURN_IF_ERROR(WriteFile(
      file,
      absl::StrCat(listen, CommonYaml(folder, "gateway", options.insecure),
                   "dealer:\n  address: ", roles_[0].address,
                   "\nparty0:\n  address: ", roles_[1].address,
                   "\nparty1:\n  address: ", roles_[2].address, "\n")));
  ConfigFlags flags;
  flags.file = file.string();
  ASSIGN_OR_RETURN(const LoadedConfig<GatewayConfig> loaded,
                   LoadConfig<GatewayConfig>(flags, {}));
  gateway_ = loaded.config;
  if (options.gateway) roles_.push_back({"gateway", gateway_.listen});
  return absl::OkStatus();
}

absl::Status Deployment::Spawn(Role& role) {
  const fs::path folder(folder_);
  const std::string config = (folder / (role.name + ".yaml")).string();
  const std::string log = (folder / (role.name + ".log")).string();
  std::vector<std::string> words = {options_.program, CommandOf(role.name),
                                    "--config", config};
  if (options_.adjust) options_.adjust(role.name, words);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY,
                                   0);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  // A Ctrl-C is for the parent, which then ends its children in order; signals
  // that it blocks are theirs to take.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  const int error = posix_spawn(&role.pid, words[0].c_str(), &files,
                                &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    role.pid = -1;
    errno = error;
    return System(absl::StrCat("starting ", role.name));
  }
  return absl::OkStatus();
}

std::string Deployment::Log(const std::string& role) const {
  std::ifstream in(fs::path(folder_) / (role + ".log"));
  return std::string((std::istreambuf_iterator<char>(in)), {});
}

std::string Deployment::LogTail(const Role& role) const {
  const std::string text = Log(role.name);
  constexpr size_t kTail = 600;
  return text.substr(text.size() - std::min(text.size(), kTail));
}

absl::Status Deployment::Check() {
  for (Role& role : roles_) {
    int state = 0;
    if (role.pid > 0 && waitpid(role.pid, &state, WNOHANG) == role.pid) {
      role.pid = -1;
      return absl::UnavailableError(
          absl::StrCat("the ", role.name, " has ended: ", LogTail(role)));
    }
  }
  return absl::OkStatus();
}

Deployment::Role* Deployment::Find(const std::string& role) {
  for (Role& one : roles_) {
    if (one.name == role) return &one;
  }
  return nullptr;
}

pid_t Deployment::pid(const std::string& role) const {
  for (const Role& one : roles_) {
    if (one.name == role) return one.pid;
  }
  return -1;
}

std::string Deployment::address(const std::string& role) const {
  for (const Role& one : roles_) {
    if (one.name == role) return one.address;
  }
  return "";
}

absl::Status Deployment::Restart(const std::string& name) {
  Role* const role = Find(name);
  if (role == nullptr) {
    return absl::NotFoundError(absl::StrCat("no role \"", name, "\""));
  }
  if (role->pid > 0) {
    kill(role->pid, SIGKILL);
    waitpid(role->pid, nullptr, 0);
  }
  RETURN_IF_ERROR(Spawn(*role));
  return AwaitHealth(SteadyNow() + kStartTimeout);
}

absl::Status Deployment::AwaitHealth(absl::Time deadline) {
  ASSIGN_OR_RETURN(const auto credentials,
                   MakeCredentials(gateway_.tls, ServiceRole::kGateway,
                                   gateway_.name, {}, nullptr));
  constexpr ServiceRole kRoles[] = {ServiceRole::kDealer, ServiceRole::kParty0,
                                    ServiceRole::kParty1,
                                    ServiceRole::kGateway};
  for (size_t i = 0; i < roles_.size(); ++i) {
    const auto channel =
        grpc::CreateChannel(roles_[i].address, credentials->Channel(kRoles[i]));
    while (true) {
      RETURN_IF_ERROR(Check());
      if (Answers(kRoles[i], channel)) break;
      if (SteadyNow() > deadline) {
        return absl::UnavailableError(absl::StrCat(
            "the ", roles_[i].name, " does not come up: ", LogTail(roles_[i])));
      }
    }
  }
  return absl::OkStatus();
}

Deployment::~Deployment() {
  for (const Role& role : roles_) {
    if (role.pid > 0) kill(role.pid, SIGTERM);
  }
  const absl::Time deadline = SteadyNow() + kStopTimeout;
  for (Role& role : roles_) {
    int state = 0;
    while (role.pid > 0 && waitpid(role.pid, &state, WNOHANG) == 0) {
      if (SteadyNow() > deadline) kill(role.pid, SIGKILL);
      absl::SleepFor(absl::Milliseconds(10));
    }
  }
  std::error_code error;
  if (temporary_) fs::remove_all(folder_, error);
}

}  // namespace tacit
