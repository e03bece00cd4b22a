// The dealer as a service: opens sessions, deals them, streams the material.
#ifndef TACIT_SERVICES_DEALER_DEALER_SERVICE_H_
#define TACIT_SERVICES_DEALER_DEALER_SERVICE_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/thread_pool.h"
#include "common/gates/accelerator.h"
#include "common/gates/session.h"
#include "common/prg/seed.h"
#include "common/ring/gemm_batcher.h"
#include "services/ledger/session_ledger.h"
#include "services/runtime/served_model.h"
#include "services/runtime/session_shape.h"
#include "services/telemetry/metrics.h"
#include "services/transport/material_stream.h"
#include "services/transport/service_bases.h"
#include "services/transport/trace.h"

namespace tacit {

struct DealerOptions {
  TransportOptions transport;
  ShapeLimits limits;
  size_t max_sessions = 64;
  // Sessions kept ready: of shapes that were asked for before, dealt as far as
  // the streams' buffers hold.
  size_t prefetch_sessions = 2;
  // A session whose streams are not both taken within this time is dropped.
  absl::Duration idle_timeout = absl::Minutes(1);
  int threads = 1;                 // of each session's dealing
  AcceleratorFactory accelerator;  // none: sessions are dealt on this host
};

// Thread-safe. A session is dealt by a thread of its own, held back by its
// streams' flow control.
class DealerService final : public DealerServiceBase {
 public:
  // Says which party calls; see Authorizer::PeerParty.
  using PeerPartyFn =
      std::function<absl::StatusOr<int>(const grpc::ServerContextBase&)>;

  // All references must outlive the service.
  DealerService(const ServedModel& model, const DealerOptions& options,
                DurableSessionLedger& ledger, SeedSource& seeds,
                Metrics& metrics, PeerPartyFn peer_party);
  ~DealerService() override;  // Stop

  grpc::Status OpenSession(grpc::ServerContext* context,
                           const v1::OpenSessionRequest* request,
                           v1::OpenSessionResponse* response) override;
  grpc::Status CloseSession(grpc::ServerContext* context,
                            const v1::CloseSessionRequest* request,
                            v1::CloseSessionResponse* response) override;
  WriteReactor* StreamMaterial(grpc::CallbackServerContext* context,
                               const grpc::ByteBuffer* request) override;

  // Opens no more sessions, and waits until those under way have ended or
  // `deadline`, a time of SteadyNow, has come.
  void Drain(absl::Time deadline);
  // Ends all sessions with UNAVAILABLE and waits for their threads.
  void Stop();

 private:
  struct Session;
  using SessionRef = std::shared_ptr<Session>;

  absl::Status Open(const v1::OpenSessionRequest& request,
                    const TraceContext& trace,
                    v1::OpenSessionResponse& response);
  // A new session, on the ledger, being dealt.
  absl::StatusOr<SessionRef> Begin(const SessionProgram& program);
  // A ready one of this shape, if there is any.
  SessionRef TakeReady(const std::string& key);
  // Makes one more of a shape, unless enough are ready.
  void Refill(const SessionProgram& program);
  void Deal(const SessionRef& session);
  absl::StatusOr<SessionRef> Find(const grpc::CallbackServerContext& context,
                                  const grpc::ByteBuffer& request, int& party);
  // Drops what was not fetched in time, and joins threads that have ended.
  void Watch();
  void ReportStock();

  const ServedModel& model_;
  const DealerOptions options_;
  DurableSessionLedger& ledger_;
  SeedSource& seeds_;
  Metrics& metrics_;
  const PeerPartyFn peer_party_;

  // Of all sessions: decoding is bound by reading the weights.
  ThreadPool product_pool_;
  GemmBatcher products_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<SessionId, SessionRef> sessions_;  // handed out, or ready
  std::map<std::string, std::deque<SessionRef>> ready_;
  std::deque<std::string> ready_order_;  // keys of ready_, oldest first
  bool draining_ = false;
  bool stopped_ = false;
  std::thread watch_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_DEALER_DEALER_SERVICE_H_
