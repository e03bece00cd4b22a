#include "tests/proxied.h"

#include <signal.h>

#include <utility>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "tests/requests.h"

namespace tacit {
namespace {

// The flag that says where a role finds the server of its link.
std::string AddressFlag(const std::string& link) {
  return ServerOf(link) == "dealer" ? "--dealer-address" : "--peer-address";
}

}  // namespace

std::string ServerOf(const std::string& link) {
  return link.substr(link.find('-') + 1);
}

absl::StatusOr<std::unique_ptr<ProxiedDeployment>> ProxiedDeployment::Start(
    Options options) {
  std::unique_ptr<ProxiedDeployment> made(
      new ProxiedDeployment(std::move(options)));
  for (const char* link : kLinks) {
    made->proxies_[link] =
        std::make_unique<Proxy>(made->options_.proxies[link]);
  }
  UpOptions up = made->options_.up;
  up.adjust = [made = made.get()](const std::string& role,
                                  std::vector<std::string>& words) {
    for (const auto& [link, proxy] : made->proxies_) {
      if (link.rfind(role + "-", 0) != 0) continue;
      words.insert(words.end(), {AddressFlag(link), proxy->address()});
    }
    for (const std::string& who : {std::string("*"), role}) {
      const auto& flags = made->options_.flags[who];
      words.insert(words.end(), flags.begin(), flags.end());
    }
    const auto& adjust = made->options_.up.adjust;
    if (adjust) adjust(role, words);
  };
  ASSIGN_OR_RETURN(made->deployment_, Deployment::Start(up));
  for (const auto& [link, proxy] : made->proxies_) {
    proxy->SetTarget(made->deployment_->address(ServerOf(link)));
  }
  ASSIGN_OR_RETURN(made->client_, made->NewClient());
  return made;
}

absl::StatusOr<std::unique_ptr<TextClient>> ProxiedDeployment::NewClient()
    const {
  GatewayConfig config = deployment_->gateway();
  config.dealer_address = proxies_.at("gateway-dealer")->address();
  config.party0_address = proxies_.at("gateway-party0")->address();
  config.party1_address = proxies_.at("gateway-party1")->address();
  config.deadlines.step = options_.gateway_step;
  config.tls.refresh = absl::Seconds(1);
  return TextClient::Create(config);
}

absl::StatusOr<std::string> ProxiedDeployment::Text(size_t tokens,
                                                    absl::Duration limit) {
  return TextOf(*client_, tokens, limit);
}

absl::StatusOr<std::string> ProxiedDeployment::TextSoon(size_t tokens,
                                                        absl::Duration limit) {
  const absl::Time until = absl::Now() + limit;
  absl::StatusOr<std::string> text = Text(tokens, limit);
  while (!text.ok() && absl::Now() < until) {
    absl::SleepFor(absl::Milliseconds(100));
    text = Text(tokens, until - absl::Now());
  }
  return text;
}

void ProxiedDeployment::Kill(const std::string& role) {
  kill(deployment_->pid(role), SIGKILL);
  while (deployment_->Check().ok()) absl::SleepFor(absl::Milliseconds(5));
}

}  // namespace tacit
