// What a service counts, for Prometheus.
//
//   tacit_tokens_total{kind}                prompt, generated
//   tacit_rounds_total                      openings with the other party
//   tacit_opened_bytes_total{direction}     sent, received
//   tacit_material_bytes_total{direction}
//   tacit_static_products_total             by weights, of a few rows
//   tacit_weight_passes_total               that computed them: fewer, if
//   batched tacit_queue_requests                    waiting for a session
//   tacit_material_stock_sessions, tacit_material_stock_bytes
//   tacit_memory_bytes                      accounted to sessions
//   tacit_sessions_active, tacit_sessions_total{status}
//   tacit_rejected_total{reason}
//   tacit_phase_seconds{phase}              histogram
//   tacit_certificate_expiry_seconds        Unix time
//   tacit_certificate_reloads_total{result}
//   tacit_build_info{version,role}
//
// Labels have few values, fixed here: none comes from a peer, and nothing about
// one session can be read from them but what SECURITY.md calls public.
#ifndef TACIT_SERVICES_TELEMETRY_METRICS_H_
#define TACIT_SERVICES_TELEMETRY_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/ring/gemm_batcher.h"

namespace tacit {

enum class TokenKind { kPrompt, kGenerated };
enum class Direction { kSent, kReceived };
// Where the time of a request goes.
enum class Phase {
  kQueue,     // waiting to be admitted
  kConnect,   // to the other party
  kMaterial,  // waiting for material, in a prefill or for one token
  kPrefill,
  kDecode,   // one token of each sequence
  kOpening,  // one round with the other party
  kDeal,     // a session's material, with the waits for parties to take it
  kRequest,  // all of it
};
enum class RejectReason {
  kOverload,      // queue or memory full
  kReplay,        // a session or message that was there before
  kUnauthorized,  // the wrong role
  kMalformed,     // sizes, counts or contents that cannot be
  kDivergence,    // the parties disagree about what was opened
};

// All methods are thread-safe.
class Metrics {
 public:
  explicit Metrics(const std::string& role);
  ~Metrics();

  void AddTokens(TokenKind kind, int64_t count);
  void AddRounds(int64_t count);
  void AddOpenedBytes(Direction direction, uint64_t bytes);
  void AddMaterialBytes(Direction direction, uint64_t bytes);
  // Totals so far.
  void SetProducts(const GemmBatcher::Stats& stats);
  void SetQueue(int64_t requests);
  void SetMaterialStock(int64_t sessions, uint64_t bytes);
  void SetMemory(uint64_t bytes);
  void SessionStarted();
  // Counts under the status code's name, "OK" or "UNAVAILABLE".
  void SessionEnded(const absl::Status& status);
  void Rejected(RejectReason reason);
  void Observe(Phase phase, absl::Duration duration);
  void SetCertificateExpiry(absl::Time expires);
  void CertificateReloaded(const absl::Status& status);

  // In Prometheus' text format.
  std::string Render() const;

 private:
  friend class MetricsServer;
  struct Families;
  const std::unique_ptr<Families> families_;
};

// Observes the time from its construction to its end.
class PhaseTimer {
 public:
  PhaseTimer(Metrics& metrics, Phase phase);
  ~PhaseTimer();
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;

 private:
  Metrics& metrics_;
  const Phase phase_;
  const int64_t begin_;  // ns of the steady clock
};

// Serves metrics at http://<address>/metrics, in plain text and to anyone:
// bind it to where only the monitoring gets.
class MetricsServer {
 public:
  // `address` is host:port, host an IP address or localhost; port 0 takes a
  // free one. INVALID_ARGUMENT if it is not, UNAVAILABLE if it cannot be bound.
  // Must go before `metrics` does.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const Metrics& metrics, const std::string& address);
  ~MetricsServer();

  int port() const;

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TELEMETRY_METRICS_H_
