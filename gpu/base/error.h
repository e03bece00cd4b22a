// Errors of the kernel layer, which has only the standard library. The rest of
// Tacit sees absl::Status: gpu/base/status.h converts.
#ifndef TACIT_GPU_BASE_ERROR_H_
#define TACIT_GPU_BASE_ERROR_H_

#include <optional>
#include <string>
#include <utility>

namespace tacit::gpu {

// Named and meant as in absl::StatusCode.
enum class Code {
  kOk,
  kInvalidArgument,
  kFailedPrecondition,
  kResourceExhausted,
  kUnavailable,
  kInternal,
};

class [[nodiscard]] Error {
 public:
  Error() = default;  // no error
  Error(Code code, std::string message)
      : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// A T, or why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: as absl::StatusOr
  Result(Error error) : error_(std::move(error)) {}  // NOLINT; not ok

  bool ok() const { return value_.has_value(); }
  const Error& error() const { return error_; }
  // Require ok().
  T& operator*() & { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }

 private:
  Error error_;
  std::optional<T> value_;
};

// As RETURN_IF_ERROR and ASSIGN_OR_RETURN of common/base/status_macros.h.
#define TACIT_GPU_RETURN_IF_ERROR(expr)                                  \
  do {                                                                   \
    if (::tacit::gpu::Error tacit_error_ = (expr); !tacit_error_.ok()) { \
      return tacit_error_;                                               \
    }                                                                    \
  } while (false)

#define TACIT_GPU_ASSIGN_OR_RETURN(lhs, expr) \
  TACIT_GPU_ASSIGN_OR_RETURN_(TACIT_GPU_CONCAT_(tacit_or_, __LINE__), lhs, expr)

#define TACIT_GPU_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                                \
  if (!tmp.ok()) return tmp.error();                \
  lhs = *std::move(tmp)

#define TACIT_GPU_CONCAT_(a, b) TACIT_GPU_CONCAT_INNER_(a, b)
#define TACIT_GPU_CONCAT_INNER_(a, b) a##b

}  // namespace tacit::gpu

#endif  // TACIT_GPU_BASE_ERROR_H_
