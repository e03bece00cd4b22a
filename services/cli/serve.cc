#include "services/cli/serve.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "services/gateway/text_client.h"
#include "services/telemetry/shutdown.h"

namespace tacit {
namespace {

constexpr absl::Duration kCheck = absl::Seconds(10);

absl::StatusOr<RunResult> Infer(TextClient& client, const TextRequest& request,
                                const RunEvents& events) {
  if (events.on_phase) events.on_phase("prefill");
  ASSIGN_OR_RETURN(TextResult text, client.Infer(request, events.on_text));
  RunResult result;
  result.sequences = std::move(text.sequences);
  result.counted = text.cost;
  result.seconds_plan = text.seconds_open;
  result.seconds_prefill = text.seconds_prefill;
  result.seconds_decode = text.seconds_decode;
  // Dealing goes on while the parties compute.
  result.seconds_material = text.seconds_prefill + text.seconds_decode;
  return result;
}

absl::StatusOr<ClassifyRunResult> Classify(TextClient& client,
                                           const ClassifyRequest& request,
                                           const PhaseFn& on_phase) {
  if (on_phase) on_phase("classifying");
  ASSIGN_OR_RETURN(ClassifyTextsResult texts, client.Classify(request));
  ClassifyRunResult result;
  result.labels = client.config().labels;
  result.texts = std::move(texts.texts);
  result.counted = texts.cost;
  result.seconds_plan = texts.seconds_open;
  result.seconds_online = texts.seconds;
  // Dealing goes on while the parties compute.
  result.seconds_material = texts.seconds;
  return result;
}

// Dealer and parties that come up for one request, and a client of theirs.
struct Temporary {
  std::unique_ptr<Deployment> deployment;
  std::unique_ptr<TextClient> client;
};
absl::StatusOr<Temporary> StartFor(const RunOptions& options,
                                   const PhaseFn& on_phase) {
  UpOptions up;
  up.model = options.model;
  up.plan = options.plan;
  up.weights = options.weights;
  up.client_embedding =
      options.request.embedding_side == EmbeddingSide::kClient;
  up.threads = options.threads;
  up.device = options.device;
  up.prefetch = 0;  // one session is all
  up.on_phase = on_phase;
  Temporary out;
  ASSIGN_OR_RETURN(out.deployment, Deployment::Start(up));
  ASSIGN_OR_RETURN(out.client, TextClient::Create(out.deployment->gateway()));
  return out;
}

std::string Purpose(const TextClient& client) {
  if (client.kind() == ModelKind::kDecoder) {
    return absl::StrCat("continues text, ", client.context(),
                        " positions of prompt and answer");
  }
  return absl::StrCat("classifies texts of up to ", client.context(),
                      " tokens: ", absl::StrJoin(client.config().labels, ", "));
}

}  // namespace

absl::StatusOr<RunResult> RunDeployed(const RunOptions& options,
                                      const RunEvents& events) {
  const absl::Time start = SteadyNow();
  ASSIGN_OR_RETURN(const Temporary up, StartFor(options, events.on_phase));
  const double seconds = SecondsSince(start);
  ASSIGN_OR_RETURN(RunResult result,
                   Infer(*up.client, options.request, events));
  result.seconds_plan += seconds;
  result.seconds_total = SecondsSince(start);
  return result;
}

absl::StatusOr<ClassifyRunResult> ClassifyDeployed(
    const RunOptions& options, const ClassifyRequest& request,
    const PhaseFn& on_phase) {
  const absl::Time start = SteadyNow();
  ASSIGN_OR_RETURN(const Temporary up, StartFor(options, on_phase));
  const double seconds = SecondsSince(start);
  ASSIGN_OR_RETURN(ClassifyRunResult result,
                   Classify(*up.client, request, on_phase));
  result.seconds_plan += seconds;
  result.seconds_total = SecondsSince(start);
  return result;
}

absl::StatusOr<RunResult> InferOnce(const GatewayConfig& config,
                                    const TextRequest& request,
                                    const RunEvents& events) {
  const absl::Time start = SteadyNow();
  ASSIGN_OR_RETURN(const std::unique_ptr<TextClient> client,
                   TextClient::Create(config));
  ASSIGN_OR_RETURN(RunResult result, Infer(*client, request, events));
  result.seconds_total = SecondsSince(start);
  return result;
}

absl::StatusOr<ClassifyRunResult> ClassifyOnce(const GatewayConfig& config,
                                               const ClassifyRequest& request,
                                               const PhaseFn& on_phase) {
  const absl::Time start = SteadyNow();
  ASSIGN_OR_RETURN(const std::unique_ptr<TextClient> client,
                   TextClient::Create(config));
  ASSIGN_OR_RETURN(ClassifyRunResult result,
                   Classify(*client, request, on_phase));
  result.seconds_total = SecondsSince(start);
  return result;
}

absl::StatusOr<std::string> DeploymentStatus(const GatewayConfig& config) {
  ASSIGN_OR_RETURN(const std::unique_ptr<TextClient> client,
                   TextClient::Create(config));
  RETURN_IF_ERROR(client->CheckPlans(kCheck));
  return absl::StrCat("model ", client->model_name(), " (",
                      ToString(client->config().architecture), ") ",
                      Purpose(*client),
                      "\ndealer, party 0 and party 1 are up and serve the "
                      "gateway's plan");
}

absl::Status StayUp(const UpOptions& options) {
  RETURN_IF_ERROR(ShutdownSignals::Block());
  std::atomic<bool> asked{false};
  ASSIGN_OR_RETURN(const auto signals,
                   ShutdownSignals::Watch([&](int) { asked = true; }));
  UpOptions all = options;
  all.gateway = true;
  ASSIGN_OR_RETURN(const std::unique_ptr<Deployment> deployment,
                   Deployment::Start(all));
  std::printf(
      "up, the gateway at %s; try:  tacit infer --config %s/gateway.yaml "
      "\"TEXT\"\n",
      deployment->gateway().listen.c_str(), deployment->folder().c_str());
  std::fflush(stdout);
  while (!asked) {
    RETURN_IF_ERROR(deployment->Check());
    absl::SleepFor(absl::Milliseconds(100));
  }
  return absl::OkStatus();
}

}  // namespace tacit
