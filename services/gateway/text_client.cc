#include "services/gateway/text_client.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/gates/cost.h"
#include "common/models/provision.h"
#include "services/runtime/host.h"

namespace tacit {
namespace {

// What a session of that shape costs.
Cost DeclaredCost(const ModelPlan& plan, const ModelMatrices& shapes,
                  const ProgramShape& shape, Rounding rounding) {
  CostEvaluator ev(rounding);
  RunModelProgram(ev, plan, shapes, shape);
  return ev.Finish();
}

}  // namespace

struct TextClient::Impl {
  GatewayFolder folder;
  std::unique_ptr<Tokenizer> tokenizer;
  ModelMatrices shapes;
  std::shared_ptr<ServiceCredentials> credentials;
  std::unique_ptr<GatewayClient> client;
};

TextClient::TextClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TextClient::~TextClient() = default;

absl::StatusOr<std::unique_ptr<TextClient>> TextClient::Create(
    const GatewayConfig& config) {
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(
      impl->credentials,
      MakeCredentials(
          config.tls, ServiceRole::kGateway, config.name,
          {config.dealer_address, config.party0_address, config.party1_address},
          nullptr));
  ASSIGN_OR_RETURN(impl->folder, LoadGatewayFolder(config.model));
  ASSIGN_OR_RETURN(impl->tokenizer, Tokenizer::Load(impl->folder.tokenizer));
  const ProvisionedPlan& plan = impl->folder.plan;
  impl->shapes = ShapesOnly(plan.plan, plan.info.weights);
  ClientOptions options;
  options.dealer_address = config.dealer_address;
  options.party_address[0] = config.party0_address;
  options.party_address[1] = config.party1_address;
  options.dealer_credentials = impl->credentials->Channel(ServiceRole::kDealer);
  for (int b = 0; b < 2; ++b) {
    options.party_credentials[b] = impl->credentials->Channel(PartyRole(b));
  }
  options.transport =
      TransportOptionsOf(config, /*stripes=*/1, *impl->credentials);
  options.step_timeout = config.deadlines.step;
  GenerationGateway::EmbedFn embed;
  if (impl->folder.embedding.has_value()) {
    embed = [raw = impl.get()](int64_t token, size_t position,
                               std::span<int64_t> row) {
      EmbedToken(std::get<DecoderPlan>(raw->folder.plan.plan),
                 *raw->folder.embedding, token, position, row);
    };
  }
  ASSIGN_OR_RETURN(impl->client,
                   GatewayClient::Create(plan.plan, plan.session_digest,
                                         options, std::move(embed)));
  return std::unique_ptr<TextClient>(new TextClient(std::move(impl)));
}

const std::string& TextClient::model_name() const {
  return impl_->folder.plan.info.model;
}

const ModelConfig& TextClient::config() const {
  return ConfigOf(impl_->folder.plan.plan);
}
ModelKind TextClient::kind() const { return KindOf(impl_->folder.plan.plan); }
size_t TextClient::context() const {
  return ContextOf(impl_->folder.plan.plan);
}

absl::Status TextClient::CheckPlans(absl::Duration timeout) {
  return impl_->client->CheckPlans(timeout);
}

absl::StatusOr<TextResult> TextClient::Infer(const TextRequest& request,
                                             const TextFn& on_text,
                                             const CallOptions& call) {
  const ProvisionedPlan& plan = impl_->folder.plan;
  RETURN_IF_ERROR(CheckKind(plan.plan, ModelKind::kDecoder));
  ASSIGN_OR_RETURN(const auto prompts,
                   EncodePrompts(*impl_->tokenizer, request));
  InferOptions options;
  options.max_tokens = request.max_tokens;
  options.sampling = request.sampling;
  options.sampling_side = request.sampling_side;
  options.embedding_side = request.embedding_side;
  options.stop_tokens = config().eos_ids;
  options.rounding = request.rounding;
  static_cast<CallOptions&>(options) = call;
  Transcripts transcripts(*impl_->tokenizer, request, on_text);
  ASSIGN_OR_RETURN(
      InferResult result,
      impl_->client->Infer(prompts, options, [&](size_t s, int64_t token) {
        return transcripts.Add(s, token);
      }));
  ASSIGN_OR_RETURN(std::vector<std::string> texts, transcripts.Finish());
  TextResult out;
  size_t steps = 1;
  for (size_t i = 0; i < prompts.size(); ++i) {
    steps = std::max(steps, result.sequences[i].tokens.size());
    out.sequences.push_back({std::move(texts[i]), prompts[i].size(),
                             std::move(result.sequences[i])});
  }
  const GenerationShape shape =
      MakeShape(prompts, steps, request.sampling_side, request.embedding_side,
                request.sampling);
  out.cost = DeclaredCost(plan.plan, impl_->shapes, shape, request.rounding);
  out.seconds_open = result.seconds_open;
  out.seconds_prefill = result.seconds_prefill;
  out.seconds_decode = result.seconds_decode;
  return out;
}

absl::StatusOr<ClassifyTextsResult> TextClient::Classify(
    const ClassifyRequest& request, const CallOptions& call) {
  const ModelPlan& plan = impl_->folder.plan.plan;
  RETURN_IF_ERROR(CheckKind(plan, ModelKind::kClassifier));
  ASSIGN_OR_RETURN(const TextBatch texts,
                   EncodeTexts(*impl_->tokenizer, request));
  ASSIGN_OR_RETURN(ClassifyTokensResult result,
                   impl_->client->Classify(texts, {call, request.rounding}));
  ClassifyTextsResult out;
  for (size_t i = 0; i < texts.tokens.size(); ++i) {
    out.texts.push_back(
        ClassOf(std::move(result.logits[i]), texts.tokens[i].size()));
  }
  out.cost =
      DeclaredCost(plan, impl_->shapes, ShapeOf(texts), request.rounding);
  out.seconds_open = result.seconds_open;
  out.seconds = result.seconds;
  return out;
}

}  // namespace tacit
