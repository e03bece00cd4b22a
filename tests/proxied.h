// A deployment whose roles reach each other through proxies.
#ifndef TACIT_TESTS_PROXIED_H_
#define TACIT_TESTS_PROXIED_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/cli/up.h"
#include "services/gateway/text_client.h"
#include "tests/proxy.h"

namespace tacit {

// Who calls whom.
inline constexpr const char* kLinks[] = {"gateway-dealer", "gateway-party0",
                                         "gateway-party1", "party0-party1",
                                         "party0-dealer",  "party1-dealer"};

class ProxiedDeployment {
 public:
  struct Options {
    UpOptions up;
    // Flags of roles, in addition; "*": of all.
    std::map<std::string, std::vector<std::string>> flags;
    std::map<std::string, Proxy::Options> proxies;  // by link
    absl::Duration gateway_step = absl::Seconds(30);
  };
  static absl::StatusOr<std::unique_ptr<ProxiedDeployment>> Start(
      Options options);

  Deployment& roles() { return *deployment_; }
  TextClient& client() { return *client_; }
  Proxy& proxy(const std::string& link) { return *proxies_.at(link); }
  // Of a role that is started from now on.
  std::vector<std::string>& flags(const std::string& role) {
    return options_.flags[role];
  }

  // A client of its own, with connections of its own.
  absl::StatusOr<std::unique_ptr<TextClient>> NewClient() const;
  // Generates `tokens` tokens after a fixed prompt, within `limit`.
  absl::StatusOr<std::string> Text(size_t tokens,
                                   absl::Duration limit = absl::Minutes(1));
  // The same, for a deployment that is healing: asks again until it succeeds
  // or `limit` has passed.
  absl::StatusOr<std::string> TextSoon(size_t tokens, absl::Duration limit);
  // Kills a role, and waits for its end.
  void Kill(const std::string& role);

 private:
  explicit ProxiedDeployment(Options options) : options_(std::move(options)) {}

  Options options_;
  std::map<std::string, std::unique_ptr<Proxy>> proxies_;
  std::unique_ptr<Deployment> deployment_;
  std::unique_ptr<TextClient> client_;
};

// The server of a link.
std::string ServerOf(const std::string& link);

}  // namespace tacit

#endif  // TACIT_TESTS_PROXIED_H_
