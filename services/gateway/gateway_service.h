// A gateway as a service to its user's programs: proto/tacit/v1/gateway.proto.
#ifndef TACIT_SERVICES_GATEWAY_GATEWAY_SERVICE_H_
#define TACIT_SERVICES_GATEWAY_GATEWAY_SERVICE_H_

#include <grpcpp/server_context.h>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/gateway/cancellation.h"
#include "services/gateway/text_client.h"
#include "services/telemetry/metrics.h"
#include "tacit/v1/gateway.grpc.pb.h"

namespace tacit {

struct GatewayOptions {
  size_t max_requests = 64;  // under way at a time
  size_t max_tokens = 4096;  // of one answer
};

// Thread-safe. A request takes a thread of gRPC's while it runs.
class GatewayService final : public v1::GatewayService::Service {
 public:
  // Both must outlive the service.
  GatewayService(TextClient& client, const GatewayOptions& options,
                 Metrics& metrics);
  ~GatewayService() override;  // Stop

  grpc::Status Complete(
      grpc::ServerContext* context, const v1::CompleteRequest* request,
      grpc::ServerWriter<v1::CompleteResponse>* writer) override;
  grpc::Status Classify(grpc::ServerContext* context,
                        const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response) override;
  grpc::Status GetModel(grpc::ServerContext* context,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override;

  // Takes no more requests, and waits until those under way have ended or
  // `deadline`, a time of SteadyNow, has come.
  void Drain(absl::Time deadline);
  // Ends all requests.
  void Stop();

 private:
  // A request from its admission to its end.
  grpc::Status Serve(
      grpc::ServerContext& context,
      const std::function<absl::Status(const CallOptions&)>& run);
  absl::Status RunComplete(const v1::CompleteRequest& request,
                           grpc::ServerWriter<v1::CompleteResponse>& writer,
                           const CallOptions& call);
  absl::Status RunClassify(const v1::ClassifyRequest& request,
                           v1::ClassifyResponse& response,
                           const CallOptions& call);
  absl::Status Begin(grpc::ServerContext& context, Cancellation& cancellation);
  void End(grpc::ServerContext& context);
  // Passes on that callers are gone: synchronous handlers are not told.
  void Watch();

  TextClient& client_;
  const GatewayOptions options_;
  Metrics& metrics_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<grpc::ServerContext*, Cancellation*> running_;
  bool draining_ = false;
  bool stopped_ = false;
  std::thread watcher_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_GATEWAY_GATEWAY_SERVICE_H_
