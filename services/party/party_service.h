// A computing party as a service: runs gateways' sessions with its peer.
#ifndef TACIT_SERVICES_PARTY_PARTY_SERVICE_H_
#define TACIT_SERVICES_PARTY_PARTY_SERVICE_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/thread_pool.h"
#include "common/gates/accelerator.h"
#include "common/gates/session.h"
#include "common/ring/gemm_batcher.h"
#include "services/runtime/served_model.h"
#include "services/runtime/session_shape.h"
#include "services/telemetry/metrics.h"
#include "services/transport/infer_stream.h"
#include "services/transport/material_stream.h"
#include "services/transport/peer_channel.h"
#include "services/transport/service_bases.h"
#include "services/transport/trace.h"

namespace tacit {

struct PartyOptions {
  int party = 0;
  TransportOptions transport;
  ShapeLimits limits;
  size_t max_sessions = 64;                    // running at a time
  size_t queue_length = 256;                   // waiting for that
  uint64_t memory = uint64_t{8} << 30;         // bytes, of all sessions
  absl::Duration connect = absl::Seconds(10);  // until the peer's streams come
  int threads = 1;                             // shared by the sessions
  AcceleratorFactory accelerator;  // none: sessions compute on this host
};

// Bytes that a session takes at a party at most: a pass over its prompts or
// texts with their scores, keys and values of all positions, and the material
// that waits meanwhile, `material_buffer` bytes at most.
uint64_t SessionMemory(const DecoderPlan& plan, const GenerationShape& shape,
                       uint64_t material_buffer);
uint64_t SessionMemory(const EncoderPlan& plan,
                       const ClassificationShape& shape,
                       uint64_t material_buffer);
// `shape` must be of the plan's kind.
uint64_t SessionMemory(const ModelPlan& plan, const ProgramShape& shape,
                       uint64_t material_buffer);

// Thread-safe. Sessions are isolated: each has a thread, a link to the peer, a
// material stream and an evaluator of its own. Those that wait are taken
// gateway by gateway in turn.
class PartyService {
 public:
  // Who calls; see Authorizer::Peer.
  using PeerNameFn = std::function<absl::StatusOr<std::string>(
      const grpc::ServerContextBase&)>;

  // All references must outlive the service. `dialer` calls the peer (party 0;
  // null at party 1), `dealer` the dealer.
  PartyService(const ServedModel& model, const PartyOptions& options,
               SessionLedger& ledger, Metrics& metrics, PeerNameFn peer_name,
               std::unique_ptr<PeerDialer> dialer,
               std::unique_ptr<MaterialDialer> dealer);
  ~PartyService();  // Stop

  // The services to serve; `peer` is party 1's only. Stop finishes it.
  grpc::Service* inference();
  PeerService& peer() { return peer_; }

  // Takes no more sessions, and waits until those under way have ended or
  // `deadline`, a time of SteadyNow, has come.
  void Drain(absl::Time deadline);
  // Ends all sessions with UNAVAILABLE and waits for their threads. After the
  // server's Shutdown, and before the server goes.
  void Stop();

 private:
  class Inference;
  struct Running;

  struct Waiting {
    std::unique_ptr<InferSession> session;
    TraceContext trace;
    SessionProgram program;
    uint64_t memory;
    absl::Time since;
  };

  // From gRPC's threads.
  void Admit(const std::string& gateway, const TraceContext& trace,
             std::unique_ptr<InferSession> session);
  absl::StatusOr<SessionProgram> Check(const InferSession& session) const;
  // Starts what fits. Requires mutex_.
  void StartWaiting();
  bool StartNext();
  void Run(const std::shared_ptr<Running>& running);
  absl::Status RunProgram(Running& running);
  absl::StatusOr<std::unique_ptr<Channel>> Connect(const SessionId& session);
  void Join();
  // What waits. Requires mutex_.
  void Refuse(const absl::Status& status);

  const ServedModel& model_;
  const PartyOptions options_;
  SessionLedger& ledger_;
  Metrics& metrics_;
  const PeerNameFn peer_name_;
  const std::unique_ptr<PeerDialer> dialer_;
  const std::unique_ptr<MaterialDialer> dealer_;
  PeerRegistry registry_;
  PeerService peer_{registry_};
  std::unique_ptr<Inference> inference_;

  // Of all sessions: decoding is bound by reading the weights.
  ThreadPool product_pool_;
  GemmBatcher products_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // By gateway; `turn_` is the one whose turn it is.
  std::map<std::string, std::deque<Waiting>> waiting_;
  std::string turn_;
  size_t waiting_count_ = 0;
  std::map<SessionId, std::shared_ptr<Running>> running_;
  std::vector<std::shared_ptr<Running>> ended_;
  uint64_t memory_ = 0;
  bool draining_ = false;
  bool stopped_ = false;
  std::thread janitor_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_PARTY_PARTY_SERVICE_H_
