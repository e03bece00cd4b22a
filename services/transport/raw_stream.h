// One gRPC stream of raw messages, from either end, as a small state machine.
//
// Built on gRPC's callback API: by measurement it is as fast as a thread for
// each direction of each stream, and needs no such threads. A handler gets the
// events; it may call the stream from inside them.
#ifndef TACIT_SERVICES_TRANSPORT_RAW_STREAM_H_
#define TACIT_SERVICES_TRANSPORT_RAW_STREAM_H_

#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tacit {

// Calls `call` on one of gRPC's threads after `delay` of monotonic time, unless
// the alarm is destroyed before. It may hold no strong reference to the
// alarm's owner.
std::unique_ptr<grpc::Alarm> CallLater(absl::Duration delay,
                                       std::function<void()> call);

// Thread-safe. Kept alive by gRPC until the stream is over.
class RawStream : public std::enable_shared_from_this<RawStream> {
 public:
  // Called from gRPC's threads, which must not be blocked. `tag` tells the
  // streams of one handler apart.
  class Handler {
   public:
    virtual ~Handler() = default;
    // The message that Read asked for; may be swapped away.
    virtual void OnMessage(int tag, grpc::ByteBuffer& message) = 0;
    // The last Write has left; the next may follow.
    virtual void OnWritten(int tag) = 0;
    // OK: the peer sends no more (it has half-closed, or finished with OK).
    // Otherwise the stream is dead; at the server always CANCELLED. Called once
    // with an error at most, perhaps after once with OK.
    virtual void OnEnd(int tag, const absl::Status& status) = 0;
  };

  virtual ~RawStream() = default;

  // Asks for the next message. No second Read before OnMessage.
  void Read();
  // No second Write or HalfClose before OnWritten.
  void Write(grpc::ByteBuffer message);
  // Client: tells the server that no message follows; once. Reads go on.
  void HalfClose();
  // Ends the stream after a Write under way; Read and Write do nothing from
  // then on. A server finishes with `status`. A client sends `last`, if valid,
  // half-closes and waits for the server to finish. Cancels by itself if that
  // takes longer than `linger`. Only the first call counts.
  void Close(const absl::Status& status, grpc::ByteBuffer last = {});
  // Ends the stream at once, in both directions. Close must follow or have
  // been called.
  void Cancel();
  // Whether it is over at both ends, and nothing of it is under way.
  bool done();

 protected:
  RawStream(std::shared_ptr<Handler> handler, int tag, absl::Duration linger,
            bool is_client)
      : handler_(std::move(handler)),
        tag_(tag),
        linger_(linger),
        is_client_(is_client) {}

  void Started();

  virtual void DoRead(grpc::ByteBuffer* message) = 0;
  // Without a message: half-closes.
  virtual void DoWrite(const grpc::ByteBuffer* message) = 0;
  // The last call into gRPC. `reading`: a read is under way.
  virtual void DoClose(bool reading) = 0;
  virtual void DoCancel() = 0;

  // What reactors hear. HandleRead returns whether to read on and discard.
  bool HandleRead(bool ok);
  void HandleWrite(bool ok);
  void HandleEnd(const absl::Status& status);
  void HandleDone();
  // Whether DoClose has been or is being called.
  bool closed();

  // For DoClose only, when nothing else uses them.
  absl::Status close_status_;
  grpc::ByteBuffer last_;
  grpc::ByteBuffer in_;

 private:
  // The peer is gone or has finished, as seen by a read or a write.
  virtual void HandleBroken() = 0;

  // Whether to call DoClose now. Requires mutex_.
  bool TakeClose();
  // After a call into gRPC that was made without the mutex.
  void Issued();

  std::shared_ptr<Handler> handler_;  // until HandleDone
  const int tag_;
  const absl::Duration linger_;
  // A client's context outlives the call; a server's does not.
  const bool is_client_;
  std::shared_ptr<RawStream> self_;  // from Started to HandleDone

  std::mutex mutex_;
  // Below: guarded by mutex_. Nothing is issued once closed_ is set, since
  // then gRPC may end and forget the stream at any time.
  int issuing_ = 0;  // threads inside DoRead, DoWrite or DoCancel
  bool reading_ = false;
  bool writing_ = false;
  bool closing_ = false;
  bool closed_ = false;
  bool done_ = false;
  bool ended_ = false;    // OnEnd was called with OK
  bool failed_ = false;   // with an error
  grpc::ByteBuffer out_;  // of the write under way
  std::unique_ptr<grpc::Alarm> linger_alarm_;
};

// Waits for up to three quarters of a second for a channel to be connected, and
// says whether it is. Where threads poll their own streams (PollOwnConnections)
// nobody else drives a connection that was lost, and calls do not wait for one:
// do it before a call.
bool AwaitConnection(grpc::Channel& channel);

using CallMetadata = std::vector<std::pair<std::string, std::string>>;

// The calling end of `method` ("/package.Service/Method"), begun.
std::shared_ptr<RawStream> StartClientStream(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    std::shared_ptr<grpc::Channel> channel, const std::string& method,
    const CallMetadata& metadata);

using BidiReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;
using WriteReactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

// The answering end, for methods that are bidirectional or stream replies:
// `reactor` is what a handler returns to gRPC.
template <typename Reactor>
struct ServerStart {
  std::shared_ptr<RawStream> stream;
  Reactor* reactor;
};
ServerStart<BidiReactor> StartServerBidi(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    grpc::CallbackServerContext* context);
ServerStart<WriteReactor> StartServerWriter(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    grpc::CallbackServerContext* context);

// A stream that ends with `status` and nothing else: what a handler returns to
// refuse a call.
BidiReactor* RefuseBidi(const absl::Status& status);
WriteReactor* RefuseWrite(const absl::Status& status);

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_RAW_STREAM_H_
