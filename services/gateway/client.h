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
#include "common/models/model.h"
#include "common/models/user_side.h"
#include "services/gateway/cancellation.h"
#include "services/runtime/session_shape.h"
#include "services/transport/infer_stream.h"
#include "services/transport/options.h"
#include "services/transport/trace.h"
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
  // Fresh sessions after one that failed before it gave anything, two seconds
  // in all: longer than connections wait before they are tried again.
  int retries = 3;
};

// What binds a request, whatever it asks for.
struct CallOptions {
  absl::Time deadline = absl::InfiniteFuture();  // of all of it
  Cancellation* cancellation = nullptr;          // may end it
  TraceContext trace = {};  // that it is part of; a new one if there is none
};

// What requests of both kinds have.
struct SessionOptions : CallOptions {
  Rounding rounding = Rounding::kStochastic;
};

struct InferOptions : SessionOptions {
  size_t max_tokens = 64;
  SamplingOptions sampling;
  SamplingSide sampling_side = SamplingSide::kClient;
  EmbeddingSide embedding_side = EmbeddingSide::kSecure;
  std::vector<int64_t> stop_tokens;
};

struct InferResult {
  std::vector<GeneratedSequence> sequences;
  int sessions = 1;            // with those that failed
  double seconds_open = 0;     // until the session stood
  double seconds_prefill = 0;  // to the first tokens
  double seconds_decode = 0;   // from there to the last
};

struct ClassifyTokensResult {
  std::vector<std::vector<double>> logits;  // of each text: [labels]. SECRET
  int sessions = 1;                         // with those that failed
  double seconds_open = 0;                  // until the session stood
  double seconds = 0;                       // from there to the logits
};

// Talks in token ids; see TextClient for text. Thread-safe.
class GatewayClient {
 public:
  // `plan` and `embed` (for EmbeddingSide::kClient) must outlive the client.
  static absl::StatusOr<std::unique_ptr<GatewayClient>> Create(
      const ModelPlan& plan, const PlanDigest& digest,
      const ClientOptions& options, GenerationGateway::EmbedFn embed = {});

  // FAILED_PRECONDITION, naming the role, if one serves another plan;
  // UNAVAILABLE if one is out of reach.
  absl::Status CheckPlans(absl::Duration timeout);

  // Both run one session. One that fails before it gave anything is tried again
  // on a fresh one, with fresh masks.
  // Errors: FAILED_PRECONDITION, saying what to call, if the model is of the
  //   other kind; those of GenerationGateway::Create, or
  //   ClassificationGateway::Create; DEADLINE_EXCEEDED; CANCELLED by
  //   options.cancellation; else the roles'.

  // `on_token` is called for each token as it comes, from other threads, one at
  // a time; false ends the sequence.
  absl::StatusOr<InferResult> Infer(
      const std::vector<std::vector<int64_t>>& prompts,
      const InferOptions& options, const GenerationGateway::TokenFn& on_token);

  absl::StatusOr<ClassifyTokensResult> Classify(const TextBatch& texts,
                                                const SessionOptions& options);

 private:
  // Makes the user's side of a session from its masks.
  using MakeUserFn = std::function<absl::StatusOr<std::unique_ptr<UserSide>>(
      std::unique_ptr<Prg> masks)>;
  // The user's side of a session that has ended well, and what it took.
  struct Ended {
    std::unique_ptr<UserSide> user;
    int sessions = 1;
    double seconds_open = 0;
  };

  GatewayClient(const ModelPlan& plan, const PlanDigest& digest,
                const ClientOptions& options, GenerationGateway::EmbedFn embed)
      : plan_(plan),
        digest_(digest),
        options_(options),
        embed_(std::move(embed)) {}

  // `deadline` and `limit` are times of SteadyNow; traces exist.
  absl::StatusOr<v1::OpenSessionResponse> OpenSession(
      const SessionProgram& program, absl::Time deadline,
      const TraceContext& trace);
  // Tells the dealer that nobody will fetch the material. It notices by itself
  // if this fails, later.
  void CloseSession(const SessionId& id);
  absl::Status RunSession(const SessionProgram& program,
                          const SessionOptions& options, absl::Time limit,
                          const MakeUserFn& make, Ended& ended);
  // Runs sessions until one ends well, or no other may help; none follows one
  // that has given something away (`begun`).
  absl::StatusOr<Ended> Run(const SessionProgram& program,
                            const SessionOptions& options,
                            const MakeUserFn& make,
                            const std::function<bool()>& begun);

  const ModelPlan& plan_;
  const PlanDigest digest_;
  const ClientOptions options_;
  const GenerationGateway::EmbedFn embed_;
  std::shared_ptr<grpc::Channel> dealer_channel_;
  std::shared_ptr<grpc::Channel> party_channel_[2];  // for GetPlan
  std::unique_ptr<InferDialer> parties_[2];
};

}  // namespace tacit

#endif  // TACIT_SERVICES_GATEWAY_CLIENT_H_
