#include "services/gateway/client.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/gates/session.h"
#include "common/nn/embedding.h"
#include "common/nn/sampling.h"
#include "services/runtime/served_model.h"
#include "services/transport/raw_stream.h"
#include "services/transport/status.h"

namespace tacit {
namespace {

constexpr absl::Duration kCloseTimeout = absl::Seconds(1);

absl::Status In(absl::string_view role, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(role, ": ", status.message()));
}

// The inputs of a step in the program's order, as Generate asks for them.
struct StepInput {
  size_t count;
  int width;
};
std::vector<StepInput> InputsOf(const DecoderPlan& plan,
                                const GenerationShape& shape, size_t step) {
  const size_t tokens =
      step == 0 ? shape.prompt_tokens() : shape.prompts.size();
  std::vector<StepInput> inputs;
  if (shape.embedding == EmbeddingSide::kSecure) {
    inputs.push_back({tokens, TokenWidth(plan.config.vocab_size)});
  } else {
    inputs.push_back({tokens * static_cast<size_t>(plan.config.hidden_size),
                      EmbeddedWidth(plan)});
  }
  if (shape.sampling == SamplingSide::kSecure && shape.temperature > 0) {
    inputs.push_back({shape.prompts.size(), kUniformWidth});
  }
  return inputs;
}

StepInput OutputOf(const DecoderPlan& plan, const GenerationShape& shape) {
  if (shape.sampling == SamplingSide::kClient) {
    return {shape.prompts.size() * static_cast<size_t>(plan.config.vocab_size),
            plan.logit_ring};
  }
  return {shape.prompts.size(), TokenWidth(plan.config.vocab_size)};
}

// Whether a fresh session may do better.
bool IsWorthARetry(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return true;
    default:
      return false;
  }
}

// Calls `call` at `when`, on one of gRPC's threads, unless it is destroyed
// before; destruction waits for a call under way.
class Timer {
 public:
  Timer(absl::Time when, std::function<void()> call)
      : end_(std::make_shared<Cancellation>()) {
    if (when == absl::InfiniteFuture()) return;
    end_->OnCancel(std::move(call));
    alarm_ = CallLater(when - absl::Now(), [end = end_] { end->Cancel(); });
  }
  ~Timer() { end_->OnCancel(nullptr); }

 private:
  const std::shared_ptr<Cancellation> end_;
  std::unique_ptr<grpc::Alarm> alarm_;
};

// Calls `call` when the request is cancelled, as long as it exists.
class Cancelled {
 public:
  Cancelled(Cancellation* cancellation, std::function<void()> call)
      : cancellation_(cancellation) {
    if (cancellation_ != nullptr) cancellation_->OnCancel(std::move(call));
  }
  ~Cancelled() {
    if (cancellation_ != nullptr) cancellation_->OnCancel(nullptr);
  }

 private:
  Cancellation* const cancellation_;
};

// One party's part of a session, as a thread serves it.
absl::Status Serve(int party, const DecoderPlan& plan,
                   const GenerationShape& shape, GenerationGateway& gateway,
                   InferCall& call, absl::Duration step_timeout) {
  const StepInput output = OutputOf(plan, shape);
  for (size_t step = 0; step < shape.steps; ++step) {
    for (const StepInput& input : InputsOf(plan, shape, step)) {
      absl::StatusOr<Words> hat =
          gateway.Receive(party, input.count, input.width);
      // All sequences have ended: no input follows.
      if (absl::IsCancelled(hat.status()) && gateway.stopped()) {
        return call.Finish(step_timeout);
      }
      RETURN_IF_ERROR(hat.status());
      RETURN_IF_ERROR(call.SendInput(*hat, input.width));
    }
    ASSIGN_OR_RETURN(Words share, call.ReceiveShare(output.count, output.width,
                                                    step_timeout));
    RETURN_IF_ERROR(gateway.Send(party, std::move(share), output.width));
  }
  return call.Finish(step_timeout);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayClient>> GatewayClient::Create(
    const DecoderPlan& plan, const PlanDigest& digest,
    const ClientOptions& options, GenerationGateway::EmbedFn embed) {
  RETURN_IF_ERROR(CheckTransportOptions(options.transport));
  std::unique_ptr<GatewayClient> client(
      new GatewayClient(plan, digest, options, std::move(embed)));
  const grpc::ChannelArguments arguments = MakeChannelArguments(
      options.transport, options.transport.max_message_bytes);
  client->dealer_channel_ = grpc::CreateCustomChannel(
      options.dealer_address, options.dealer_credentials, arguments);
  for (int b = 0; b < 2; ++b) {
    client->party_channel_[b] = grpc::CreateCustomChannel(
        options.party_address[b], options.party_credentials[b], arguments);
    client->parties_[b] = std::make_unique<InferDialer>(
        options.party_address[b], options.party_credentials[b],
        options.transport);
  }
  return client;
}

absl::Status GatewayClient::CheckPlans(absl::Duration timeout) {
  const std::pair<const char*, std::shared_ptr<grpc::Channel>> roles[] = {
      {"the dealer", dealer_channel_},
      {"party 0", party_channel_[0]},
      {"party 1", party_channel_[1]}};
  for (const auto& [name, channel] : roles) {
    v1::PlanService::Stub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    v1::GetPlanResponse response;
    const absl::Status status =
        FromGrpcStatus(stub.GetPlan(&context, {}, &response));
    RETURN_IF_ERROR(In(name, status));
    ASSIGN_OR_RETURN(const PlanDigest theirs,
                     ParseDigest(response.plan().digest()));
    RETURN_IF_ERROR(In(name, CheckDigest(theirs, digest_)));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::OpenSessionResponse> GatewayClient::OpenSession(
    const SessionProgram& program, absl::Time deadline) {
  const std::unique_ptr<v1::DealerService::Stub> stub =
      v1::DealerService::NewStub(dealer_channel_);
  v1::OpenSessionRequest request;
  request.set_plan_digest(digest_.data(), digest_.size());
  *request.mutable_shape() = ToProto(program);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(
      std::min(deadline, absl::Now() + options_.step_timeout)));
  v1::OpenSessionResponse response;
  RETURN_IF_ERROR(In("the dealer", FromGrpcStatus(stub->OpenSession(
                                       &context, request, &response))));
  return response;
}

void GatewayClient::CloseSession(const SessionId& id) {
  v1::DealerService::Stub stub(dealer_channel_);
  v1::CloseSessionRequest request;
  request.set_session_id(id.data(), id.size());
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kCloseTimeout));
  v1::CloseSessionResponse response;
  (void)stub.CloseSession(&context, request, &response);
}

absl::Status GatewayClient::RunSession(
    const std::vector<std::vector<int64_t>>& prompts,
    const InferOptions& options, const SessionProgram& program,
    const GenerationGateway::TokenFn& on_token, InferResult& result) {
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(const v1::OpenSessionResponse opened,
                   OpenSession(program, options.deadline));
  ASSIGN_OR_RETURN(const SessionId id, ParseSessionId(opened.session_id()));
  std::array<uint8_t, Seed::kBytes> bytes;
  if (opened.gateway_seed().size() != bytes.size()) {
    return absl::InternalError("the dealer sent no gateway seed");
  }
  std::copy(opened.gateway_seed().begin(), opened.gateway_seed().end(),
            bytes.begin());
  ASSIGN_OR_RETURN(std::unique_ptr<Prg> masks, GatewayStream(Seed(bytes)));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GenerationGateway> gateway,
      GenerationGateway::Create(plan_, program.shape, prompts,
                                {options.sampling, options.stop_tokens},
                                std::move(masks), on_token, embed_));
  const v1::SessionShape shape = ToProto(program);
  std::unique_ptr<InferCall> calls[2];
  for (int b = 0; b < 2; ++b) {
    calls[b] = parties_[b]->Start(id, digest_, shape);
  }
  result.seconds_open = absl::ToDoubleSeconds(absl::Now() - start);
  absl::Status statuses[2];
  std::mutex mutex;
  absl::Status first;  // guarded by mutex: the cause, not its consequences
  auto fail = [&](const absl::Status& status) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (first.ok()) first = status;
    }
    gateway->End(status);
    for (const auto& call : calls) call->Cancel(status);
  };
  auto serve = [&](int b) {
    statuses[b] =
        In(absl::StrCat("party ", b), Serve(b, plan_, program.shape, *gateway,
                                            *calls[b], options_.step_timeout));
    if (!statuses[b].ok()) fail(statuses[b]);
  };
  {
    const Timer deadline(options.deadline, [&] {
      fail(absl::DeadlineExceededError("the request took too long"));
    });
    const Cancelled cancelled(options.cancellation, [&] {
      fail(absl::CancelledError("the request was cancelled"));
    });
    std::thread party1([&] { serve(1); });
    serve(0);
    party1.join();
  }
  if (!first.ok()) CloseSession(id);
  result.sequences = gateway->TakeSequences();
  result.seconds_prefill = gateway->seconds_first();
  result.seconds_decode = gateway->seconds_last() - result.seconds_prefill;
  return first;
}

absl::StatusOr<InferResult> GatewayClient::Infer(
    const std::vector<std::vector<int64_t>>& prompts,
    const InferOptions& options, const GenerationGateway::TokenFn& on_token) {
  SessionProgram program;
  program.shape = MakeShape(prompts, options.max_tokens, options.sampling_side,
                            options.embedding_side, options.sampling);
  program.rounding = options.rounding;
  RETURN_IF_ERROR(CheckShape(plan_, program.shape));
  std::atomic<bool> begun{false};
  const GenerationGateway::TokenFn counted = [&](size_t s, int64_t token) {
    begun = true;
    return on_token(s, token);
  };
  InferResult result;
  for (int attempt = 0;; ++attempt) {
    const absl::Status status =
        RunSession(prompts, options, program, counted, result);
    if (absl::Now() >= options.deadline) {
      return absl::DeadlineExceededError("the request took too long");
    }
    if (options.cancellation != nullptr && options.cancellation->cancelled()) {
      return absl::CancelledError("the request was cancelled");
    }
    if (status.ok()) return result;
    if (begun || attempt >= options_.retries || !IsWorthARetry(status)) {
      return status;
    }
    ++result.sessions;
    absl::SleepFor(absl::Milliseconds(100 << (2 * attempt)));
  }
}

}  // namespace tacit
