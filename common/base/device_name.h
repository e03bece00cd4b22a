// What programs and services call the device that they compute on.
#ifndef TACIT_COMMON_BASE_DEVICE_NAME_H_
#define TACIT_COMMON_BASE_DEVICE_NAME_H_

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tacit {

// nullopt for "cpu", else a CUDA device's number: "cuda" (0) or "cuda:N".
// INVALID_ARGUMENT for anything else.
absl::StatusOr<std::optional<int>> ParseDevice(absl::string_view name);

}  // namespace tacit

#endif  // TACIT_COMMON_BASE_DEVICE_NAME_H_
