#include "services/runtime/roles.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/models/provision.h"
#include "gpu/session/device.h"
#include "services/dealer/dealer_service.h"
#include "services/gateway/gateway_service.h"
#include "services/ledger/session_ledger.h"
#include "services/party/party_service.h"
#include "services/runtime/host.h"
#include "services/telemetry/log.h"

namespace tacit {
namespace {

int ThreadsOf(const ServiceConfig& config) {
  if (config.threads > 0) return static_cast<int>(config.threads);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

ShapeLimits LimitsOf(const ServiceConfig& config) {
  ShapeLimits limits;
  limits.max_prompt_tokens =
      static_cast<size_t>(config.limits.max_prompt_tokens);
  limits.max_tokens = static_cast<size_t>(config.limits.max_tokens);
  return limits;
}

absl::StatusOr<std::unique_ptr<DurableSessionLedger>> OpenLedger(
    const std::string& path, const std::string& owner) {
  LedgerOptions options;
  options.owner = owner;
  options.warn = [](absl::string_view text) {
    LogEvent(LogLevel::kWarning, "ledger").Public("warning", text);
  };
  return DurableSessionLedger::Open(path, std::move(options));
}

void LogModel(const ServedModel& model) {
  LogEvent(LogLevel::kInfo, "model_loaded")
      .Public("name", model.name)
      .Public("architecture", ToString(ConfigOf(model.plan).architecture))
      .Public("kind", ToString(KindOf(model.plan)))
      .Count("context", ContextOf(model.plan));
}

ServedModel ModelOf(ProvisionedPlan plan, ModelMatrices matrices) {
  ServedModel model;
  model.name = plan.info.model;
  model.plan = std::move(plan.plan);
  model.digest = plan.session_digest;
  model.weights = plan.info.weights;
  model.matrices = std::move(matrices);
  return model;
}

// Looks after the device while a service runs: health says that it does not
// serve from the moment that the device has failed this process. Sessions end
// with the device's error by themselves.
class DeviceWatch {
 public:
  DeviceWatch(const gpu::Device* device, ServiceHost& host) {
    if (device == nullptr) return;
    thread_ = std::thread([this, device, &host] { Run(*device, host); });
  }
  ~DeviceWatch() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  static constexpr std::chrono::seconds kInterval{10};

  void Run(const gpu::Device& device, ServiceHost& host) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!changed_.wait_for(lock, kInterval, [this] { return ended_; })) {
      const absl::Status status = device.CheckHealth();
      if (status.ok()) continue;
      host.SetServing(false);
      LogEvent(LogLevel::kError, "device_unwell").Error(status);
      return;  // the device forgives it nothing
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;  // guarded by mutex_
  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<gpu::Device>> OpenDevice(
    const ServiceConfig& config) {
  ASSIGN_OR_RETURN(std::unique_ptr<gpu::Device> device,
                   gpu::OpenDevice(config.device));
  if (device != nullptr) {
    LogEvent(LogLevel::kInfo, "device")
        .Public("name", device->name())
        .Count("index", device->index())
        .Count("memory_bytes", device->memory_bytes());
  }
  return device;
}

// Listens until the signal, then drains and stops `service`.
template <typename Service>
absl::Status Serve(const ServiceConfig& config,
                   const TransportOptions& transport,
                   const ServiceCredentials& credentials, Metrics& metrics,
                   const std::vector<grpc::Service*>& services,
                   Service& service, const std::function<absl::Time()>& wait,
                   const gpu::Device* device = nullptr,
                   PeerService* peer = nullptr) {
  ASSIGN_OR_RETURN(const auto host,
                   ServiceHost::Start(config, transport, credentials, metrics,
                                      services, peer));
  metrics.SetCertificateExpiry(credentials.Expires());
  absl::Time deadline;
  {
    const DeviceWatch watch(device, *host);
    deadline = wait();
  }
  host->SetServing(false);
  service.Drain(deadline);
  host->Shutdown(deadline);
  service.Stop();
  return absl::OkStatus();
}

absl::Status RunDealer(const DealerConfig& config,
                       const std::function<absl::Time()>& wait) {
  Metrics metrics("dealer");
  ASSIGN_OR_RETURN(const auto credentials,
                   MakeCredentials(config.tls, ServiceRole::kDealer, "",
                                   {config.listen}, &metrics));
  ASSIGN_OR_RETURN(const auto ledger,
                   OpenLedger(config.LedgerPath(), "dealer"));
  ASSIGN_OR_RETURN(ProvisionedPlan plan, LoadProvisionedPlan(config.model));
  ASSIGN_OR_RETURN(ModelMatrices matrices,
                   LoadDealerMatrices(config.model, plan));
  const ServedModel model = ModelOf(std::move(plan), std::move(matrices));
  LogModel(model);
  ASSIGN_OR_RETURN(const std::unique_ptr<gpu::Device> device,
                   OpenDevice(config));
  DealerOptions options;
  options.accelerator = gpu::SessionsOn(device.get());
  options.transport = TransportOptionsOf(config, /*stripes=*/1, *credentials);
  options.limits = LimitsOf(config);
  options.max_sessions = static_cast<size_t>(config.limits.max_sessions);
  options.prefetch_sessions =
      static_cast<size_t>(config.limits.prefetch_sessions);
  options.idle_timeout = config.deadlines.session_idle;
  options.threads = ThreadsOf(config);
  DealerService service(model, options, *ledger, OsSeedSource(), metrics,
                        [&](const grpc::ServerContextBase& context) {
                          return credentials->authorizer().PeerParty(context);
                        });
  PlanServiceImpl plans(model);
  return Serve(config, options.transport, *credentials, metrics,
               {&service, &plans}, service, wait, device.get());
}

absl::Status RunParty(const PartyConfig& config,
                      const std::function<absl::Time()>& wait) {
  const int id = static_cast<int>(config.id);
  const std::string role = id == 0 ? "party/0" : "party/1";
  Metrics metrics(role);
  ASSIGN_OR_RETURN(const auto credentials,
                   MakeCredentials(config.tls, PartyRole(id), "",
                                   {config.listen, config.peer_address,
                                    config.dealer_address},
                                   &metrics));
  ASSIGN_OR_RETURN(const auto ledger, OpenLedger(config.LedgerPath(), role));
  ASSIGN_OR_RETURN(ProvisionedPlan plan, LoadProvisionedPlan(config.model));
  ASSIGN_OR_RETURN(ModelMatrices matrices,
                   LoadPartyMatrices(config.model, id, plan));
  const ServedModel model = ModelOf(std::move(plan), std::move(matrices));
  LogModel(model);
  ASSIGN_OR_RETURN(const std::unique_ptr<gpu::Device> device,
                   OpenDevice(config));
  PartyOptions options;
  options.party = id;
  options.accelerator = gpu::SessionsOn(device.get());
  options.transport = TransportOptionsOf(
      config, static_cast<int>(config.stripes), *credentials);
  options.limits = LimitsOf(config);
  options.max_sessions = static_cast<size_t>(config.limits.max_sessions);
  options.queue_length = static_cast<size_t>(config.limits.queue_length);
  options.memory = config.limits.memory;
  options.connect = config.deadlines.connect;
  options.threads = ThreadsOf(config);
  std::unique_ptr<PeerDialer> dialer;
  if (id == 0) {
    ASSIGN_OR_RETURN(
        dialer, PeerDialer::Create(config.peer_address,
                                   credentials->Channel(ServiceRole::kParty1),
                                   options.transport));
  }
  ASSIGN_OR_RETURN(auto dealer, MaterialDialer::Create(
                                    config.dealer_address,
                                    credentials->Channel(ServiceRole::kDealer),
                                    options.transport));
  PartyService service(
      model, options, *ledger, metrics,
      [&](const grpc::ServerContextBase& context)
          -> absl::StatusOr<std::string> {
        ASSIGN_OR_RETURN(const Identity peer,
                         credentials->authorizer().Peer(context));
        return peer.Path();
      },
      std::move(dialer), std::move(dealer));
  PlanServiceImpl plans(model);
  return Serve(config, options.transport, *credentials, metrics,
               {service.inference(), &plans}, service, wait, device.get(),
               id == 1 ? &service.peer() : nullptr);
}

absl::Status RunGateway(const GatewayConfig& config,
                        const std::function<absl::Time()>& wait) {
  Metrics metrics("gateway");
  ASSIGN_OR_RETURN(const auto credentials,
                   MakeCredentials(config.tls, ServiceRole::kGateway,
                                   config.name, {config.listen}, &metrics));
  ASSIGN_OR_RETURN(const auto client, TextClient::Create(config));
  GatewayOptions options;
  options.max_requests = static_cast<size_t>(config.limits.max_sessions);
  options.max_tokens = static_cast<size_t>(config.limits.max_tokens);
  GatewayService service(*client, options, metrics);
  return Serve(config, TransportOptionsOf(config, /*stripes=*/1, *credentials),
               *credentials, metrics, {&service}, service, wait);
}

}  // namespace

absl::Status ServeDealer(const DealerConfig& config) {
  return RunUntilSignal(config, "dealer",
                        [&](const std::function<absl::Time()>& wait) {
                          return RunDealer(config, wait);
                        });
}

absl::Status ServeParty(const PartyConfig& config) {
  PollOwnConnections();
  return RunUntilSignal(config, config.id == 0 ? "party/0" : "party/1",
                        [&](const std::function<absl::Time()>& wait) {
                          return RunParty(config, wait);
                        });
}

absl::Status ServeGateway(const GatewayConfig& config) {
  return RunUntilSignal(config, "gateway",
                        [&](const std::function<absl::Time()>& wait) {
                          return RunGateway(config, wait);
                        });
}

}  // namespace tacit
