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
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/gates/session.h"
#include "services/runtime/served_model.h"
#include "services/transport/deadline.h"
#include "services/transport/raw_stream.h"
#include "services/transport/status.h"

namespace tacit {
namespace {

constexpr absl::Duration kCloseTimeout = absl::Seconds(1);

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

// Calls `call` after `delay`, on one of gRPC's threads, unless it is destroyed
// before; destruction waits for a call under way.
class Timer {
 public:
  Timer(absl::Duration delay, std::function<void()> call)
      : end_(std::make_shared<Cancellation>()) {
    if (delay == absl::InfiniteDuration()) return;
    end_->OnCancel(std::move(call));
    alarm_ = CallLater(delay, [end = end_] { end->Cancel(); });
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
absl::Status Serve(int party, UserSide& user, InferCall& call,
                   absl::Duration step_timeout) {
  const UserSide::Message output = user.output();
  for (size_t step = 0; step < user.steps(); ++step) {
    for (const UserSide::Message& input : user.InputsOf(step)) {
      absl::StatusOr<Words> hat = user.Receive(party, input.count, input.width);
      // The user wants no more: no input follows.
      if (absl::IsCancelled(hat.status()) && user.stopped()) {
        return call.Finish(step_timeout);
      }
      RETURN_IF_ERROR(hat.status());
      RETURN_IF_ERROR(call.SendInput(*hat, input.width));
    }
    ASSIGN_OR_RETURN(Words share, call.ReceiveShare(output.count, output.width,
                                                    step_timeout));
    RETURN_IF_ERROR(user.Send(party, std::move(share), output.width));
  }
  return call.Finish(step_timeout);
}

absl::StatusOr<std::unique_ptr<Prg>> MasksOf(
    const v1::OpenSessionResponse& opened) {
  std::array<uint8_t, Seed::kBytes> bytes;
  if (opened.gateway_seed().size() != bytes.size()) {
    return absl::InternalError("the dealer sent no gateway seed");
  }
  std::copy(opened.gateway_seed().begin(), opened.gateway_seed().end(),
            bytes.begin());
  const Seed seed(bytes);
  SecureWipe(bytes.data(), bytes.size());
  return GatewayStream(seed);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayClient>> GatewayClient::Create(
    const ModelPlan& plan, const PlanDigest& digest,
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
    context.set_deadline(DeadlineIn(timeout));
    v1::GetPlanResponse response;
    const absl::Status status =
        FromGrpcStatus(stub.GetPlan(&context, {}, &response));
    RETURN_IF_ERROR(StatusOf(name, status));
    ASSIGN_OR_RETURN(const PlanDigest theirs,
                     ParseDigest(response.plan().digest()));
    RETURN_IF_ERROR(StatusOf(name, CheckDigest(theirs, digest_)));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::OpenSessionResponse> GatewayClient::OpenSession(
    const SessionProgram& program, absl::Time deadline,
    const TraceContext& trace) {
  const std::unique_ptr<v1::DealerService::Stub> stub =
      v1::DealerService::NewStub(dealer_channel_);
  v1::OpenSessionRequest request;
  request.set_plan_digest(digest_.data(), digest_.size());
  *request.mutable_shape() = ToProto(program);
  grpc::ClientContext context;
  context.set_deadline(
      DeadlineIn(std::min(deadline - SteadyNow(), options_.step_timeout)));
  context.AddMetadata(kTraceparentKey, trace.Traceparent());
  v1::OpenSessionResponse response;
  RETURN_IF_ERROR(StatusOf("the dealer", FromGrpcStatus(stub->OpenSession(
                                             &context, request, &response))));
  return response;
}

void GatewayClient::CloseSession(const SessionId& id) {
  v1::DealerService::Stub stub(dealer_channel_);
  v1::CloseSessionRequest request;
  request.set_session_id(id.data(), id.size());
  grpc::ClientContext context;
  context.set_deadline(DeadlineIn(kCloseTimeout));
  v1::CloseSessionResponse response;
  (void)stub.CloseSession(&context, request, &response);
}

absl::Status GatewayClient::RunSession(const SessionProgram& program,
                                       const SessionOptions& options,
                                       absl::Time limit, const MakeUserFn& make,
                                       Ended& ended) {
  const absl::Time start = SteadyNow();
  ASSIGN_OR_RETURN(const v1::OpenSessionResponse opened,
                   OpenSession(program, limit, options.trace));
  ASSIGN_OR_RETURN(const SessionId id, ParseSessionId(opened.session_id()));
  ASSIGN_OR_RETURN(std::unique_ptr<Prg> masks, MasksOf(opened));
  ASSIGN_OR_RETURN(ended.user, make(std::move(masks)));
  UserSide& user = *ended.user;
  const v1::SessionShape shape = ToProto(program);
  std::unique_ptr<InferCall> calls[2];
  for (int b = 0; b < 2; ++b) {
    calls[b] = parties_[b]->Start(
        id, digest_, shape, {{kTraceparentKey, options.trace.Traceparent()}});
  }
  ended.seconds_open = absl::ToDoubleSeconds(SteadyNow() - start);
  std::mutex mutex;
  absl::Status first;  // guarded by mutex: the cause, not its consequences
  auto fail = [&](const absl::Status& status) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (first.ok()) first = status;
    }
    user.End(status);
    for (const auto& call : calls) call->Cancel(status);
  };
  auto serve = [&](int b) {
    const absl::Status status =
        StatusOf(absl::StrCat("party ", b),
                 Serve(b, user, *calls[b], options_.step_timeout));
    if (!status.ok()) fail(status);
  };
  {
    const Timer deadline(limit - SteadyNow(), [&] {
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
  return first;
}

absl::StatusOr<GatewayClient::Ended> GatewayClient::Run(
    const SessionProgram& program, const SessionOptions& options,
    const MakeUserFn& make, const std::function<bool()>& begun) {
  const absl::Time limit = ToSteady(options.deadline);
  SessionOptions traced = options;
  if (!traced.trace.exists()) traced.trace = TraceContext::Begin();
  Ended ended;
  for (int attempt = 0;; ++attempt) {
    const absl::Status status = RunSession(program, traced, limit, make, ended);
    if (SteadyNow() >= limit) {
      return absl::DeadlineExceededError("the request took too long");
    }
    if (options.cancellation != nullptr && options.cancellation->cancelled()) {
      return absl::CancelledError("the request was cancelled");
    }
    if (status.ok()) return ended;
    if (begun() || attempt >= options_.retries || !IsWorthARetry(status)) {
      return status;
    }
    ++ended.sessions;
    absl::SleepFor(absl::Milliseconds(100 << (2 * attempt)));
  }
}

absl::StatusOr<InferResult> GatewayClient::Infer(
    const std::vector<std::vector<int64_t>>& prompts,
    const InferOptions& options, const GenerationGateway::TokenFn& on_token) {
  const GenerationShape shape =
      MakeShape(prompts, options.max_tokens, options.sampling_side,
                options.embedding_side, options.sampling);
  RETURN_IF_ERROR(CheckShape(plan_, shape));
  std::atomic<bool> begun{false};
  const GenerationGateway::TokenFn counted = [&](size_t s, int64_t token) {
    begun = true;
    return on_token(s, token);
  };
  ASSIGN_OR_RETURN(const Ended ended,
                   Run(
                       {shape, options.rounding}, options,
                       [&](std::unique_ptr<Prg> masks) {
                         return GenerationGateway::Create(
                             std::get<DecoderPlan>(plan_), shape, prompts,
                             {options.sampling, options.stop_tokens},
                             std::move(masks), counted, embed_);
                       },
                       [&] { return begun.load(); }));
  InferResult result;
  result.sequences =
      static_cast<GenerationGateway&>(*ended.user).TakeSequences();
  result.sessions = ended.sessions;
  result.seconds_open = ended.seconds_open;
  result.seconds_prefill = ended.user->seconds_first();
  result.seconds_decode = ended.user->seconds_last() - result.seconds_prefill;
  return result;
}

absl::StatusOr<ClassifyTokensResult> GatewayClient::Classify(
    const TextBatch& texts, const SessionOptions& options) {
  const ClassificationShape shape = ShapeOf(texts);
  RETURN_IF_ERROR(CheckShape(plan_, shape));
  const EncoderPlan& plan = std::get<EncoderPlan>(plan_);
  RETURN_IF_ERROR(CheckTexts(plan, texts));
  ASSIGN_OR_RETURN(const Ended ended,
                   Run(
                       {shape, options.rounding}, options,
                       [&](std::unique_ptr<Prg> masks) {
                         return ClassificationGateway::Create(plan, texts,
                                                              std::move(masks));
                       },
                       // Logits come at the end and all at once.
                       [] { return false; }));
  ClassifyTokensResult result;
  result.logits = static_cast<ClassificationGateway&>(*ended.user).TakeLogits();
  result.sessions = ended.sessions;
  result.seconds_open = ended.seconds_open;
  result.seconds = ended.user->seconds_last();
  return result;
}

}  // namespace tacit
