// The two ends of a polled call. They do nothing but forward to RawStream and
// back: like grpc_streams.cc, this file is compiled without ThreadSanitizer.
#include "services/transport/polled_streams.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>

#include "services/transport/status.h"

namespace tacit {
namespace {

// What completes, as gRPC takes it and EventQueue::Poll takes it back.
void* Tag(EventQueue::Event& event) { return &event; }

// An operation of a stream; calls `happen` of its owner.
template <typename Owner>
class Operation final : public EventQueue::Event {
 public:
  Operation(Owner& owner, void (Owner::*happen)(bool))
      : owner_(owner), happen_(happen) {}
  void Happen(bool ok) override { (owner_.*happen_)(ok); }

 private:
  Owner& owner_;
  void (Owner::*const happen_)(bool);
};

// Counts operations under way, so that the end of the last one is known.
class Outstanding {
 public:
  void Add(int n) { count_ += n; }
  // Whether it was the last.
  bool Remove() { return --count_ == 0; }

 private:
  std::atomic<int> count_{0};
};

class PolledClient final : public RawStream {
 public:
  PolledClient(std::shared_ptr<Handler> handler, int tag, absl::Duration linger,
               std::shared_ptr<grpc::Channel> channel,
               std::shared_ptr<EventQueue> queue)
      : RawStream(std::move(handler), tag, linger, /*is_client=*/true),
        stub_(std::move(channel)),
        queue_(std::move(queue)) {}

  void Start(const std::string& method, const CallMetadata& metadata) {
    for (const auto& [key, value] : metadata) context_.AddMetadata(key, value);
    stream_ = stub_.PrepareCall(&context_, method, queue_->queue());
    Started();
    // The start, and the status: until it has come, no event is the last.
    outstanding_.Add(2);
    stream_->StartCall(Tag(started_));
  }

 private:
  using Op = Operation<PolledClient>;

  void DoRead(grpc::ByteBuffer* message) override {
    outstanding_.Add(1);
    reads_.Add(1);
    stream_->Read(message, Tag(read_));
  }
  void DoWrite(const grpc::ByteBuffer* message) override {
    outstanding_.Add(1);
    half_closed_ = message == nullptr;
    WhenStarted([this, message] {
      if (message != nullptr) {
        stream_->Write(*message, Tag(written_));
      } else {
        stream_->WritesDone(Tag(written_));
      }
    });
  }
  void DoClose(bool reading) override {
    if (!half_closed_) {
      outstanding_.Add(1);
      WhenStarted([this] {
        if (last_.Valid()) {
          stream_->WriteLast(last_, grpc::WriteOptions(), Tag(last_written_));
        } else {
          stream_->WritesDone(Tag(last_written_));
        }
      });
    }
    // The server's status comes behind all of its messages.
    if (!reading) DoRead(&in_);
  }
  // gRPC takes reads before the call has started, but no writes. No second
  // write is issued before the first has ended.
  void WhenStarted(std::function<void()> write) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!has_started_) {
        first_write_ = std::move(write);
        return;
      }
    }
    write();
  }
  void DoCancel() override { context_.TryCancel(); }
  // The status comes once the stream is closed.
  void HandleBroken() override { Close(absl::OkStatus()); }

  void OnStarted(bool) {
    std::function<void()> write;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      has_started_ = true;
      write = std::move(first_write_);
    }
    if (write) write();
    Remove();
  }
  void OnRead(bool ok) {
    if (HandleRead(ok)) DoRead(&in_);
    // Not while a read is under way: gRPC would take the initial metadata for
    // both, and calls that a misuse.
    if (reads_.Remove() && !ok && closed()) {
      stream_->Finish(&status_, Tag(finished_));
    }
    Remove();
  }
  void OnWritten(bool ok) {
    HandleWrite(ok);
    Remove();
  }
  void OnLastWritten(bool) { Remove(); }
  void OnFinished(bool) {
    HandleEnd(FromGrpcStatus(status_));
    Remove();
  }
  void Remove() {
    if (outstanding_.Remove()) HandleDone();
  }

  grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub_;
  const std::shared_ptr<EventQueue> queue_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>>
      stream_;
  grpc::Status status_;
  std::mutex mutex_;
  bool has_started_ = false;           // guarded by mutex_
  std::function<void()> first_write_;  // likewise: waits for the start
  // Set by DoWrite, read by DoClose, which comes after it.
  bool half_closed_ = false;
  Outstanding outstanding_;
  Outstanding reads_;
  Op started_{*this, &PolledClient::OnStarted};
  Op read_{*this, &PolledClient::OnRead};
  Op written_{*this, &PolledClient::OnWritten};
  Op last_written_{*this, &PolledClient::OnLastWritten};
  Op finished_{*this, &PolledClient::OnFinished};
};

// What belongs to gRPC for the length of a call at the server. The context
// must live until the call is over; the stream is made when it is answered.
struct ServerCall {
  grpc::ServerContext context;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream{
      &context};
  std::shared_ptr<EventQueue> queue = std::make_shared<EventQueue>();
};

// Where the end of a call is told, whoever answers it by then.
class CallEnd final : public EventQueue::Event {
 public:
  void Happen(bool) override {
    if (told_) told_();
  }
  // Before anybody polls the queue.
  void Tell(std::function<void()> told) { told_ = std::move(told); }

 private:
  std::function<void()> told_;
};

class PolledServer final : public RawStream {
 public:
  PolledServer(std::shared_ptr<Handler> handler, int tag, absl::Duration linger,
               std::unique_ptr<ServerCall> call, std::unique_ptr<CallEnd> end)
      : RawStream(std::move(handler), tag, linger, /*is_client=*/false),
        call_(std::move(call)),
        end_(std::move(end)) {
    end_->Tell([this] { OnCallEnd(); });
  }

  void Start() {
    Started();
    // The initial metadata: the caller learns at once that it was let in. And
    // Finish, and the end of the call: until both, no event is the last.
    outstanding_.Add(3);
    call_->stream.SendInitialMetadata(Tag(started_));
  }

 private:
  using Op = Operation<PolledServer>;

  void DoRead(grpc::ByteBuffer* message) override {
    outstanding_.Add(1);
    call_->stream.Read(message, Tag(read_));
  }
  void DoWrite(const grpc::ByteBuffer* message) override {
    if (message == nullptr) return;
    outstanding_.Add(1);
    call_->stream.Write(*message, Tag(written_));
  }
  void DoClose(bool) override {
    call_->stream.Finish(ToGrpcStatus(close_status_), Tag(finished_));
  }
  void DoCancel() override { call_->context.TryCancel(); }
  // A lost caller is told by the end of the call; else it has half-closed.
  void HandleBroken() override {
    if (!call_->context.IsCancelled()) HandleEnd(absl::OkStatus());
  }

  void OnStarted(bool) { Remove(); }
  void OnRead(bool ok) {
    HandleRead(ok);
    Remove();
  }
  void OnWritten(bool ok) {
    HandleWrite(ok);
    Remove();
  }
  void OnFinished(bool) { Remove(); }
  void OnCallEnd() {
    if (call_->context.IsCancelled()) {
      HandleEnd(absl::CancelledError("the caller has cancelled or is gone"));
    }
    Remove();
  }
  void Remove() {
    if (outstanding_.Remove()) HandleDone();
  }

  const std::unique_ptr<ServerCall> call_;
  const std::unique_ptr<CallEnd> end_;
  Outstanding outstanding_;
  Op started_{*this, &PolledServer::OnStarted};
  Op read_{*this, &PolledServer::OnRead};
  Op written_{*this, &PolledServer::OnWritten};
  Op finished_{*this, &PolledServer::OnFinished};
};

// Of a call that is refused.
class Nobody final : public RawStream::Handler {
 public:
  void OnMessage(int, grpc::ByteBuffer&) override {}
  void OnWritten(int) override {}
  void OnEnd(int, const absl::Status&) override {}
};

constexpr absl::Duration kRefuseLinger = absl::Seconds(5);

class Incoming final : public IncomingStream, public EventQueue::Event {
 public:
  Incoming() { call_->context.AsyncNotifyWhenDone(Tag(*end_)); }

  void Request(PartyServiceBase& service, grpc::ServerCompletionQueue* queue) {
    service.RequestExchange(&call_->context, &call_->stream,
                            call_->queue->queue(), queue, Tag(*this));
  }
  void Happen(bool) override {}

  const grpc::ServerContext& context() const override { return call_->context; }
  PolledStream Accept(std::shared_ptr<RawStream::Handler> handler, int tag,
                      absl::Duration linger) override {
    std::shared_ptr<EventQueue> queue = call_->queue;
    auto stream = std::make_shared<PolledServer>(
        std::move(handler), tag, linger, std::move(call_), std::move(end_));
    stream->Start();
    return {std::move(stream), std::move(queue)};
  }
  PolledStream Refuse(const absl::Status& status) override {
    PolledStream refused = Accept(std::make_shared<Nobody>(), 0, kRefuseLinger);
    refused.stream->Close(status);
    return refused;
  }

 private:
  std::unique_ptr<ServerCall> call_ = std::make_unique<ServerCall>();
  std::unique_ptr<CallEnd> end_ = std::make_unique<CallEnd>();
};

}  // namespace

PolledStream StartPolledClientStream(
    std::shared_ptr<RawStream::Handler> handler, int tag, absl::Duration linger,
    std::shared_ptr<grpc::Channel> channel, const std::string& method,
    const CallMetadata& metadata) {
  auto queue = std::make_shared<EventQueue>();
  auto stream = std::make_shared<PolledClient>(std::move(handler), tag, linger,
                                               std::move(channel), queue);
  stream->Start(method, metadata);
  return {std::move(stream), std::move(queue)};
}

void StreamAcceptor::AddTo(grpc::ServerBuilder& builder) {
  queue_ = builder.AddCompletionQueue();
}

void StreamAcceptor::Start() {
  thread_ = std::thread([this] { Run(); });
}

std::shared_ptr<IncomingStream> StreamAcceptor::Request() {
  auto incoming = std::make_shared<Incoming>();
  std::lock_guard<std::mutex> lock(mutex_);
  // gRPC aborts on a request for a queue that is shut down.
  if (shut_down_) return nullptr;
  incoming->Request(service_, queue_.get());
  return incoming;
}

void StreamAcceptor::Run() {
  while (std::shared_ptr<IncomingStream> incoming = Request()) {
    void* tag;
    bool ok;
    // No other operation is on this queue: the event is the request's.
    if (!queue_->Next(&tag, &ok) || !ok) return;
    accept_(std::move(incoming));
  }
}

void StreamAcceptor::Shutdown() {
  if (queue_ == nullptr) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    shut_down_ = true;
    queue_->Shutdown();
  }
  if (thread_.joinable()) thread_.join();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) {
  }
  queue_.reset();
}

}  // namespace tacit
