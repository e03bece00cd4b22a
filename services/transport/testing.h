// Servers on loopback and throw-away certificates; test code only.
#ifndef TACIT_SERVICES_TRANSPORT_TESTING_H_
#define TACIT_SERVICES_TRANSPORT_TESTING_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/gates/session.h"
#include "services/transport/byte_buffer.h"
#include "services/transport/infer_stream.h"
#include "services/transport/material_stream.h"
#include "services/transport/options.h"
#include "services/transport/peer_channel.h"
#include "services/transport/service_bases.h"
#include "services/transport/tsan.h"

namespace tacit {

struct TestCredentials {
  std::shared_ptr<grpc::ServerCredentials> server;
  std::shared_ptr<grpc::ChannelCredentials> client;
};
TestCredentials Insecure();

// A self-signed certificate that names 127.0.0.1 and lives for an hour.
struct TestCertificate {
  std::string key;  // PEM
  std::string certificate;
};
TestCertificate MakeSelfSigned();
// Mutual TLS, in which both ends present the same certificate.
TestCredentials Tls(const TestCertificate& certificate);

inline SessionId TestSession(uint8_t tag) {
  SessionId session{};
  session[0] = tag;
  return session;
}

// Party 1's service, without any authorisation.
struct TestPartyService {
  explicit TestPartyService(const TransportOptions& options)
      : registry(options) {}
  PeerRegistry registry;
  PeerService service{registry};
};

// A party's service for gateways, likewise.
class TestInferenceService : public InferenceServiceBase {
 public:
  using OnStart = std::function<void(std::unique_ptr<InferSession>)>;
  TestInferenceService(const TransportOptions& options, OnStart on_start)
      : options_(options), on_start_(std::move(on_start)) {}
  BidiReactor* Infer(grpc::CallbackServerContext* context) override {
    const InGrpcHandler handler(static_cast<grpc::Service*>(this));
    return AcceptInfer(context, options_, on_start_);
  }

 private:
  const TransportOptions options_;
  const OnStart on_start_;
};

// Streams the outboxes that it was given, whoever asks.
class TestDealerService : public DealerServiceBase {
 public:
  std::shared_ptr<MaterialOutbox> Add(const SessionId& session, int party,
                                      const TransportOptions& options) {
    auto outbox = std::make_shared<MaterialOutbox>(options);
    std::lock_guard<std::mutex> lock(mutex_);
    outboxes_[{std::string(session.begin(), session.end()), party}] = outbox;
    return outbox;
  }
  WriteReactor* StreamMaterial(grpc::CallbackServerContext* context,
                               const grpc::ByteBuffer* message) override {
    const InGrpcHandler handler(static_cast<grpc::Service*>(this));
    v1::StreamMaterialRequest request;
    if (absl::Status status = ParseMessage(*message, request); !status.ok()) {
      return RefuseWrite(status);
    }
    std::lock_guard<std::mutex> lock(mutex_);
    const auto it = outboxes_.find(
        {request.session_id(), static_cast<int>(request.party())});
    if (it == outboxes_.end()) {
      return RefuseWrite(absl::NotFoundError("no such session"));
    }
    return it->second->Handle(context);
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::shared_ptr<MaterialOutbox>>
      outboxes_;  // guarded by mutex_
};

// Serves on a free port of 127.0.0.1 until destroyed. The services must
// outlive it; `peer`, if any, is served as well.
class TestServer {
 public:
  TestServer(const TransportOptions& options,
             const TestCredentials& credentials,
             const std::vector<grpc::Service*>& services,
             PeerService* peer = nullptr);
  // Channels of `peer` must be gone.
  ~TestServer();
  // Cancels every call.
  void Stop();
  const std::string& address() const { return address_; }

 private:
  const std::vector<grpc::Service*> services_;
  PeerService* const peer_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_TESTING_H_
