// What every service process is made of besides its own service: credentials,
// server, health, reflection, metrics, log, and an orderly end.
#ifndef TACIT_SERVICES_RUNTIME_HOST_H_
#define TACIT_SERVICES_RUNTIME_HOST_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/config/config.h"
#include "services/security/identity.h"
#include "services/security/tls.h"
#include "services/telemetry/metrics.h"
#include "services/transport/options.h"
#include "services/transport/peer_channel.h"

namespace tacit {

// Sizes and times of all connections, from a role's configuration; without TLS
// they say who is calling, as well.
TransportOptions TransportOptionsOf(const ServiceConfig& config, int stripes,
                                    const ServiceCredentials& credentials);

// Credentials of the role that the configuration names; `calls` are the
// addresses that it will call.
absl::StatusOr<std::shared_ptr<ServiceCredentials>> MakeCredentials(
    const TlsConfig& tls, ServiceRole role, const std::string& name,
    const std::vector<std::string>& addresses, Metrics* metrics);

class ServiceHost {
 public:
  // Listens, with the services, health and reflection. `metrics` must outlive
  // the host. `peer`, if any, is a service among others whose acceptor is
  // served; it must be finished before the host goes. Errors: UNAVAILABLE if an
  // address cannot be bound.
  static absl::StatusOr<std::unique_ptr<ServiceHost>> Start(
      const ServiceConfig& config, const TransportOptions& transport,
      const ServiceCredentials& credentials, const Metrics& metrics,
      const std::vector<grpc::Service*>& services, PeerService* peer = nullptr);
  ~ServiceHost();  // Shutdown, at once

  int port() const { return port_; }

  // What health answers; true from the start.
  void SetServing(bool serving);
  // Refuses new calls, lets those under way go on until `deadline`, a time of
  // SteadyNow, and cancels what is left.
  void Shutdown(absl::Time deadline);

 private:
  ServiceHost() = default;

  std::unique_ptr<MetricsServer> metrics_server_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

// Runs `serve` until SIGTERM or SIGINT: it gets a function that waits for the
// signal and returns the time, of SteadyNow, by which to be done. Hardens the
// process and sets up the log first. Call it before there are other threads.
absl::Status RunUntilSignal(
    const ServiceConfig& config, const std::string& role,
    const std::function<absl::Status(const std::function<absl::Time()>& wait)>&
        serve);

}  // namespace tacit

#endif  // TACIT_SERVICES_RUNTIME_HOST_H_
