#include "services/dealer/dealer_service.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/gates/dealer.h"
#include "services/telemetry/log.h"
#include "services/transport/byte_buffer.h"
#include "services/transport/status.h"

namespace tacit {
namespace {

constexpr absl::Duration kWatchInterval = absl::Milliseconds(500);

}  // namespace

struct DealerService::Session {
  Session(const SessionId& id, const SessionSeeds& seeds,
          const SessionProgram& program, const TransportOptions& transport)
      : id(id),
        seeds(seeds),
        program(program),
        outbox{MaterialOutbox(transport), MaterialOutbox(transport)} {}

  const SessionId id;
  const SessionSeeds seeds;
  const SessionProgram program;
  MaterialOutbox outbox[2];
  absl::Time handed_out = absl::InfiniteFuture();
  // Since when one party has come for its material and the other has not.
  absl::Time half_taken = absl::InfiniteFuture();
  std::atomic<bool> dealt{false};  // the thread has ended
  std::thread thread;

  bool taken() const { return outbox[0].taken() && outbox[1].taken(); }
  size_t buffered() const {
    return outbox[0].buffered_bytes() + outbox[1].buffered_bytes();
  }
  absl::Status status() const {
    absl::Status status = outbox[0].status();
    status.Update(outbox[1].status());
    return status;
  }
  void Abort(const absl::Status& status) {
    for (MaterialOutbox& box : outbox) box.Abort(status);
  }
  // What one party has given up is of no use to the other.
  void AbortHalf(absl::Duration patience) {
    const absl::Status ended = status();
    if (!ended.ok()) return Abort(ended);
    if (outbox[0].taken() == outbox[1].taken()) {
      half_taken = absl::InfiniteFuture();
      return;
    }
    half_taken = std::min(half_taken, SteadyNow());
    if (SteadyNow() - half_taken > patience) {
      Abort(absl::DeadlineExceededError(absl::StrCat(
          "only one party has fetched the session's material within ",
          absl::FormatDuration(patience))));
    }
  }
};

DealerService::DealerService(const ServedModel& model,
                             const DealerOptions& options,
                             DurableSessionLedger& ledger, SeedSource& seeds,
                             Metrics& metrics, PeerPartyFn peer_party)
    : model_(model),
      options_(options),
      ledger_(ledger),
      seeds_(seeds),
      metrics_(metrics),
      peer_party_(std::move(peer_party)),
      product_pool_(options.threads),
      products_(product_pool_),
      watch_([this] { Watch(); }) {}

DealerService::~DealerService() { Stop(); }

grpc::Status DealerService::OpenSession(grpc::ServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) {
  const TraceContext trace = TraceContext::Of(*context);
  const absl::Status status = Open(*request, trace, *response);
  if (!status.ok()) {
    LogEvent(LogLevel::kWarning, "session_refused")
        .Trace(trace.id())
        .Error(status);
  }
  return ToGrpcStatus(status);
}

grpc::Status DealerService::CloseSession(grpc::ServerContext*,
                                         const v1::CloseSessionRequest* request,
                                         v1::CloseSessionResponse*) {
  const absl::StatusOr<SessionId> id = ParseSessionId(request->session_id());
  if (!id.ok()) return ToGrpcStatus(id.status());
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = sessions_.find(*id);
  if (found != sessions_.end() &&
      found->second->handed_out != absl::InfiniteFuture()) {
    found->second->Abort(absl::CancelledError("the gateway has left"));
    changed_.notify_all();
  }
  return grpc::Status::OK;
}

absl::Status DealerService::Open(const v1::OpenSessionRequest& request,
                                 const TraceContext& trace,
                                 v1::OpenSessionResponse& response) {
  ASSIGN_OR_RETURN(const PlanDigest digest, ParseDigest(request.plan_digest()));
  RETURN_IF_ERROR(CheckDigest(model_.digest, digest));
  ASSIGN_OR_RETURN(const SessionProgram program,
                   FromProto(request.shape(), options_.limits, model_.plan));
  SessionRef session = TakeReady(ShapeKey(program));
  if (session == nullptr) {
    ASSIGN_OR_RETURN(session, Begin(program));
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    session->handed_out = SteadyNow();
  }
  const auto& seed = session->seeds.gateway.bytes();
  response.set_session_id(session->id.data(), session->id.size());
  response.set_gateway_seed(seed.data(), seed.size());
  response.set_idle_timeout_ms(
      static_cast<uint32_t>(absl::ToInt64Milliseconds(options_.idle_timeout)));
  LogEvent(LogLevel::kInfo, "session_opened")
      .Session(session->id)
      .Trace(trace.id())
      .Count("prompt_tokens", InputTokens(program.shape))
      .Count("max_tokens", MaxTokens(program.shape));
  Refill(program);
  return absl::OkStatus();
}

DealerService::SessionRef DealerService::TakeReady(const std::string& key) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = ready_.find(key);
  if (found == ready_.end() || draining_) return nullptr;
  SessionRef session = found->second.front();
  found->second.pop_front();
  if (found->second.empty()) {
    ready_.erase(found);
    std::erase(ready_order_, key);
  }
  return session;
}

absl::StatusOr<DealerService::SessionRef> DealerService::Begin(
    const SessionProgram& program) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (draining_) return absl::UnavailableError("the dealer is shutting down");
    if (sessions_.size() >= options_.max_sessions) {
      metrics_.Rejected(RejectReason::kOverload);
      return absl::ResourceExhaustedError(
          absl::StrCat("the dealer deals ", sessions_.size(),
                       " sessions, as many as it may: try again later"));
    }
  }
  ASSIGN_OR_RETURN(const SessionId id, GenerateSessionId(seeds_));
  ASSIGN_OR_RETURN(const SessionSeeds seeds, SessionSeeds::Generate(seeds_));
  auto session =
      std::make_shared<Session>(id, seeds, program, options_.transport);
  // Before anything of it leaves this process: no restart deals it again.
  RETURN_IF_ERROR(ledger_.Use(session->id));
  std::lock_guard<std::mutex> lock(mutex_);
  if (draining_) return absl::UnavailableError("the dealer is shutting down");
  sessions_[session->id] = session;
  metrics_.SessionStarted();
  session->thread = std::thread([this, session] { Deal(session); });
  return session;
}

void DealerService::Refill(const SessionProgram& program) {
  const std::string key = ShapeKey(program);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (options_.prefetch_sessions == 0 || draining_ || ready_.contains(key) ||
        sessions_.size() + 1 >= options_.max_sessions) {
      return;
    }
    // The shape that nobody has asked for the longest makes room.
    if (ready_order_.size() >= options_.prefetch_sessions) {
      const auto oldest = ready_.find(ready_order_.front());
      for (const SessionRef& session : oldest->second) {
        session->Abort(absl::CancelledError("another shape is wanted"));
      }
      ready_.erase(oldest);
      ready_order_.pop_front();
    }
  }
  absl::StatusOr<SessionRef> session = Begin(program);
  if (!session.ok()) return;  // the next request will say why
  std::lock_guard<std::mutex> lock(mutex_);
  if (ready_.contains(key)) {
    (*session)->Abort(absl::CancelledError("one is ready"));
    return;
  }
  ready_[key].push_back(*std::move(session));
  ready_order_.push_back(key);
}

void DealerService::Deal(const SessionRef& session) {
  const absl::Time start = SteadyNow();
  absl::Status status;
  uint64_t bytes[2] = {0, 0};
  {
    const std::unique_ptr<MaterialSink> sink0 = session->outbox[0].MakeSink();
    const std::unique_ptr<MaterialSink> sink1 = session->outbox[1].MakeSink();
    ThreadPool pool(options_.threads);
    std::unique_ptr<Accelerator> accelerator;
    auto create = [&]() -> absl::StatusOr<std::unique_ptr<DealerEvaluator>> {
      ASSIGN_OR_RETURN(accelerator, MakeAccelerator(options_.accelerator, -1));
      return DealerEvaluator::Create(session->seeds, session->id, model_.digest,
                                     session->program.rounding, *sink0, *sink1,
                                     pool, accelerator.get());
    };
    auto dealer = create();
    if (dealer.ok()) {
      if (accelerator == nullptr) (*dealer)->ShareProducts(products_);
      RunModelProgram(**dealer, model_.plan, model_.matrices,
                      session->program.shape);
      status = (*dealer)->Finish();
    } else {
      status = dealer.status();
      session->Abort(status);
    }
    bytes[0] = sink0->bytes();
    bytes[1] = sink1->bytes();
  }
  metrics_.AddMaterialBytes(Direction::kSent, bytes[0] + bytes[1]);
  metrics_.SetProducts(products_.stats());
  metrics_.Observe(Phase::kDeal, SteadyNow() - start);
  metrics_.SessionEnded(status);
  LogEvent(LogLevel::kInfo, "session_dealt")
      .Session(session->id)
      .Count("material_bytes", bytes[0] + bytes[1])
      .Elapsed("seconds", SteadyNow() - start)
      .Error(status);
  session->dealt = true;
  std::lock_guard<std::mutex> lock(mutex_);
  changed_.notify_all();
}

absl::StatusOr<DealerService::SessionRef> DealerService::Find(
    const grpc::CallbackServerContext& context, const grpc::ByteBuffer& request,
    int& party) {
  v1::StreamMaterialRequest message;
  if (!ParseMessage(request, message).ok()) {
    return absl::InvalidArgumentError("the request is no message");
  }
  ASSIGN_OR_RETURN(party, peer_party_(context));
  if (message.party() != static_cast<uint32_t>(party)) {
    metrics_.Rejected(RejectReason::kUnauthorized);
    return absl::PermissionDeniedError(absl::StrCat(
        "party ", party, " asks for party ", message.party(), "'s material"));
  }
  ASSIGN_OR_RETURN(const SessionId id, ParseSessionId(message.session_id()));
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end() ||
      found->second->handed_out == absl::InfiniteFuture()) {
    return absl::NotFoundError(
        "the dealer has no such session: it has expired, or the dealer was "
        "restarted; open another");
  }
  return found->second;
}

WriteReactor* DealerService::StreamMaterial(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  int party = 0;
  const absl::StatusOr<SessionRef> session = Find(*context, *request, party);
  if (!session.ok()) {
    LogEvent(LogLevel::kWarning, "stream_refused").Error(session.status());
    return RefuseWrite(session.status());
  }
  return (*session)->outbox[party].Handle(context);
}

void DealerService::ReportStock() {
  size_t bytes = 0, count = 0;
  for (const auto& [key, sessions] : ready_) {
    count += sessions.size();
    for (const SessionRef& session : sessions) bytes += session->buffered();
  }
  metrics_.SetMaterialStock(static_cast<int64_t>(count), bytes);
}

void DealerService::Watch() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopped_ || !sessions_.empty()) {
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kWatchInterval));
    const absl::Time expired = SteadyNow() - options_.idle_timeout;
    std::vector<SessionRef> ended;
    for (auto at = sessions_.begin(); at != sessions_.end();) {
      const SessionRef& session = at->second;
      if (!session->taken() && session->handed_out < expired) {
        session->Abort(absl::DeadlineExceededError(
            "the parties did not fetch the session's material in time"));
      }
      session->AbortHalf(options_.transport.accept_timeout);
      // What was dealt and not yet fetched stays, unless it has failed.
      if (session->dealt && (session->taken() || !session->status().ok())) {
        ended.push_back(session);
        at = sessions_.erase(at);
      } else {
        ++at;
      }
    }
    ReportStock();
    lock.unlock();
    for (const SessionRef& session : ended) session->thread.join();
    ended.clear();
    lock.lock();
    changed_.notify_all();
  }
}

void DealerService::Drain(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  draining_ = true;
  for (const auto& [key, sessions] : ready_) {
    for (const SessionRef& session : sessions) {
      session->Abort(absl::UnavailableError("the dealer is shutting down"));
    }
  }
  ready_.clear();
  ready_order_.clear();
  while (!sessions_.empty() && SteadyNow() < deadline) {
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kWatchInterval));
  }
}

void DealerService::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    draining_ = stopped_ = true;
    ready_.clear();
    ready_order_.clear();
    for (const auto& [id, session] : sessions_) {
      session->Abort(absl::UnavailableError("the dealer is shutting down"));
    }
    changed_.notify_all();
  }
  if (watch_.joinable()) watch_.join();
}

}  // namespace tacit
