// Calls that a role makes, one by one, as a test likes: with the role's own
// certificate.
#ifndef TACIT_TESTS_ROLE_CALLS_H_
#define TACIT_TESTS_ROLE_CALLS_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "services/cli/up.h"
#include "tacit/v1/plan.pb.h"
#include "tests/role_channels.h"

namespace tacit {

class RoleCalls {
 public:
  // `roles` must outlive it.
  explicit RoleCalls(const Deployment& roles) : roles_(roles) {}

  // As a gateway: opens a session, and does nothing with it. Its id.
  std::string Open();
  // As a party: whether a session's material begins to come, for the party
  // that the call claims to be; or why not.
  absl::Status Fetch(int party, const std::string& session, int claimed);
  // As a gateway: what a party says if it is to begin this session.
  absl::Status Infer(int party, const std::string& session);

 private:
  std::shared_ptr<grpc::Channel> ChannelAs(const std::string& caller,
                                           ServiceRole role,
                                           const std::string& server,
                                           ServiceRole server_role);

  const Deployment& roles_;
  RoleChannels channels_;
  std::string digest_;
  v1::SessionShape shape_;
};

}  // namespace tacit

#endif  // TACIT_TESTS_ROLE_CALLS_H_
