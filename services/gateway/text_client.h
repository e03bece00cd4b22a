// A gateway's configuration made into a client that takes text.
#ifndef TACIT_SERVICES_GATEWAY_TEXT_CLIENT_H_
#define TACIT_SERVICES_GATEWAY_TEXT_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/gates/schema.h"
#include "services/config/config.h"
#include "services/gateway/client.h"
#include "services/gateway/text.h"

namespace tacit {

struct TextResult {
  std::vector<TextSequence> sequences;
  // Declared by the program for the steps that were run; what the roles count
  // is the same.
  Cost cost;
  double seconds_open = 0, seconds_prefill = 0, seconds_decode = 0;
};

struct ClassifyTextsResult {
  std::vector<TextClass> texts;
  Cost cost;  // declared; what the roles count is the same
  double seconds_open = 0, seconds = 0;
};

// Thread-safe.
class TextClient {
 public:
  // Loads what was provisioned for the gateway and its certificate.
  static absl::StatusOr<std::unique_ptr<TextClient>> Create(
      const GatewayConfig& config);
  ~TextClient();

  // As GatewayClient::CheckPlans.
  absl::Status CheckPlans(absl::Duration timeout);

  // Errors: FAILED_PRECONDITION if the model is a classifier; EncodePrompts',
  //   GatewayClient::Infer's.
  absl::StatusOr<TextResult> Infer(const TextRequest& request,
                                   const TextFn& on_text,
                                   const CallOptions& call = {});

  // Errors: FAILED_PRECONDITION if the model is no classifier; EncodeTexts',
  //   GatewayClient::Classify's.
  absl::StatusOr<ClassifyTextsResult> Classify(const ClassifyRequest& request,
                                               const CallOptions& call = {});

  const std::string& model_name() const;
  // What is served: architecture, labels, whether it classifies.
  const ModelConfig& config() const;
  ModelKind kind() const;
  // Positions of prompt and answer together, or of a text to classify.
  size_t context() const;

 private:
  struct Impl;
  explicit TextClient(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_GATEWAY_TEXT_CLIENT_H_
