// Party 1's polled stream: how calls of PartyService.Exchange come in.
#ifndef TACIT_SERVICES_TRANSPORT_POLLED_STREAMS_H_
#define TACIT_SERVICES_TRANSPORT_POLLED_STREAMS_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "services/transport/event_queue.h"
#include "services/transport/service_bases.h"

namespace tacit {

// A call that has come in and waits to be answered by Accept or Refuse.
class IncomingStream {
 public:
  virtual ~IncomingStream() = default;
  virtual const grpc::ServerContext& context() const = 0;
  // The answering end, begun.
  virtual PolledStream Accept(std::shared_ptr<RawStream::Handler> handler,
                              int tag, absl::Duration linger) = 0;
  // Ends the call. The stream is closed.
  virtual PolledStream Refuse(const absl::Status& status) = 0;
};

// Takes calls of PartyServiceBase::Exchange on a thread of its own. Add it to
// the builder of the server, Start it once that serves, Shutdown it after the
// server's Shutdown and before the server goes, as all streams must be done.
class StreamAcceptor {
 public:
  // Called on the acceptor's thread; must not block.
  using AcceptFn = std::function<void(std::shared_ptr<IncomingStream>)>;

  // `service` must outlive the acceptor.
  StreamAcceptor(PartyServiceBase& service, AcceptFn accept)
      : service_(service), accept_(std::move(accept)) {}
  ~StreamAcceptor() { Shutdown(); }

  void AddTo(grpc::ServerBuilder& builder);
  void Start();
  void Shutdown();

 private:
  // The next call, asked of gRPC; null once shut down.
  std::shared_ptr<IncomingStream> Request();
  void Run();

  PartyServiceBase& service_;
  const AcceptFn accept_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::thread thread_;
  std::mutex mutex_;
  bool shut_down_ = false;  // guarded by mutex_
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_POLLED_STREAMS_H_
