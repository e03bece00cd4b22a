#include "services/telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <chrono>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/security/address.h"

namespace tacit {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;

// A counter for each value of an enumeration.
template <size_t N>
using Counters = std::array<Counter*, N>;

template <size_t N>
Counters<N> MakeCounters(prometheus::Registry& registry,
                         const std::string& name, const std::string& help,
                         const std::string& label,
                         const std::array<const char*, N>& values) {
  auto& family =
      prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  Counters<N> counters;
  for (size_t i = 0; i < N; ++i) {
    counters[i] = &family.Add({{label, values[i]}});
  }
  return counters;
}

Counter& MakeCounter(prometheus::Registry& registry, const std::string& name,
                     const std::string& help) {
  return prometheus::BuildCounter()
      .Name(name)
      .Help(help)
      .Register(registry)
      .Add({});
}

Gauge& MakeGauge(prometheus::Registry& registry, const std::string& name,
                 const std::string& help, const Labels& labels = {}) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(
      labels);
}

// In seconds: from 50 us, half an opening on loopback, to minutes. As decimals,
// since they are shown.
Histogram::BucketBoundaries Buckets() {
  return {0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
          0.02,    0.05,   0.1,    0.2,    0.5,   1,     2,     5,
          10,      20,     50,     100,    200,   500};
}

constexpr std::array<const char*, 2> kTokenKinds = {"prompt", "generated"};
constexpr std::array<const char*, 2> kDirections = {"sent", "received"};
constexpr std::array<const char*, 2> kResults = {"ok", "failed"};
constexpr std::array<const char*, 5> kReasons = {
    "overload", "replay", "unauthorized", "malformed", "divergence"};
constexpr std::array<const char*, 8> kPhases = {
    "queue",  "connect", "material", "prefill",
    "decode", "opening", "deal",     "request"};

std::array<Histogram*, kPhases.size()> MakePhases(
    prometheus::Registry& registry) {
  auto& family = prometheus::BuildHistogram()
                     .Name("tacit_phase_seconds")
                     .Help("Time spent in a phase of a request")
                     .Register(registry);
  std::array<Histogram*, kPhases.size()> phases;
  for (size_t i = 0; i < phases.size(); ++i) {
    phases[i] = &family.Add({{"phase", kPhases[i]}}, Buckets());
  }
  return phases;
}

int64_t SteadyNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

struct Metrics::Families {
  std::shared_ptr<prometheus::Registry> registry =
      std::make_shared<prometheus::Registry>();
  prometheus::Registry& r = *registry;

  Counters<2> tokens =
      MakeCounters(r, "tacit_tokens_total", "Tokens", "kind", kTokenKinds);
  Counter& rounds =
      MakeCounter(r, "tacit_rounds_total", "Openings with the other party");
  Counters<2> opened =
      MakeCounters(r, "tacit_opened_bytes_total", "Bytes of opened values",
                   "direction", kDirections);
  Counters<2> material =
      MakeCounters(r, "tacit_material_bytes_total", "Bytes of material",
                   "direction", kDirections);
  Counter& products =
      MakeCounter(r, "tacit_static_products_total",
                  "Products by weights that sessions may compute together");
  Counter& passes = MakeCounter(r, "tacit_weight_passes_total",
                                "Passes over weights that computed them");
  Counter& late = MakeCounter(
      r, "tacit_late_sessions_total",
      "Times that sessions waited for another one in vain to compute together");
  std::mutex products_mutex;  // of the three
  Gauge& queue =
      MakeGauge(r, "tacit_queue_requests", "Requests waiting for a session");
  Gauge& stock_sessions =
      MakeGauge(r, "tacit_material_stock_sessions",
                "Sessions whose material is ready ahead of use");
  Gauge& stock_bytes = MakeGauge(r, "tacit_material_stock_bytes",
                                 "Material that is ready ahead of use");
  Gauge& memory = MakeGauge(r, "tacit_memory_bytes",
                            "Memory accounted to running sessions");
  Gauge& active = MakeGauge(r, "tacit_sessions_active", "Running sessions");
  prometheus::Family<Counter>& sessions =
      prometheus::BuildCounter()
          .Name("tacit_sessions_total")
          .Help("Sessions that ended, by status")
          .Register(r);
  Counters<5> rejected =
      MakeCounters(r, "tacit_rejected_total", "Calls and messages refused",
                   "reason", kReasons);
  std::array<Histogram*, kPhases.size()> phases = MakePhases(r);
  Gauge& expiry = MakeGauge(r, "tacit_certificate_expiry_seconds",
                            "When the certificate in use expires, Unix time");
  Counters<2> reloads = MakeCounters(r, "tacit_certificate_reloads_total",
                                     "Replaced certificates taken up, or not",
                                     "result", kResults);
};

Metrics::Metrics(const std::string& role)
    : families_(std::make_unique<Families>()) {
  MakeGauge(*families_->registry, "tacit_build_info", "Version and role",
            {{"version", TACIT_VERSION}, {"role", role}})
      .Set(1);
  families_->sessions.Add({{"status", "OK"}});  // shown from the start
}

Metrics::~Metrics() = default;

void Metrics::AddTokens(TokenKind kind, int64_t count) {
  families_->tokens[static_cast<int>(kind)]->Increment(
      static_cast<double>(count));
}

void Metrics::AddRounds(int64_t count) {
  families_->rounds.Increment(static_cast<double>(count));
}

void Metrics::AddOpenedBytes(Direction direction, uint64_t bytes) {
  families_->opened[static_cast<int>(direction)]->Increment(
      static_cast<double>(bytes));
}

void Metrics::AddMaterialBytes(Direction direction, uint64_t bytes) {
  families_->material[static_cast<int>(direction)]->Increment(
      static_cast<double>(bytes));
}

void Metrics::SetProducts(const GemmBatcher::Stats& stats) {
  const std::lock_guard<std::mutex> lock(families_->products_mutex);
  // Those who come late bring old totals.
  const auto raise = [](Counter& counter, uint64_t total) {
    const double more = static_cast<double>(total) - counter.Value();
    if (more > 0) counter.Increment(more);
  };
  raise(families_->products, stats.products);
  raise(families_->passes, stats.passes);
  raise(families_->late, stats.late);
}

void Metrics::SetQueue(int64_t requests) {
  families_->queue.Set(static_cast<double>(requests));
}

void Metrics::SetMaterialStock(int64_t sessions, uint64_t bytes) {
  families_->stock_sessions.Set(static_cast<double>(sessions));
  families_->stock_bytes.Set(static_cast<double>(bytes));
}

void Metrics::SetMemory(uint64_t bytes) {
  families_->memory.Set(static_cast<double>(bytes));
}

void Metrics::SessionStarted() { families_->active.Increment(); }

void Metrics::SessionEnded(const absl::Status& status) {
  families_->active.Decrement();
  // Status codes from elsewhere may be any number; their names are few.
  families_->sessions.Add({{"status", absl::StatusCodeToString(status.code())}})
      .Increment();
}

void Metrics::Rejected(RejectReason reason) {
  families_->rejected[static_cast<int>(reason)]->Increment();
}

void Metrics::Observe(Phase phase, absl::Duration duration) {
  families_->phases[static_cast<int>(phase)]->Observe(
      absl::ToDoubleSeconds(duration));
}

void Metrics::SetCertificateExpiry(absl::Time expires) {
  families_->expiry.Set(static_cast<double>(absl::ToUnixSeconds(expires)));
}

void Metrics::CertificateReloaded(const absl::Status& status) {
  families_->reloads[status.ok() ? 0 : 1]->Increment();
}

std::string Metrics::Render() const {
  return prometheus::TextSerializer().Serialize(families_->registry->Collect());
}

PhaseTimer::PhaseTimer(Metrics& metrics, Phase phase)
    : metrics_(metrics), phase_(phase), begin_(SteadyNanoseconds()) {}

PhaseTimer::~PhaseTimer() {
  metrics_.Observe(phase_, absl::Nanoseconds(SteadyNanoseconds() - begin_));
}

struct MetricsServer::Impl {
  explicit Impl(const std::vector<std::string>& options) : exposer(options) {}
  prometheus::Exposer exposer;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const Metrics& metrics, const std::string& address) {
  ASSIGN_OR_RETURN(const HostPort parsed, ParseAddress(address));
  // civetweb wants addresses.
  const std::string host =
      parsed.host == "localhost" ? "127.0.0.1" : parsed.host;
  const bool v6 = host.find(':') != std::string::npos;
  const std::string bind =
      absl::StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", parsed.port);
  try {
    auto impl = std::make_unique<Impl>(std::vector<std::string>{
        "listening_ports", bind, "num_threads", "2", "request_timeout_ms",
        "5000", "max_request_size", "4096"});
    impl->exposer.RegisterCollectable(metrics.families_->registry);
    return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("metrics at ", address, ": ", error.what(),
                     "; the address is taken or not this machine's"));
  }
}

int MetricsServer::port() const {
  const std::vector<int> ports = impl_->exposer.GetListeningPorts();
  return ports.empty() ? 0 : ports[0];
}

}  // namespace tacit
