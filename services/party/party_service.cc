#include "services/party/party_service.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/base/thread_pool.h"
#include "common/gates/party.h"
#include "services/party/observed.h"
#include "services/telemetry/log.h"
#include "services/transport/status.h"

namespace tacit {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(200);

// Those that one output decides.
int64_t TokensPerOutput(const ProgramShape& shape) {
  const auto* generation = std::get_if<GenerationShape>(&shape);
  return generation == nullptr
             ? 0
             : static_cast<int64_t>(generation->prompts.size());
}

}  // namespace

namespace {

// Bytes of a pass over texts of these lengths, `mlp` words for each element of
// the MLP, and of what any session has. Words for an entry of a one-hot row, an
// element of a hidden row in all its projections, and a score were measured in
// processes that serve texts of 128 to 256 tokens with two and six layers, and
// rounded up; classify_process_test and deployment_test hold them.
uint64_t PassMemory(const ModelConfig& c, std::span<const size_t> lengths,
                    uint64_t mlp, uint64_t material_buffer) {
  constexpr uint64_t kOneHot = 5, kHidden = 80, kScore = 28;
  constexpr uint64_t kSession = uint64_t{8} << 20;  // bytes
  const uint64_t row = kOneHot * c.vocab_size + mlp * c.intermediate_size +
                       kHidden * c.hidden_size;
  uint64_t words = 0;
  for (uint64_t length : lengths) {
    words += length * row + kScore * c.num_heads * length * length;
  }
  // Blocks come in sizes that lose up to a quarter (common/base/buffer.cc), and
  // what one thread has freed does not always serve another.
  const uint64_t bytes = words * sizeof(uint64_t);
  return kSession + material_buffer + bytes + bytes / 2;
}

}  // namespace

uint64_t SessionMemory(const DecoderPlan& plan, const GenerationShape& shape,
                       uint64_t material_buffer) {
  constexpr uint64_t kMlp = 48;  // two inputs of the product, where it is gated
  const ModelConfig& c = plan.config;
  uint64_t positions = 0;
  for (size_t prompt : shape.prompts) positions += prompt + shape.steps - 1;
  // Masked values and mask shares of keys and values.
  const uint64_t cache =
      positions * 4 * sizeof(uint64_t) *
      static_cast<uint64_t>(c.num_layers * c.num_kv_heads * c.head_dim);
  return cache + PassMemory(c, shape.prompts, kMlp, material_buffer);
}

uint64_t SessionMemory(const EncoderPlan& plan,
                       const ClassificationShape& shape,
                       uint64_t material_buffer) {
  constexpr uint64_t kMlp = 24;
  return PassMemory(plan.config, shape.lengths, kMlp, material_buffer);
}

uint64_t SessionMemory(const ModelPlan& plan, const ProgramShape& shape,
                       uint64_t material_buffer) {
  if (const auto* decoder = std::get_if<DecoderPlan>(&plan)) {
    return SessionMemory(*decoder, std::get<GenerationShape>(shape),
                         material_buffer);
  }
  return SessionMemory(std::get<EncoderPlan>(plan),
                       std::get<ClassificationShape>(shape), material_buffer);
}

// A session from its admission to its end.
struct PartyService::Running {
  std::unique_ptr<InferSession> session;
  TraceContext trace;
  SessionProgram program;
  uint64_t memory = 0;
  absl::Time since;
  int threads = 1;
  std::thread thread;

  // Ends it from outside, whatever it waits for; the first status counts.
  void Abort(const absl::Status& status) {
    std::lock_guard<std::mutex> lock(mutex);
    if (aborted.ok()) aborted = status;
    if (channel != nullptr) channel->Abort(status);
    if (material != nullptr) material->Abort(status);
  }

  std::mutex mutex;
  absl::Status aborted;
  std::unique_ptr<Channel> channel;
  std::unique_ptr<MaterialSource> material;
};

class PartyService::Inference final : public InferenceServiceBase {
 public:
  explicit Inference(PartyService& party) : party_(party) {}

  BidiReactor* Infer(grpc::CallbackServerContext* context) override {
    const absl::StatusOr<std::string> gateway = party_.peer_name_(*context);
    if (!gateway.ok()) return RefuseBidi(gateway.status());
    return AcceptInfer(
        context, party_.options_.transport,
        [this, name = *gateway, trace = TraceContext::Of(*context)](
            std::unique_ptr<InferSession> session) {
          party_.Admit(name, trace, std::move(session));
        });
  }

 private:
  PartyService& party_;
};

PartyService::PartyService(const ServedModel& model,
                           const PartyOptions& options, SessionLedger& ledger,
                           Metrics& metrics, PeerNameFn peer_name,
                           std::unique_ptr<PeerDialer> dialer,
                           std::unique_ptr<MaterialDialer> dealer)
    : model_(model),
      options_(options),
      ledger_(ledger),
      metrics_(metrics),
      peer_name_(std::move(peer_name)),
      dialer_(std::move(dialer)),
      dealer_(std::move(dealer)),
      registry_(options.transport),
      product_pool_(options.threads),
      products_(product_pool_),
      inference_(std::make_unique<Inference>(*this)),
      janitor_([this] { Join(); }) {}

PartyService::~PartyService() { Stop(); }

grpc::Service* PartyService::inference() { return inference_.get(); }

absl::StatusOr<SessionProgram> PartyService::Check(
    const InferSession& session) const {
  RETURN_IF_ERROR(CheckDigest(model_.digest, session.plan()));
  ASSIGN_OR_RETURN(SessionProgram program,
                   FromProto(session.shape(), options_.limits, model_.plan));
  const uint64_t memory = SessionMemory(model_.plan, program.shape,
                                        options_.transport.material_capacity);
  if (memory > options_.memory) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the session takes ", memory, " bytes; the limit of all ",
                     "sessions is ", options_.memory));
  }
  return program;
}

void PartyService::Admit(const std::string& gateway, const TraceContext& trace,
                         std::unique_ptr<InferSession> session) {
  absl::StatusOr<SessionProgram> program = Check(*session);
  if (!program.ok()) {
    metrics_.Rejected(RejectReason::kMalformed);
    LogEvent(LogLevel::kWarning, "session_refused")
        .Session(session->session())
        .Trace(trace.id())
        .Error(program.status());
    session->Finish(program.status());
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  absl::Status refused;
  if (draining_) {
    refused = absl::UnavailableError("the party is shutting down");
  } else if (waiting_count_ >= options_.queue_length) {
    refused = absl::ResourceExhaustedError(
        absl::StrCat(waiting_count_, " sessions wait: try again later"));
  }
  if (!refused.ok()) {
    metrics_.Rejected(RejectReason::kOverload);
    session->Finish(refused);
    return;
  }
  const uint64_t memory = SessionMemory(model_.plan, program->shape,
                                        options_.transport.material_capacity);
  waiting_[gateway].push_back(
      {std::move(session), trace, *std::move(program), memory, SteadyNow()});
  ++waiting_count_;
  StartWaiting();
}

void PartyService::StartWaiting() {
  while (!draining_ && waiting_count_ > 0 &&
         running_.size() < options_.max_sessions && StartNext()) {
  }
  metrics_.SetQueue(static_cast<int64_t>(waiting_count_));
  metrics_.SetMemory(memory_);
}

bool PartyService::StartNext() {
  // The gateway after the one that was served last.
  auto next = waiting_.upper_bound(turn_);
  if (next == waiting_.end()) next = waiting_.begin();
  Waiting& waiting = next->second.front();
  if (memory_ + waiting.memory > options_.memory) return false;
  const SessionId id = waiting.session->session();
  auto running = std::make_shared<Running>();
  running->session = std::move(waiting.session);
  running->trace = std::move(waiting.trace);
  running->program = std::move(waiting.program);
  running->memory = waiting.memory;
  running->since = waiting.since;
  turn_ = next->first;
  next->second.pop_front();
  if (next->second.empty()) waiting_.erase(next);
  --waiting_count_;
  if (!running_.emplace(id, running).second) {
    metrics_.Rejected(RejectReason::kReplay);
    running->session->Finish(
        absl::AlreadyExistsError("the session is running here"));
    return true;
  }
  memory_ += running->memory;
  running->threads =
      std::max(1, options_.threads / static_cast<int>(running_.size()));
  metrics_.SessionStarted();
  metrics_.Observe(Phase::kQueue, SteadyNow() - running->since);
  running->thread = std::thread([this, running] { Run(running); });
  return true;
}

absl::StatusOr<std::unique_ptr<Channel>> PartyService::Connect(
    const SessionId& session) {
  const PhaseTimer timer(metrics_, Phase::kConnect);
  if (options_.party == 0) return dialer_->Dial(session);
  return registry_.Accept(session, options_.connect);
}

absl::Status PartyService::RunProgram(Running& running) {
  InferSession& session = *running.session;
  const SessionId id = session.session();
  session.OnCancel([this, &running, id] {
    const absl::Status gone = absl::CancelledError("the gateway has left");
    running.Abort(gone);
    if (options_.party == 1) registry_.Withdraw(id, gone);
  });
  ASSIGN_OR_RETURN(std::unique_ptr<Channel> channel, Connect(id));
  std::unique_ptr<MaterialSource> source = dealer_->Open(id, options_.party);
  {
    std::lock_guard<std::mutex> lock(running.mutex);
    RETURN_IF_ERROR(running.aborted);
    running.channel = std::move(channel);
    running.material = std::move(source);
  }
  ThreadPool pool(running.threads);
  ObservedChannel peer(*running.channel, metrics_);
  ObservedSource material(*running.material);
  ObservedLink gateway(session, material, metrics_,
                       TokensPerOutput(running.program.shape));
  std::unique_ptr<Accelerator> accelerator;
  auto create = [&]() -> absl::StatusOr<std::unique_ptr<PartyEvaluator>> {
    ASSIGN_OR_RETURN(accelerator,
                     MakeAccelerator(options_.accelerator, options_.party));
    return PartyEvaluator::Create({options_.party, id, model_.digest,
                                   running.program.rounding, accelerator.get()},
                                  peer, material, ledger_, gateway, pool);
  };
  auto ev = create();
  absl::Status status = ev.status();
  if (ev.ok()) {
    if (accelerator == nullptr) (*ev)->ShareProducts(products_);
    RunModelProgram(**ev, model_.plan, model_.matrices, running.program.shape);
    status = (*ev)->Finish();
  }
  if (!status.ok()) {
    running.channel->Abort(status);
    running.material->Abort(status);
  }
  const Traffic& traffic = running.channel->traffic();
  metrics_.AddRounds(static_cast<int64_t>(traffic.rounds));
  metrics_.AddOpenedBytes(Direction::kSent, traffic.sent_bytes);
  metrics_.AddMaterialBytes(Direction::kReceived, running.material->bytes());
  metrics_.SetProducts(products_.stats());
  return status;
}

void PartyService::Run(const std::shared_ptr<Running>& running) {
  const absl::Time start = SteadyNow();
  const SessionId id = running->session->session();
  absl::Status status = RunProgram(*running);
  // A gateway that wants no more is an end like any other.
  const bool stopped = absl::IsCancelled(status);
  running->session->Finish(stopped ? absl::OkStatus() : status);
  metrics_.AddTokens(TokenKind::kPrompt,
                     static_cast<int64_t>(InputTokens(running->program.shape)));
  metrics_.SessionEnded(status);
  metrics_.Observe(Phase::kRequest, SteadyNow() - start);
  LogEvent(LogLevel::kInfo, "session_ended")
      .Session(id)
      .Trace(running->trace.id())
      .Elapsed("seconds", SteadyNow() - start)
      .Error(status);
  std::lock_guard<std::mutex> lock(mutex_);
  memory_ -= running->memory;
  running_.erase(id);
  ended_.push_back(running);
  StartWaiting();
  changed_.notify_all();
}

// Joins the threads of sessions that have ended.
void PartyService::Join() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopped_ || !running_.empty() || !ended_.empty()) {
    changed_.wait(lock, [this] {
      return !ended_.empty() || (stopped_ && running_.empty());
    });
    const std::vector<std::shared_ptr<Running>> ended = std::move(ended_);
    ended_.clear();
    lock.unlock();
    for (const std::shared_ptr<Running>& running : ended) {
      running->thread.join();
    }
    lock.lock();
  }
}

void PartyService::Refuse(const absl::Status& status) {
  for (auto& [gateway, sessions] : waiting_) {
    for (Waiting& waiting : sessions) waiting.session->Finish(status);
  }
  waiting_.clear();
  waiting_count_ = 0;
}

void PartyService::Drain(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  draining_ = true;
  Refuse(absl::UnavailableError("the party is shutting down"));
  while (!running_.empty() && SteadyNow() < deadline) {
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kPoll));
  }
}

void PartyService::Stop() {
  registry_.Shutdown();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const absl::Status status =
        absl::UnavailableError("the party is shutting down");
    draining_ = stopped_ = true;
    Refuse(status);
    for (const auto& [id, running] : running_) running->Abort(status);
    changed_.notify_all();
  }
  if (janitor_.joinable()) janitor_.join();
  peer_.Finish();
}

}  // namespace tacit
