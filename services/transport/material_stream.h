// Material from the dealer to a party over gRPC: proto/tacit/v1/dealer.proto.
//
// Bounded at both ends and backpressured through HTTP/2 flow control; buffers
// are wiped when their bytes have left or were used. At the dealer records are
// written where gRPC sends them from; at a party they are copied once.
#ifndef TACIT_SERVICES_TRANSPORT_MATERIAL_STREAM_H_
#define TACIT_SERVICES_TRANSPORT_MATERIAL_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server_context.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/channel/channel.h"
#include "common/gates/session.h"
#include "services/transport/options.h"
#include "services/transport/peer_channel.h"
#include "services/transport/raw_stream.h"

namespace tacit {

// The dealer's side of one party's stream of one session: the dealing fills it
// through a sink, and the party's call, whenever it comes, empties it.
// Thread-safe.
class MaterialOutbox {
 public:
  // Holds at most options.material_capacity bytes, or one record.
  explicit MaterialOutbox(const TransportOptions& options);
  ~MaterialOutbox();  // Abort, if nobody took the stream

  // For the dealing; once. Beyond channel.h: Commit ends with the status of
  // Abort, and with UNAVAILABLE if the party's call ends. The sink may go
  // before the stream is sent; a sink that goes before Finish aborts it.
  std::unique_ptr<MaterialSink> MakeSink();

  // The body of DealerService.StreamMaterial (raw callback method), after the
  // caller was found to be the party. Refuses a second call with
  // ALREADY_EXISTS, with or without the first one's success. Never blocks.
  WriteReactor* Handle(grpc::CallbackServerContext* context);

  // Wipes what waits and ends both sides with `status`.
  void Abort(const absl::Status& status);

  bool taken() const;             // whether Handle was called
  size_t buffered_bytes() const;  // committed, not yet sent
  // Not OK: what it was aborted with, or UNAVAILABLE as the party's call ended.
  absl::Status status() const;

 private:
  struct State;
  class Sink;
  const std::shared_ptr<State> state_;
};

// A party's connection to the dealer. Thread-safe.
class MaterialDialer {
 public:
  // INVALID_ARGUMENT from CheckTransportOptions.
  static absl::StatusOr<std::unique_ptr<MaterialDialer>> Create(
      const std::string& address,
      const std::shared_ptr<grpc::ChannelCredentials>& credentials,
      const TransportOptions& options);

  // Begins to read a session's material, ahead of its use by at most
  // options.material_capacity bytes and a chunk. Returns soon; that the
  // dealer is out of reach or refuses is for the first Take to say. Beyond
  // channel.h: Take and Finish end with the dealer's status, and with DATA_LOSS
  // for a malformed or truncated stream. Spans are not aligned.
  std::unique_ptr<MaterialSource> Open(const SessionId& session, int party,
                                       const CallMetadata& metadata = {});

 private:
  MaterialDialer(const TransportOptions& options,
                 std::shared_ptr<grpc::Channel> connection)
      : options_(options), connection_(std::move(connection)) {}

  const TransportOptions options_;
  const std::shared_ptr<grpc::Channel> connection_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_MATERIAL_STREAM_H_
