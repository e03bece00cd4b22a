// The two ends of a call as reactors of gRPC's callback API. They do nothing
// but forward to RawStream and back: this file is compiled without
// ThreadSanitizer, which would see gRPC's templates without the locks in its
// library.
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "services/transport/raw_stream.h"
#include "services/transport/status.h"

namespace tacit {
namespace {

// gRPC ends the threads of callbacks with the last channel that uses them, and
// waits for them. A stream may be the last to hold a channel and end in such a
// thread, which would wait for itself. A channel that is never destroyed, nor
// connected, keeps the threads.
void KeepCallbackThreads() {
  struct Keeper {
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub{
        grpc::CreateChannel("", nullptr)};
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request{&nothing, 1}, response;
  };
  // Marked as used, else leak checkers do not find it.
  [[gnu::used]] static Keeper* keeper = [] {
    auto* made = new Keeper;
    made->stub.UnaryCall(&made->context, "/tacit/Keep", {}, &made->request,
                         &made->response, [](const grpc::Status&) {});
    return made;
  }();
}

class ClientStream final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public RawStream {
 public:
  ClientStream(std::shared_ptr<Handler> handler, int tag, absl::Duration linger,
               std::shared_ptr<grpc::Channel> channel);

  void Start(const std::string& method, const CallMetadata& metadata);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override { HandleWrite(ok); }
  void OnWritesDoneDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  void DoRead(grpc::ByteBuffer* message) override { StartRead(message); }
  void DoWrite(const grpc::ByteBuffer* message) override;
  void DoClose(bool reading) override;
  void DoCancel() override { context_.TryCancel(); }
  // The status comes with OnDone, which waits for the hold to go.
  void HandleBroken() override { Close(absl::OkStatus()); }

  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub_;
  grpc::ClientContext context_;
  // Set by DoWrite, read by DoClose, which comes after it.
  bool half_closed_ = false;
};

template <typename Reactor>
class ServerStream final : public Reactor, public RawStream {
 public:
  ServerStream(std::shared_ptr<Handler> handler, int tag, absl::Duration linger,
               grpc::CallbackServerContext* context)
      : RawStream(std::move(handler), tag, linger, /*is_client=*/false),
        context_(context) {
    // The caller learns at once that it was let in.
    this->StartSendInitialMetadata();
  }
  // The handler may return what this gives to gRPC.
  Reactor* Start() {
    Started();
    return this;
  }

 private:
  static constexpr bool kReads = requires(Reactor & r, grpc::ByteBuffer* b) {
    r.StartRead(b);
  };

  // Overrides where the reactor reads.
  void OnReadDone(bool ok) { HandleRead(ok); }  // NOLINT
  void OnWriteDone(bool ok) override { HandleWrite(ok); }
  void OnCancel() override {
    HandleEnd(absl::CancelledError("the caller has cancelled or is gone"));
  }
  void OnDone() override { HandleDone(); }

  void DoRead(grpc::ByteBuffer* message) override {
    if constexpr (kReads) this->StartRead(message);
  }
  void DoWrite(const grpc::ByteBuffer* message) override {
    if (message != nullptr) this->StartWrite(message);
  }
  void DoClose(bool) override { this->Finish(ToGrpcStatus(close_status_)); }
  void DoCancel() override { context_->TryCancel(); }
  // A lost caller is told by OnCancel; else it has half-closed.
  void HandleBroken() override {
    if (!context_->IsCancelled()) HandleEnd(absl::OkStatus());
  }

  grpc::CallbackServerContext* const context_;
};

ClientStream::ClientStream(std::shared_ptr<Handler> handler, int tag,
                           absl::Duration linger,
                           std::shared_ptr<grpc::Channel> channel)
    : RawStream(std::move(handler), tag, linger, /*is_client=*/true),
      stub_(std::move(channel)) {
  KeepCallbackThreads();
}

void ClientStream::Start(const std::string& method,
                         const CallMetadata& metadata) {
  for (const auto& [key, value] : metadata) context_.AddMetadata(key, value);
  stub_.PrepareBidiStreamingCall(&context_, method, {}, this);
  Started();
  // Reads and writes are issued outside of reactions until Close.
  AddHold();
  StartCall();
}

void ClientStream::OnReadDone(bool ok) {
  if (HandleRead(ok)) StartRead(&in_);
}

void ClientStream::OnWritesDoneDone(bool ok) { HandleWrite(ok); }

void ClientStream::DoWrite(const grpc::ByteBuffer* message) {
  if (message != nullptr) return StartWrite(message);
  half_closed_ = true;
  StartWritesDone();
}

void ClientStream::OnDone(const grpc::Status& status) {
  HandleEnd(FromGrpcStatus(status));
  HandleDone();
}

void ClientStream::DoClose(bool reading) {
  if (half_closed_) {
    // Nothing more can be said.
  } else if (last_.Valid()) {
    StartWriteLast(&last_, grpc::WriteOptions());
  } else {
    StartWritesDone();
  }
  // The server's status comes behind all of its messages.
  if (!reading) StartRead(&in_);
  RemoveHold();
}

template <typename Reactor>
class Refusal final : public Reactor {
 public:
  explicit Refusal(const absl::Status& status) {
    this->Finish(ToGrpcStatus(status));
  }
  void OnDone() override { delete this; }
};

template <typename Reactor>
ServerStart<Reactor> StartServer(std::shared_ptr<RawStream::Handler> handler,
                                 int tag, absl::Duration linger,
                                 grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<ServerStream<Reactor>>(std::move(handler), tag,
                                                        linger, context);
  return {stream, stream->Start()};
}

}  // namespace

std::shared_ptr<RawStream> StartClientStream(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    std::shared_ptr<grpc::Channel> channel, const std::string& method,
    const CallMetadata& metadata) {
  auto stream = std::make_shared<ClientStream>(std::move(handler), tag, linger,
                                               std::move(channel));
  stream->Start(method, metadata);
  return stream;
}

ServerStart<BidiReactor> StartServerBidi(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    grpc::CallbackServerContext* context) {
  return StartServer<BidiReactor>(std::move(handler), tag, linger, context);
}

ServerStart<WriteReactor> StartServerWriter(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    grpc::CallbackServerContext* context) {
  return StartServer<WriteReactor>(std::move(handler), tag, linger, context);
}

BidiReactor* RefuseBidi(const absl::Status& status) {
  return new Refusal<BidiReactor>(status);
}

WriteReactor* RefuseWrite(const absl::Status& status) {
  return new Refusal<WriteReactor>(status);
}

}  // namespace tacit
