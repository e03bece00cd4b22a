#include "services/gateway/gateway_service.h"

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "services/runtime/served_model.h"
#include "services/telemetry/log.h"
#include "services/transport/status.h"

namespace tacit {
namespace {

constexpr auto kWatchInterval = std::chrono::milliseconds(100);
constexpr int kMaxStops = 16;
constexpr size_t kMaxStopBytes = 256;
constexpr int kMaxTexts = 64;  // as many as a session's shape may have

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

absl::StatusOr<ClassifyRequest> RequestOf(const v1::ClassifyRequest& request) {
  if (request.texts().empty() || request.texts_size() > kMaxTexts) {
    return absl::InvalidArgumentError(
        absl::StrCat(request.texts_size(), " texts; 1 to ", kMaxTexts,
                     " are classified at a time"));
  }
  ClassifyRequest out;
  for (const v1::ClassifyText& text : request.texts()) {
    ClassifyText& one = out.texts.emplace_back(ClassifyText{text.text(), {}});
    if (text.has_text_pair()) one.pair = text.text_pair();
  }
  return out;
}

// To gRPC, no deadline is a date in the far future.
absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const absl::Duration left =
      absl::FromChrono(context.deadline() - std::chrono::system_clock::now());
  return left > absl::Hours(24 * 365) ? absl::InfiniteFuture()
                                      : absl::Now() + left;
}

template <typename Message>
void AddCost(const Cost& cost, Message& out) {
  out.set_rounds(cost.rounds);
  for (int b = 0; b < 2; ++b) {
    out.add_opened_bytes(cost.opened_bytes[b]);
    out.add_material_bytes(cost.material_bytes[b]);
  }
}

v1::CompleteResponse EndOf(const TextResult& result) {
  v1::CompleteResponse response;
  v1::CompleteEnd& end = *response.mutable_end();
  end.set_prompt_tokens(result.sequences[0].prompt_tokens);
  end.set_tokens(result.sequences[0].generated.tokens.size());
  AddCost(result.cost, end);
  return response;
}

void AddResult(const TextClass& text, const std::vector<std::string>& labels,
               v1::ClassifyResponse& response) {
  v1::ClassifyResult& out = *response.add_results();
  out.set_label(labels[text.label]);
  out.set_tokens(text.tokens);
  for (size_t i = 0; i < labels.size(); ++i) {
    v1::LabelScore& score = *out.add_scores();
    score.set_label(labels[i]);
    score.set_logit(text.logits[i]);
    score.set_probability(text.probabilities[i]);
  }
}

}  // namespace

GatewayService::GatewayService(TextClient& client,
                               const GatewayOptions& options, Metrics& metrics)
    : client_(client),
      options_(options),
      metrics_(metrics),
      watcher_([this] { Watch(); }) {}

GatewayService::~GatewayService() { Stop(); }

grpc::Status GatewayService::Serve(
    grpc::ServerContext& context,
    const std::function<absl::Status(const CallOptions&)>& run) {
  Cancellation cancellation;
  absl::Status status = Begin(context, cancellation);
  if (!status.ok()) {
    metrics_.Rejected(RejectReason::kOverload);
    return ToGrpcStatus(status);
  }
  const absl::Time start = SteadyNow();
  CallOptions call{DeadlineOf(context), &cancellation,
                   TraceContext::Of(context)};
  if (!call.trace.exists()) call.trace = TraceContext::Begin();
  metrics_.SessionStarted();
  status = run(call);
  metrics_.SessionEnded(status);
  metrics_.Observe(Phase::kRequest, SteadyNow() - start);
  LogEvent(LogLevel::kInfo, "request_ended")
      .Trace(call.trace.id())
      .Elapsed("seconds", SteadyNow() - start)
      .Error(status);
  End(context);
  return ToGrpcStatus(status);
}

grpc::Status GatewayService::Complete(
    grpc::ServerContext* context, const v1::CompleteRequest* request,
    grpc::ServerWriter<v1::CompleteResponse>* writer) {
  return Serve(*context, [&](const CallOptions& call) {
    return RunComplete(*request, *writer, call);
  });
}

absl::Status GatewayService::RunComplete(
    const v1::CompleteRequest& request,
    grpc::ServerWriter<v1::CompleteResponse>& writer, const CallOptions& call) {
  ASSIGN_OR_RETURN(const TextRequest text,
                   RequestOf(request, options_.max_tokens));
  const TextFn write = [&](size_t, const std::string& piece) {
    v1::CompleteResponse response;
    response.set_piece(piece);
    return writer.Write(response);
  };
  ASSIGN_OR_RETURN(const TextResult result, client_.Infer(text, write, call));
  metrics_.AddTokens(TokenKind::kPrompt, result.sequences[0].prompt_tokens);
  metrics_.AddTokens(TokenKind::kGenerated,
                     result.sequences[0].generated.tokens.size());
  if (!writer.Write(EndOf(result))) {
    return absl::CancelledError("the caller has left");
  }
  return absl::OkStatus();
}

grpc::Status GatewayService::Classify(grpc::ServerContext* context,
                                      const v1::ClassifyRequest* request,
                                      v1::ClassifyResponse* response) {
  return Serve(*context, [&](const CallOptions& call) {
    return RunClassify(*request, *response, call);
  });
}

absl::Status GatewayService::RunClassify(const v1::ClassifyRequest& request,
                                         v1::ClassifyResponse& response,
                                         const CallOptions& call) {
  ASSIGN_OR_RETURN(const ClassifyRequest texts, RequestOf(request));
  ASSIGN_OR_RETURN(const ClassifyTextsResult result,
                   client_.Classify(texts, call));
  for (const TextClass& text : result.texts) {
    metrics_.AddTokens(TokenKind::kPrompt, static_cast<int64_t>(text.tokens));
    AddResult(text, client_.config().labels, response);
  }
  AddCost(result.cost, response);
  return absl::OkStatus();
}

grpc::Status GatewayService::GetModel(grpc::ServerContext* /*context*/,
                                      const v1::GetModelRequest* /*request*/,
                                      v1::GetModelResponse* response) {
  response->set_name(client_.model_name());
  response->set_context(client_.context());
  response->set_kind(ToProto(client_.kind()));
  for (const std::string& label : client_.config().labels) {
    response->add_labels(label);
  }
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
  while (!running_.empty() && SteadyNow() < deadline) {
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
