// Channels to the roles of a deployment, with the certificate of any of them.
#ifndef TACIT_TESTS_ROLE_CHANNELS_H_
#define TACIT_TESTS_ROLE_CHANNELS_H_

#include <grpcpp/create_channel.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/cli/up.h"
#include "services/runtime/host.h"
#include "services/security/tls.h"

namespace tacit {

// Must outlive the channels: gRPC needs their credentials.
class RoleChannels {
 public:
  // To `server` at `address`, as `caller`, whose certificate the deployment
  // keeps in `folder`.
  std::shared_ptr<grpc::Channel> To(const Deployment& roles,
                                    const std::string& address,
                                    ServiceRole server,
                                    ServiceRole caller = ServiceRole::kGateway,
                                    const std::string& folder = "gateway") {
    TlsConfig tls = roles.gateway().tls;
    const std::string certs = roles.folder() + "/certs/" + folder;
    tls.cert = certs + "/cert.pem";
    tls.key = certs + "/key.pem";
    auto credentials = MakeCredentials(tls, caller, "", {}, nullptr);
    EXPECT_OK(credentials);
    credentials_.push_back(*credentials);
    return grpc::CreateChannel(address, (*credentials)->Channel(server));
  }

 private:
  std::vector<std::shared_ptr<ServiceCredentials>> credentials_;
};

}  // namespace tacit

#endif  // TACIT_TESTS_ROLE_CHANNELS_H_
