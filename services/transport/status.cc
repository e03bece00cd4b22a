#include "services/transport/status.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace tacit {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(
      static_cast<grpc::StatusCode>(status.code()),
      std::string(status.message().substr(0, kMaxStatusMessageBytes)));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // What gRPC says when a connection breaks in one of several ways.
  if (status.error_code() == grpc::StatusCode::UNKNOWN &&
      status.error_message() == "Stream removed") {
    return absl::UnavailableError("the connection was lost");
  }
  return StatusFromPeer(status.error_code(), status.error_message());
}

absl::Status StatusFromPeer(int code, absl::string_view message) {
  const bool known = code > 0 && code <= grpc::StatusCode::UNAUTHENTICATED;
  return absl::Status(
      known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
      message.substr(0, kMaxStatusMessageBytes));
}

absl::Status StatusOf(absl::string_view role, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(role, ": ", status.message()));
}

}  // namespace tacit
