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
                                        options.deadline));
  TextSequence& sequence = result.sequences[0];
  Completion out;
  out.text = std::move(sequence.text);
  out.tokens = std::move(sequence.generated.tokens);
  out.prompt_tokens = sequence.prompt_tokens;
  out.rounds = result.cost.rounds;
  std::copy_n(result.cost.opened_bytes, 2, out.opened_bytes);
  std::copy_n(result.cost.material_bytes, 2, out.material_bytes);
  return out;
}

}  // namespace tacit
