#include "services/runtime/host.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "services/telemetry/log.h"
#include "services/telemetry/process.h"
#include "services/telemetry/shutdown.h"
#include "services/transport/deadline.h"

namespace tacit {

TransportOptions TransportOptionsOf(const ServiceConfig& config, int stripes,
                                    const ServiceCredentials& credentials) {
  TransportOptions options;
  if (!credentials.secure()) {
    options.user_agent = ClaimedIdentity(credentials.self());
  }
  options.timeout = config.deadlines.step;
  options.accept_timeout = config.deadlines.connect;
  options.max_waiting_sessions =
      static_cast<size_t>(config.limits.queue_length);
  options.stripes = stripes;
  options.material_capacity =
      static_cast<size_t>(config.limits.material_buffer);
  return options;
}

absl::StatusOr<std::shared_ptr<ServiceCredentials>> MakeCredentials(
    const TlsConfig& tls, ServiceRole role, const std::string& name,
    const std::vector<std::string>& addresses, Metrics* metrics) {
  if (tls.insecure) {
    return ServiceCredentials::Insecure({"tacit.local", role, name}, addresses);
  }
  TlsOptions options;
  options.paths = {tls.ca, tls.cert, tls.key};
  options.role = role;
  options.refresh = tls.refresh;
  options.check_hostname = tls.check_hostname;
  if (metrics != nullptr) {
    options.on_reload = [metrics](const absl::Status& status) {
      metrics->CertificateReloaded(status);
      LogEvent(status.ok() ? LogLevel::kInfo : LogLevel::kError,
               "certificate_reloaded")
          .Error(status);
    };
  }
  return ServiceCredentials::Tls(options);
}

absl::StatusOr<std::unique_ptr<ServiceHost>> ServiceHost::Start(
    const ServiceConfig& config, const TransportOptions& transport,
    const ServiceCredentials& credentials, const Metrics& metrics,
    const std::vector<grpc::Service*>& services, PeerService* peer) {
  std::unique_ptr<ServiceHost> host(new ServiceHost);
  if (!config.metrics_listen.empty()) {
    ASSIGN_OR_RETURN(host->metrics_server_,
                     MetricsServer::Start(metrics, config.metrics_listen));
  }
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  ApplyTransportOptions(transport, builder);
  builder.AddListeningPort(config.listen, credentials.Server(), &host->port_);
  for (grpc::Service* service : services) builder.RegisterService(service);
  if (peer != nullptr) peer->AddTo(builder);
  host->server_ = builder.BuildAndStart();
  if (host->server_ == nullptr || host->port_ == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen at ", config.listen));
  }
  if (peer != nullptr) peer->Start();
  host->SetServing(true);
  LogEvent(LogLevel::kInfo, "listening")
      .Public("address", config.listen)
      .Count("port", host->port_)
      .Count("tls", credentials.secure() ? 1 : 0);
  return host;
}

ServiceHost::~ServiceHost() { Shutdown(SteadyNow()); }

void ServiceHost::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void ServiceHost::Shutdown(absl::Time deadline) {
  if (server_ == nullptr) return;
  server_->Shutdown(DeadlineIn(deadline - SteadyNow()));
  server_->Wait();
}

absl::Status RunUntilSignal(
    const ServiceConfig& config, const std::string& role,
    const std::function<absl::Status(const std::function<absl::Time()>& wait)>&
        serve) {
  RETURN_IF_ERROR(HardenProcess());
  KeepFreedMemory();
  ForgoMutexChecks();
  RETURN_IF_ERROR(ShutdownSignals::Block());
  ASSIGN_OR_RETURN(const LogLevel level, ParseLogLevel(config.log.level));
  InitLog({role, level, config.log.format == "json", {}});
  RouteGrpcLog();
  std::mutex mutex;
  std::condition_variable signalled;
  bool requested = false;
  ASSIGN_OR_RETURN(const auto signals, ShutdownSignals::Watch([&](int) {
                     std::lock_guard<std::mutex> lock(mutex);
                     requested = true;
                     signalled.notify_all();
                   }));
  absl::Status status = serve([&] {
    std::unique_lock<std::mutex> lock(mutex);
    signalled.wait(lock, [&] { return requested; });
    LogEvent(LogLevel::kInfo, "draining")
        .Elapsed("at_most", config.deadlines.drain);
    return SteadyNow() + config.deadlines.drain;
  });
  LogEvent(LogLevel::kInfo, "stopped").Error(status);
  return status;
}

}  // namespace tacit
