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

// Thread-safe.
class TextClient {
 public:
  // Loads what was provisioned for the gateway and its certificate.
  static absl::StatusOr<std::unique_ptr<TextClient>> Create(
      const GatewayConfig& config);
  ~TextClient();

  // As GatewayClient::CheckPlans.
  absl::Status CheckPlans(absl::Duration timeout);

  // Errors: EncodePrompts', GatewayClient::Infer's.
  absl::StatusOr<TextResult> Infer(const TextRequest& request,
                                   const TextFn& on_text,
                                   absl::Time deadline = absl::InfiniteFuture(),
                                   Cancellation* cancellation = nullptr);

  const std::string& model_name() const;
  size_t context() const;  // positions of prompt and answer together

 private:
  struct Impl;
  explicit TextClient(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_GATEWAY_TEXT_CLIENT_H_
