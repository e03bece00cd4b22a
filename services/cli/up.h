// `tacit up`: a dealer and two parties on this machine, each a process of its
// own, with TLS between them.
#ifndef TACIT_SERVICES_CLI_UP_H_
#define TACIT_SERVICES_CLI_UP_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/gates/values.h"
#include "services/config/config.h"

namespace tacit {

struct UpOptions {
  std::string model;  // folder as Hugging Face writes it; empty: the demo model
  std::string plan;   // file; empty: calibrate now
  // Where roles' folders, certificates, configurations, logs and state go, to
  // be used again; empty: a temporary folder that goes with the deployment.
  std::string folder;
  size_t context = 0;  // 0: what the model holds, at most 1,024
  WeightMode weights = WeightMode::kDealerHeld;
  bool client_embedding = false;
  int threads = 0;             // of each role; 0: as many as processors
  std::string device = "cpu";  // of dealer and parties
  int prefetch = 2;            // sessions that the dealer keeps ready
  bool gateway = false;        // as a process, too
  std::string program;         // of the roles; empty: this one
  std::function<void(const std::string& phase)> on_phase;

  // For tests with networks and clocks of their own.
  bool insecure = false;  // no TLS
  // Where roles listen, if not at 127.0.0.1.
  std::map<std::string, std::string> hosts;
  // May change the words of a role's command, the first of which is the path of
  // the program, before it is started.
  std::function<void(const std::string& role, std::vector<std::string>& words)>
      adjust;
};

// Provisions (unless the folder has been), makes certificates, starts the
// processes and waits until all are healthy. Destruction ends them.
class Deployment {
 public:
  // Errors: those of provisioning; UNAVAILABLE, with the end of its log, if a
  //   role does not come up.
  static absl::StatusOr<std::unique_ptr<Deployment>> Start(
      const UpOptions& options);
  ~Deployment();

  // What a client needs; also in <folder>/gateway.yaml.
  const GatewayConfig& gateway() const { return gateway_; }
  const std::string& folder() const { return folder_; }

  // UNAVAILABLE, with the end of its log, if a role's process has ended.
  absl::Status Check();

  // The process of "dealer", "party0", "party1" or "gateway"; -1 if there is
  // none.
  pid_t pid(const std::string& role) const;
  // Where it listens; empty if there is no such role.
  std::string address(const std::string& role) const;
  // What it has written to its log.
  std::string Log(const std::string& role) const;
  // Starts a role again, at the same address, and waits until all are healthy.
  // Its process is killed if it has not ended.
  absl::Status Restart(const std::string& role);

 private:
  struct Role {
    std::string name;  // "dealer", "party0", "party1", "gateway"
    std::string address;
    pid_t pid = -1;
  };
  explicit Deployment(const UpOptions& options) : options_(options) {}

  absl::Status Prepare();
  absl::Status WriteConfigs();
  absl::Status Spawn(Role& role);
  Role* Find(const std::string& role);
  absl::Status AwaitHealth(absl::Time deadline);
  std::string LogTail(const Role& role) const;

  UpOptions options_;
  std::string folder_;
  bool temporary_ = false;
  std::vector<Role> roles_;
  GatewayConfig gateway_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_UP_H_
