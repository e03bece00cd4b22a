// The kernel layer's errors as the rest of Tacit knows them.
#ifndef TACIT_GPU_BASE_STATUS_H_
#define TACIT_GPU_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gpu/base/error.h"

namespace tacit::gpu {

// The same code and message.
absl::Status ToStatus(const Error& error);

template <typename T>
absl::StatusOr<T> ToStatusOr(Result<T> result) {
  if (!result.ok()) return ToStatus(result.error());
  return *std::move(result);
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_STATUS_H_
