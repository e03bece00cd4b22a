// Between a gateway and a party over gRPC: proto/tacit/v1/inference.proto.
//
// Masked inputs go one way, output shares the other. Messages are checked
// against the size the receiver's program expects before memory is taken, and
// wiped after use.
#ifndef TACIT_SERVICES_TRANSPORT_INFER_STREAM_H_
#define TACIT_SERVICES_TRANSPORT_INFER_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/gates/party.h"
#include "common/gates/session.h"
#include "services/transport/options.h"
#include "services/transport/peer_channel.h"
#include "services/transport/raw_stream.h"
#include "tacit/v1/inference.pb.h"

namespace tacit {

// A party's end. Receive and Send are for one thread, the rest is thread-safe.
//
// Receive, beyond party.h: INVALID_ARGUMENT for a malformed input or one out of
// turn; DEADLINE_EXCEEDED if the gateway is silent for options.timeout;
// CANCELLED if it has half-closed, cancelled or is gone. Send returns
// CANCELLED likewise, but not after a mere half-close, and DEADLINE_EXCEEDED if
// the gateway does not take the output before.
class InferSession : public GatewayLink {
 public:
  ~InferSession() override;  // Finish with INTERNAL, if nobody has

  SessionId session() const;
  PlanDigest plan() const;
  // As the gateway sent it: unchecked, except for being there.
  const v1::SessionShape& shape() const;

  absl::StatusOr<Words> Receive(size_t n, int width) override;
  absl::Status Send(Words share, int width) override;

  // Calls `cancelled` once, from one of gRPC's threads or from here, when the
  // gateway cancels or is lost before Finish. It must not block. This is what
  // makes a cancel reach a party that waits for its peer or the dealer: abort
  // channel and material in it. Replaces the last one, nullptr by none, and
  // waits for it if it runs: what it refers to may go afterwards.
  void OnCancel(std::function<void()> cancelled);

  // Ends the call once outputs have left, and OnCancel(nullptr). The first
  // status counts.
  void Finish(const absl::Status& status);

 private:
  struct State;
  explicit InferSession(std::shared_ptr<State> state)
      : state_(std::move(state)) {}
  friend BidiReactor* AcceptInfer(
      grpc::CallbackServerContext*, const TransportOptions&,
      std::function<void(std::unique_ptr<InferSession>)>);

  const std::shared_ptr<State> state_;
};

// The body of InferenceService.Infer (raw callback method), after the caller
// was found to be a gateway. Calls `on_start` on one of gRPC's threads once the
// start has come; it must not block but hand the session to a thread of its
// own. Ends the call by itself with INVALID_ARGUMENT if the start is malformed
// and DEADLINE_EXCEEDED if it does not come in options.accept_timeout.
BidiReactor* AcceptInfer(
    grpc::CallbackServerContext* context, const TransportOptions& options,
    std::function<void(std::unique_ptr<InferSession>)> on_start);

// A gateway's call to one party. SendInput and ReceiveShare may be used by a
// thread each; Cancel by any.
class InferCall {
 public:
  ~InferCall();  // Cancel

  // Sends the next input: words modulo 2^width, masked. Does not wait.
  // Errors: those of ReceiveShare, if the call has ended.
  absl::Status SendInput(std::span<const uint64_t> hat, int width);

  // The party's share of the next output: n words modulo 2^width, SECRET.
  // Errors: DATA_LOSS, with both sizes, if the party sent something else;
  //   DEADLINE_EXCEEDED if it is silent for `timeout`; UNAVAILABLE if it is
  //   gone; what it ended the call with; what Cancel was given.
  absl::StatusOr<Words> ReceiveShare(size_t n, int width,
                                     absl::Duration timeout);

  // Half-closes and waits for the party's status. DATA_LOSS if it has sent more
  // outputs than were received.
  absl::Status Finish(absl::Duration timeout);

  void Cancel(const absl::Status& status);

 private:
  struct State;
  friend class InferDialer;
  explicit InferCall(std::shared_ptr<State> state) : state_(std::move(state)) {}

  const std::shared_ptr<State> state_;
};

// A gateway's connection to one party. Thread-safe.
class InferDialer {
 public:
  InferDialer(const std::string& address,
              const std::shared_ptr<grpc::ChannelCredentials>& credentials,
              const TransportOptions& options);

  // Begins a session at the party. Returns at once.
  std::unique_ptr<InferCall> Start(const SessionId& session,
                                   const PlanDigest& plan,
                                   const v1::SessionShape& shape,
                                   const CallMetadata& metadata = {});

 private:
  const TransportOptions options_;
  const std::shared_ptr<grpc::Channel> connection_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_INFER_STREAM_H_
