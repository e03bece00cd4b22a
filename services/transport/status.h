// absl::Status inside, grpc::Status outside: converted once, at the edge.
#ifndef TACIT_SERVICES_TRANSPORT_STATUS_H_
#define TACIT_SERVICES_TRANSPORT_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace tacit {

// Code for code. Messages are cut to kMaxStatusMessageBytes, which HTTP/2
// trailers carry everywhere.
inline constexpr size_t kMaxStatusMessageBytes = 1024;
grpc::Status ToGrpcStatus(const absl::Status& status);

// Code for code; UNKNOWN for codes that neither side defines, UNAVAILABLE if
// the connection was lost. The peer's message is cut likewise: it controls the
// text.
absl::Status FromGrpcStatus(const grpc::Status& status);

// The same from a code and message as a peer sent them in a frame of its own;
// never OK.
absl::Status StatusFromPeer(int code, absl::string_view message);

// With `role`, whom it came from, in front of the message: a request's status
// may have come a long way.
absl::Status StatusOf(absl::string_view role, const absl::Status& status);

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_STATUS_H_
