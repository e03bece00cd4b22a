// The link between the parties over gRPC: proto/tacit/v1/party.proto.
//
// Party 0 dials, party 1 accepts. Either end's Channel behaves as
// common/channel/channel.h says; in addition an Exchange fails with
//   DATA_LOSS if a frame is malformed, repeated, reordered, or of another size
//     than both ends agreed on, before memory is taken for it;
//   what the peer aborted with, code and message;
//   what party 1 refused the streams with (see party.proto).
// The channel stays failed after any of these, and the peer is told. A peer
// that has left or whose connection is lost is UNAVAILABLE.
//
// A message is copied once at each end. Small messages are sent and taken in by
// the thread that exchanges (event_queue.h). Of large ones, other stripes go on
// from gRPC's threads meanwhile, and both directions run at once.
#ifndef TACIT_SERVICES_TRANSPORT_PEER_CHANNEL_H_
#define TACIT_SERVICES_TRANSPORT_PEER_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/channel/channel.h"
#include "common/gates/session.h"
#include "services/transport/event_queue.h"
#include "services/transport/options.h"
#include "services/transport/polled_streams.h"
#include "services/transport/raw_stream.h"
#include "services/transport/service_bases.h"

namespace tacit {

// Party 0's end. Holds one connection for each stripe, shared by all sessions
// and made when first used. Must outlive its channels. Thread-safe.
class PeerDialer {
 public:
  // INVALID_ARGUMENT from CheckTransportOptions.
  static absl::StatusOr<std::unique_ptr<PeerDialer>> Create(
      const std::string& address,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials,
      const TransportOptions& options);

  // A session's link. Returns at once if there is a connection, and soon if
  // there can be none; that the peer is out of reach or refuses is for the
  // first Exchange to say. `metadata` goes with each stream.
  std::unique_ptr<Channel> Dial(const SessionId& session,
                                const CallMetadata& metadata = {});

 private:
  explicit PeerDialer(const TransportOptions& options) : options_(options) {}

  const TransportOptions options_;
  const std::shared_ptr<StreamReaper> reaper_ =
      std::make_shared<StreamReaper>();
  std::vector<std::shared_ptr<grpc::Channel>> connections_;
};

// Party 1's end: brings together the streams of party 0 and whoever wants the
// session here, in either order. Must outlive its channels. Thread-safe.
class PeerRegistry {
 public:
  explicit PeerRegistry(const TransportOptions& options);
  ~PeerRegistry();  // as Shutdown

  // The body of PartyService.ExchangeStripe (raw callback method), after the
  // caller was found to be party 0. Never blocks.
  BidiReactor* Handle(grpc::CallbackServerContext* context);
  // Likewise of PartyService.Exchange.
  void Handle(IncomingStream& incoming);

  // Waits for all stripes of a session. Errors: DEADLINE_EXCEEDED if party 0
  //   does not come in `timeout`; ALREADY_EXISTS if the session is in use or
  //   waited for; what Withdraw gave; UNAVAILABLE after Shutdown.
  absl::StatusOr<std::unique_ptr<Channel>> Accept(const SessionId& session,
                                                  absl::Duration timeout);

  // Ends Accept of this session, and streams that wait for it, with `status`.
  // For a gateway that cancels.
  void Withdraw(const SessionId& session, const absl::Status& status);

  // Ends all waiting and refuses what comes. Links in use go on.
  void Shutdown();
  // After Shutdown, when all channels are gone and no stream can come: waits
  // until those that are being closed are over. gRPC wants that before their
  // server goes.
  void Finish();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

// Party 1's service for the link: what a server needs besides the registry.
class PeerService final : public PartyServiceBase {
 public:
  // `registry` must outlive the service.
  explicit PeerService(PeerRegistry& registry);

  BidiReactor* ExchangeStripe(grpc::CallbackServerContext* context) override;
  // To the builder of a server, which starts it once it serves.
  void AddTo(grpc::ServerBuilder& builder);
  void Start() { acceptor_.Start(); }
  // After the server's Shutdown, when all channels are gone, and before the
  // server goes.
  void Finish();

 private:
  PeerRegistry& registry_;
  StreamAcceptor acceptor_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_PEER_CHANNEL_H_
