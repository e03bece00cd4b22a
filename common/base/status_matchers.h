// GoogleTest matchers for absl::Status and absl::StatusOr; test code only.
#ifndef TACIT_COMMON_BASE_STATUS_MATCHERS_H_
#define TACIT_COMMON_BASE_STATUS_MATCHERS_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

namespace tacit {

inline const absl::Status& GetStatus(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, "is OK") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status.ToString();
  return status.ok();
}

// The status has `code` and its message holds `part`.
MATCHER_P2(StatusIs, code, part, "has the code and message part") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         std::string(status.message()).find(part) != std::string::npos;
}

}  // namespace tacit

#define EXPECT_OK(expr) EXPECT_THAT((expr), ::tacit::IsOk())
#define ASSERT_OK(expr) ASSERT_THAT((expr), ::tacit::IsOk())

#endif  // TACIT_COMMON_BASE_STATUS_MATCHERS_H_
