#include "gpu/base/status.h"

namespace tacit::gpu {
namespace {

absl::StatusCode ToAbsl(Code code) {
  switch (code) {
    case Code::kOk:
      return absl::StatusCode::kOk;
    case Code::kInvalidArgument:
      return absl::StatusCode::kInvalidArgument;
    case Code::kFailedPrecondition:
      return absl::StatusCode::kFailedPrecondition;
    case Code::kResourceExhausted:
      return absl::StatusCode::kResourceExhausted;
    case Code::kUnavailable:
      return absl::StatusCode::kUnavailable;
    case Code::kInternal:
      return absl::StatusCode::kInternal;
  }
  return absl::StatusCode::kUnknown;
}

}  // namespace

absl::Status ToStatus(const Error& error) {
  return absl::Status(ToAbsl(error.code()), error.message());
}

}  // namespace tacit::gpu
