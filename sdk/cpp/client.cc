#include "sdk/cpp/include/tacit/client.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "services/config/config.h"
#include "services/config/loader.h"
#include "services/gateway/text_client.h"

namespace tacit {
namespace {

TextRequest RequestOf(const std::string& prompt,
                      const CompletionOptions& options) {
  TextRequest request;
  request.prompts = {prompt};
  request.chat = options.chat;
  request.max_tokens = options.max_tokens;
  request.sampling = {options.temperature, options.top_k, options.top_p,
                      options.repetition_penalty, options.seed};
  request.sampling_side = options.sample_at == SampleAt::kParties
                              ? SamplingSide::kSecure
                              : SamplingSide::kClient;
  request.stop = options.stop;
  request.rounding =
      options.faithful_rounding ? Rounding::kFaithful : Rounding::kStochastic;
  return request;
}

ClassifyRequest RequestOf(const std::vector<ClassificationInput>& texts,
                          const ClassificationOptions& options) {
  ClassifyRequest request;
  for (const ClassificationInput& one : texts) {
    request.texts.push_back({one.text, one.text_pair});
  }
  request.rounding =
      options.faithful_rounding ? Rounding::kFaithful : Rounding::kStochastic;
  return request;
}

// To a Completion or a Classification.
template <typename Result>
void SetCost(const Cost& cost, Result& out) {
  out.rounds = cost.rounds;
  std::copy_n(cost.opened_bytes, 2, out.opened_bytes);
  std::copy_n(cost.material_bytes, 2, out.material_bytes);
}

Classification ResultOf(const TextClass& text,
                        const std::vector<std::string>& labels) {
  Classification out;
  out.label = labels[text.label];
  for (size_t i = 0; i < labels.size(); ++i) {
    out.scores.push_back({labels[i], text.logits[i], text.probabilities[i]});
  }
  out.tokens = text.tokens;
  return out;
}

}  // namespace

struct Client::Impl {
  std::unique_ptr<TextClient> client;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Create(
    const std::string& config_file) {
  ConfigFlags flags;
  flags.file = config_file;
  ASSIGN_OR_RETURN(const LoadedConfig<GatewayConfig> loaded,
                   LoadConfig<GatewayConfig>(flags));
  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(impl->client, TextClient::Create(loaded.config));
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

const std::string& Client::model() const { return impl_->client->model_name(); }

const std::vector<std::string>& Client::labels() const {
  return impl_->client->config().labels;
}

absl::Status Client::Check(absl::Duration timeout) {
  return impl_->client->CheckPlans(timeout);
}

absl::StatusOr<Completion> Client::Infer(const std::string& prompt,
                                         const CompletionOptions& options,
                                         const PieceFn& on_piece) {
  TextFn on_text;
  if (on_piece) {
    on_text = [&](size_t, const std::string& piece) { return on_piece(piece); };
  }
  ASSIGN_OR_RETURN(TextResult result,
                   impl_->client->Infer(RequestOf(prompt, options), on_text,
                                        {.deadline = options.deadline}));
  TextSequence& sequence = result.sequences[0];
  Completion out;
  out.text = std::move(sequence.text);
  out.tokens = std::move(sequence.generated.tokens);
  out.prompt_tokens = sequence.prompt_tokens;
  SetCost(result.cost, out);
  return out;
}

absl::StatusOr<Classification> Client::Classify(
    const std::string& text, const std::optional<std::string>& text_pair,
    const ClassificationOptions& options) {
  ASSIGN_OR_RETURN(std::vector<Classification> one,
                   ClassifyBatch({{text, text_pair}}, options));
  return std::move(one[0]);
}

absl::StatusOr<std::vector<Classification>> Client::ClassifyBatch(
    const std::vector<ClassificationInput>& texts,
    const ClassificationOptions& options) {
  ASSIGN_OR_RETURN(const ClassifyTextsResult result,
                   impl_->client->Classify(RequestOf(texts, options),
                                           {.deadline = options.deadline}));
  std::vector<Classification> out;
  for (const TextClass& text : result.texts) {
    SetCost(result.cost, out.emplace_back(ResultOf(text, labels())));
  }
  return out;
}

}  // namespace tacit
