#include "services/transport/peer_channel.h"

#include <grpcpp/create_channel.h>

#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/transport/peer_link.h"

namespace tacit {
namespace {

constexpr char kExchange[] = "/tacit.v1.PartyService/Exchange";
constexpr char kExchangeStripe[] = "/tacit.v1.PartyService/ExchangeStripe";
constexpr char kSessionKey[] = "tacit-session-bin";
constexpr char kStripeKey[] = "tacit-stripe";
constexpr char kStripesKey[] = "tacit-stripes";
constexpr char kFrameBytesKey[] = "tacit-frame-bytes";

// What party 0 says of a stream before its first frame.
struct StripeHello {
  SessionId session;
  int stripe;
  int stripes;
  uint64_t frame_bytes;
};

absl::Status ShuttingDown() {
  return absl::UnavailableError("the party is shutting down");
}

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

absl::StatusOr<uint64_t> Number(const Metadata& metadata, const char* key,
                                uint64_t low, uint64_t high) {
  const auto it = metadata.find(key);
  uint64_t value;
  if (it == metadata.end() ||
      !absl::SimpleAtoi(absl::string_view(it->second.data(), it->second.size()),
                        &value) ||
      value < low || value > high) {
    return absl::InvalidArgumentError(absl::StrCat(
        "metadata ", key, " must be given, from ", low, " to ", high));
  }
  return value;
}

// Of stripe 0, or else of another: each has its method.
absl::StatusOr<StripeHello> ReadHello(const Metadata& metadata, bool first) {
  StripeHello hello;
  const auto session = metadata.find(kSessionKey);
  if (session == metadata.end() ||
      session->second.size() != hello.session.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("metadata ", kSessionKey, " must have ",
                     hello.session.size(), " bytes"));
  }
  std::memcpy(hello.session.data(), session->second.data(),
              hello.session.size());
  ASSIGN_OR_RETURN(hello.stripes,
                   Number(metadata, kStripesKey, 1, kMaxStripes));
  ASSIGN_OR_RETURN(hello.stripe, Number(metadata, kStripeKey, first ? 0 : 1,
                                        first ? 0 : hello.stripes - 1));
  ASSIGN_OR_RETURN(hello.frame_bytes, Number(metadata, kFrameBytesKey,
                                             kMinFrameBytes, kMaxFrameBytes));
  return hello;
}

void WriteHello(const StripeHello& hello, CallMetadata& metadata) {
  metadata.emplace_back(
      kSessionKey, std::string(hello.session.begin(), hello.session.end()));
  metadata.emplace_back(kStripeKey, absl::StrCat(hello.stripe));
  metadata.emplace_back(kStripesKey, absl::StrCat(hello.stripes));
  metadata.emplace_back(kFrameBytesKey, absl::StrCat(hello.frame_bytes));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PeerDialer>> PeerDialer::Create(
    const std::string& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const TransportOptions& options) {
  RETURN_IF_ERROR(CheckTransportOptions(options));
  std::unique_ptr<PeerDialer> dialer(new PeerDialer(options));
  for (int s = 0; s < options.stripes; ++s) {
    dialer->connections_.push_back(grpc::CreateCustomChannel(
        address, credentials,
        MakeChannelArguments(options, options.max_message_bytes)));
  }
  return dialer;
}

std::unique_ptr<Channel> PeerDialer::Dial(const SessionId& session,
                                          const CallMetadata& metadata) {
  auto link = std::make_shared<PeerLink>(options_.stripes, options_.frame_bytes,
                                         options_.timeout, reaper_);
  bool connected = true;
  for (int s = 0; s < options_.stripes; ++s) {
    connected = connected && AwaitConnection(*connections_[s]);
    CallMetadata hello = metadata;
    WriteHello({session, s, options_.stripes, options_.frame_bytes}, hello);
    if (s == 0) {
      const PolledStream first = StartPolledClientStream(
          link, s, options_.linger, connections_[s], kExchange, hello);
      link->Attach(s, first.stream, first.queue);
    } else {
      link->Attach(s,
                   StartClientStream(link, s, options_.linger, connections_[s],
                                     kExchangeStripe, hello));
    }
  }
  return MakePeerChannel(std::move(link));
}

struct PeerRegistry::State {
  explicit State(const TransportOptions& options) : options(options) {}

  // A session that is waited for here, or whose streams wait.
  struct Waiting {
    std::shared_ptr<PeerLink> link;  // from the first stream on
    bool wanted = false;             // by Accept
    absl::Status withdrawn;
    std::unique_ptr<grpc::Alarm> expiry;  // of streams that nobody wants
  };

  // The link that a stream belongs to and has to be attached to. Requires
  // mutex.
  absl::StatusOr<std::shared_ptr<PeerLink>> LinkFor(const StripeHello& hello);
  // After a stream was attached. Requires mutex.
  static void Attached(const std::shared_ptr<State>& state,
                       const SessionId& session);
  // Whether a link of the session has not ended yet. Requires mutex.
  bool InUse(const SessionId& session);
  // Ends streams that wait; if somebody wants them, only with `also_wanted`.
  void Drop(const SessionId& session, const absl::Status& status,
            bool also_wanted);

  const TransportOptions options;
  const std::shared_ptr<StreamReaper> reaper = std::make_shared<StreamReaper>();
  std::mutex mutex;
  std::condition_variable changed;
  // Below: guarded by mutex.
  bool shut_down = false;
  std::map<SessionId, Waiting> waiting;
  std::map<SessionId, std::weak_ptr<PeerLink>> in_use;
};

bool PeerRegistry::State::InUse(const SessionId& session) {
  std::erase_if(in_use,
                [](const auto& entry) { return entry.second.expired(); });
  return in_use.contains(session);
}

absl::StatusOr<std::shared_ptr<PeerLink>> PeerRegistry::State::LinkFor(
    const StripeHello& hello) {
  if (shut_down) return ShuttingDown();
  if (InUse(hello.session)) {
    return absl::AlreadyExistsError("the session has all its streams already");
  }
  if (!waiting.contains(hello.session) &&
      waiting.size() >= options.max_waiting_sessions) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting.size(), " sessions wait here already"));
  }
  Waiting& entry = waiting[hello.session];
  if (entry.link == nullptr) {
    entry.link = std::make_shared<PeerLink>(hello.stripes, hello.frame_bytes,
                                            options.timeout, reaper);
  }
  if (entry.link->stripes() != hello.stripes ||
      entry.link->frame_bytes() != hello.frame_bytes) {
    return absl::InvalidArgumentError(
        "the session's streams differ in tacit-stripes or tacit-frame-bytes");
  }
  if (entry.link->attached(hello.stripe)) {
    return absl::AlreadyExistsError(
        absl::StrCat("the session has its stripe ", hello.stripe, " already"));
  }
  return entry.link;
}

void PeerRegistry::State::Attached(const std::shared_ptr<State>& state,
                                   const SessionId& session) {
  Waiting& entry = state->waiting[session];
  if (!entry.wanted && entry.expiry == nullptr) {
    entry.expiry = CallLater(
        state->options.accept_timeout, [weak = std::weak_ptr(state), session] {
          if (const auto state = weak.lock()) {
            state->Drop(session,
                        absl::NotFoundError("nobody wants this session here"),
                        /*also_wanted=*/false);
          }
        });
  }
  state->changed.notify_all();
}

void PeerRegistry::State::Drop(const SessionId& session,
                               const absl::Status& status, bool also_wanted) {
  Waiting dropped;
  {
    std::lock_guard<std::mutex> lock(mutex);
    const auto it = waiting.find(session);
    if (it == waiting.end() || (it->second.wanted && !also_wanted)) return;
    if (it->second.wanted) {
      it->second.withdrawn = status;
      changed.notify_all();
      return;
    }
    dropped = std::move(it->second);
    waiting.erase(it);
  }
  if (dropped.link != nullptr) dropped.link->Abort(status);
}

PeerRegistry::PeerRegistry(const TransportOptions& options)
    : state_(std::make_shared<State>(options)) {}

PeerRegistry::~PeerRegistry() { Shutdown(); }

void PeerRegistry::Finish() { state_->reaper->Finish(); }

BidiReactor* PeerRegistry::Handle(grpc::CallbackServerContext* context) {
  const absl::StatusOr<StripeHello> hello =
      ReadHello(context->client_metadata(), /*first=*/false);
  if (!hello.ok()) return RefuseBidi(hello.status());
  std::lock_guard<std::mutex> lock(state_->mutex);
  const auto link = state_->LinkFor(*hello);
  if (!link.ok()) return RefuseBidi(link.status());
  const auto [stream, reactor] =
      StartServerBidi(*link, hello->stripe, state_->options.linger, context);
  (*link)->Attach(hello->stripe, stream);
  State::Attached(state_, hello->session);
  return reactor;
}

void PeerRegistry::Handle(IncomingStream& incoming) {
  const absl::StatusOr<StripeHello> hello =
      ReadHello(incoming.context().client_metadata(), /*first=*/true);
  if (!hello.ok()) {
    return state_->reaper->Add(incoming.Refuse(hello.status()));
  }
  std::lock_guard<std::mutex> lock(state_->mutex);
  const auto link = state_->LinkFor(*hello);
  if (!link.ok()) return state_->reaper->Add(incoming.Refuse(link.status()));
  const PolledStream first =
      incoming.Accept(*link, hello->stripe, state_->options.linger);
  (*link)->Attach(hello->stripe, first.stream, first.queue);
  State::Attached(state_, hello->session);
}

absl::StatusOr<std::unique_ptr<Channel>> PeerRegistry::Accept(
    const SessionId& session, absl::Duration timeout) {
  State::Waiting taken;
  absl::Status status;
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    if (state_->shut_down) {
      return ShuttingDown();
    }
    if (state_->InUse(session) || state_->waiting[session].wanted) {
      return absl::AlreadyExistsError("the session is in use");
    }
    State::Waiting& entry = state_->waiting[session];
    entry.wanted = true;
    const auto complete = [&] {
      return entry.link != nullptr && entry.link->complete();
    };
    const bool in_time =
        state_->changed.wait_for(lock, absl::ToChronoNanoseconds(timeout), [&] {
          return complete() || !entry.withdrawn.ok() || state_->shut_down;
        });
    status = entry.withdrawn;
    if (status.ok() && state_->shut_down) {
      status = ShuttingDown();
    } else if (status.ok() && !in_time) {
      status = absl::DeadlineExceededError(absl::StrCat(
          "party 0 has not come within ", absl::FormatDuration(timeout)));
    }
    taken = std::move(entry);
    state_->waiting.erase(session);
    if (status.ok()) state_->in_use[session] = taken.link;
  }
  if (status.ok()) return MakePeerChannel(std::move(taken.link));
  if (taken.link != nullptr) taken.link->Abort(status);
  return status;
}

void PeerRegistry::Withdraw(const SessionId& session,
                            const absl::Status& status) {
  state_->Drop(session, status, /*also_wanted=*/true);
}

void PeerRegistry::Shutdown() {
  std::vector<SessionId> sessions;
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->shut_down = true;
    for (const auto& entry : state_->waiting) sessions.push_back(entry.first);
    state_->changed.notify_all();
  }
  for (const SessionId& session : sessions) {
    state_->Drop(session, ShuttingDown(), /*also_wanted=*/false);
  }
}

PeerService::PeerService(PeerRegistry& registry)
    : registry_(registry),
      acceptor_(*this, [this](std::shared_ptr<IncomingStream> incoming) {
        registry_.Handle(*incoming);
      }) {}

void PeerService::AddTo(grpc::ServerBuilder& builder) {
  builder.RegisterService(this);
  acceptor_.AddTo(builder);
}

void PeerService::Finish() {
  acceptor_.Shutdown();
  registry_.Shutdown();
  registry_.Finish();
}

BidiReactor* PeerService::ExchangeStripe(grpc::CallbackServerContext* context) {
  return registry_.Handle(context);
}

}  // namespace tacit
