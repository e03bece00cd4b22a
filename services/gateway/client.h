// The user's side: private inference from a dealer and two parties.
#ifndef TACIT_SERVICES_GATEWAY_CLIENT_H_
#define TACIT_SERVICES_GATEWAY_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/models/generation.h"
#include "services/gateway/cancellation.h"
#include "services/runtime/session_shape.h"
#include "services/transport/infer_stream.h"
#include "services/transport/options.h"
#include "tacit/v1/dealer.grpc.pb.h"
#include "tacit/v1/plan.grpc.pb.h"

namespace tacit {

struct ClientOptions {
  std::string dealer_address;
  std::string party_address[2];
  // For channels to the dealer and each party; arguments are added to those of
  // the transport.
  std::shared_ptr<grpc::ChannelCredentials> dealer_credentials;
  std::shared_ptr<grpc::ChannelCredentials> party_credentials[2];
  TransportOptions transport;
  absl::Duration step_timeout = absl::Minutes(1);  // of silence
  // Fresh sessions after one that failed before its first token, two seconds in
  // all: longer than connections wait before they are tried again.
  int retries = 3;
};

struct InferOptions {
  size_t max_tokens = 64;
  SamplingOptions sampling;
  SamplingSide sampling_side = SamplingSide::kClient;
  EmbeddingSide embedding_side = EmbeddingSide::kSecure;
  std::vector<int64_t> stop_tokens;
  Rounding rounding = Rounding::kStochastic;
  absl::Time deadline = absl::InfiniteFuture();  // of all of it
  Cancellation* cancellation = nullptr;          // may end it
};

struct InferResult {
  std::vector<GeneratedSequence> sequences;
  int sessions = 1;            // with those that failed
  double seconds_open = 0;     // until the session stood
  double seconds_prefill = 0;  // to the first tokens
  double seconds_decode = 0;   // from there to the last
};

// Talks in token ids; see sdk for text. Thread-safe.
class GatewayClient {
 public:
  // `plan` and `embed` (for EmbeddingSide::kClient) must outlive the client.
  static absl::StatusOr<std::unique_ptr<GatewayClient>> Create(
      const DecoderPlan& plan, const PlanDigest& digest,
      const ClientOptions& options, GenerationGateway::EmbedFn embed = {});

  // FAILED_PRECONDITION, naming the role, if one serves another plan;
  // UNAVAILABLE if one is out of reach.
  absl::Status CheckPlans(absl::Duration timeout);

  // Runs one session; `on_token` is called for each token as it comes, from
  // other threads, one at a time; false ends the sequence. A session that fails
  // before its first token is tried again on a fresh one, with fresh masks.
  // Errors: GenerationGateway::Create's; DEADLINE_EXCEEDED; CANCELLED by
  //   options.cancellation; else the roles'.
  absl::StatusOr<InferResult> Infer(
      const std::vector<std::vector<int64_t>>& prompts,
      const InferOptions& options, const GenerationGateway::TokenFn& on_token);

 private:
  GatewayClient(const DecoderPlan& plan, const PlanDigest& digest,
                const ClientOptions& options, GenerationGateway::EmbedFn embed)
      : plan_(plan),
        digest_(digest),
        options_(options),
        embed_(std::move(embed)) {}

  absl::StatusOr<v1::OpenSessionResponse> OpenSession(
      const SessionProgram& program, absl::Time deadline);
  // Tells the dealer that nobody will fetch the material. It notices by itself
  // if this fails, later.
  void CloseSession(const SessionId& id);
  absl::Status RunSession(const std::vector<std::vector<int64_t>>& prompts,
                          const InferOptions& options,
                          const SessionProgram& program,
                          const GenerationGateway::TokenFn& on_token,
                          InferResult& result);

  const DecoderPlan& plan_;
  const PlanDigest digest_;
  const ClientOptions options_;
  const GenerationGateway::EmbedFn embed_;
  std::shared_ptr<grpc::Channel> dealer_channel_;
  std::shared_ptr<grpc::Channel> party_channel_[2];  // for GetPlan
  std::unique_ptr<InferDialer> parties_[2];
};

}  // namespace tacit

#endif  // TACIT_SERVICES_GATEWAY_CLIENT_H_
