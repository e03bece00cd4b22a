#include "services/gateway/gateway_service.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "services/telemetry/log.h"
#include "services/transport/status.h"

namespace tacit {
namespace {

constexpr auto kWatchInterval = std::chrono::milliseconds(100);
constexpr int kMaxStops = 16;
constexpr size_t kMaxStopBytes = 256;

absl::StatusOr<TextRequest> RequestOf(const v1::CompleteRequest& request,
                                      size_t max_tokens) {
  TextRequest out;
  out.prompts = {request.prompt()};
  out.chat = request.chat();
  if (request.max_tokens() != 0) out.max_tokens = request.max_tokens();
  if (out.max_tokens > max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_tokens ", out.max_tokens, " is more than this ",
                     "gateway's limits.max_tokens, ", max_tokens));
  }
  switch (request.sample_at()) {
    case v1::SAMPLE_AT_UNSPECIFIED:
    case v1::SAMPLE_AT_GATEWAY:
      out.sampling_side = SamplingSide::kClient;
      break;
    case v1::SAMPLE_AT_PARTIES:
      out.sampling_side = SamplingSide::kSecure;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("sample_at ", request.sample_at(), " is none"));
  }
  out.sampling.temperature = request.temperature();
  out.sampling.top_k = request.top_k();
  if (request.has_top_p()) out.sampling.top_p = request.top_p();
  if (request.has_repetition_penalty()) {
    out.sampling.repetition_penalty = request.repetition_penalty();
  }
  out.sampling.seed = request.seed();
  if (request.stop_size() > kMaxStops) {
    return absl::InvalidArgumentError(absl::StrCat(
        request.stop_size(), " stop texts; at most ", kMaxStops, " are taken"));
  }
  for (const std::string& stop : request.stop()) {
    if (stop.size() > kMaxStopBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("a stop text of ", stop.size(), " bytes; at most ",
                       kMaxStopBytes, " are taken"));
    }
    out.stop.push_back(stop);
  }
  return out;
}

// To gRPC, no deadline is a date in the far future.
absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const absl::Time deadline = absl::FromChrono(context.deadline());
  return deadline > absl::Now() + absl::Hours(24 * 365) ? absl::InfiniteFuture()
                                                        : deadline;
}

v1::CompleteResponse EndOf(const TextResult& result) {
  v1::CompleteResponse response;
  v1::CompleteEnd& end = *response.mutable_end();
  end.set_prompt_tokens(result.sequences[0].prompt_tokens);
  end.set_tokens(result.sequences[0].generated.tokens.size());
  end.set_rounds(result.cost.rounds);
  for (int b = 0; b < 2; ++b) {
    end.add_opened_bytes(result.cost.opened_bytes[b]);
    end.add_material_bytes(result.cost.material_bytes[b]);
  }
  return response;
}

}  // namespace

GatewayService::GatewayService(TextClient& client,
                               const GatewayOptions& options, Metrics& metrics)
    : client_(client),
      options_(options),
      metrics_(metrics),
      watcher_([this] { Watch(); }) {}

GatewayService::~GatewayService() { Stop(); }

grpc::Status GatewayService::Complete(
    grpc::ServerContext* context, const v1::CompleteRequest* request,
    grpc::ServerWriter<v1::CompleteResponse>* writer) {
  Cancellation cancellation;
  absl::Status status = Begin(*context, cancellation);
  if (!status.ok()) {
    metrics_.Rejected(RejectReason::kOverload);
    return ToGrpcStatus(status);
  }
  const absl::Time start = absl::Now();
  metrics_.SessionStarted();
  status = Run(*context, *request, *writer, cancellation);
  metrics_.SessionEnded(status);
  metrics_.Observe(Phase::kRequest, absl::Now() - start);
  LogEvent(LogLevel::kInfo, "request_ended")
      .Elapsed("seconds", absl::Now() - start)
      .Error(status);
  End(*context);
  return ToGrpcStatus(status);
}

absl::Status GatewayService::Run(
    grpc::ServerContext& context, const v1::CompleteRequest& request,
    grpc::ServerWriter<v1::CompleteResponse>& writer,
    Cancellation& cancellation) {
  ASSIGN_OR_RETURN(const TextRequest text,
                   RequestOf(request, options_.max_tokens));
  const TextFn write = [&](size_t, const std::string& piece) {
    v1::CompleteResponse response;
    response.set_piece(piece);
    return writer.Write(response);
  };
  ASSIGN_OR_RETURN(
      const TextResult result,
      client_.Infer(text, write, DeadlineOf(context), &cancellation));
  metrics_.AddTokens(TokenKind::kPrompt, result.sequences[0].prompt_tokens);
  metrics_.AddTokens(TokenKind::kGenerated,
                     result.sequences[0].generated.tokens.size());
  if (!writer.Write(EndOf(result))) {
    return absl::CancelledError("the caller has left");
  }
  return absl::OkStatus();
}

grpc::Status GatewayService::GetModel(grpc::ServerContext* /*context*/,
                                      const v1::GetModelRequest* /*request*/,
                                      v1::GetModelResponse* response) {
  response->set_name(client_.model_name());
  response->set_context(client_.context());
  return grpc::Status::OK;
}

absl::Status GatewayService::Begin(grpc::ServerContext& context,
                                   Cancellation& cancellation) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (draining_) {
    return absl::UnavailableError("the gateway is shutting down");
  }
  if (running_.size() >= options_.max_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat(running_.size(), " requests are under way, as many as ",
                     "may be: try again later"));
  }
  running_[&context] = &cancellation;
  return absl::OkStatus();
}

void GatewayService::End(grpc::ServerContext& context) {
  std::lock_guard<std::mutex> lock(mutex_);
  running_.erase(&context);
  changed_.notify_all();
}

void GatewayService::Watch() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopped_) {
    for (const auto& [context, cancellation] : running_) {
      if (context->IsCancelled()) cancellation->Cancel();
    }
    changed_.wait_for(lock, kWatchInterval, [this] { return stopped_; });
  }
}

void GatewayService::Drain(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  draining_ = true;
  while (!running_.empty() && absl::Now() < deadline) {
    changed_.wait_for(lock, kWatchInterval);
  }
  for (const auto& [context, cancellation] : running_) cancellation->Cancel();
}

void GatewayService::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    draining_ = stopped_ = true;
    for (const auto& [context, cancellation] : running_) cancellation->Cancel();
    changed_.notify_all();
  }
  if (watcher_.joinable()) watcher_.join();
}

}  // namespace tacit
