// Status propagation. Debian 12's Abseil (20220623) has no such macros.
#ifndef TACIT_COMMON_BASE_STATUS_MACROS_H_
#define TACIT_COMMON_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function if `expr`, an absl::Status, is not OK.
#define RETURN_IF_ERROR(expr)                                       \
  do {                                                              \
    if (absl::Status tacit_status_ = (expr); !tacit_status_.ok()) { \
      return tacit_status_;                                         \
    }                                                               \
  } while (false)

// Evaluates `expr`, an absl::StatusOr<T>; returns its status if it is not OK,
// else moves the value into `lhs`, which may be a declaration.
#define ASSIGN_OR_RETURN(lhs, expr) \
  TACIT_ASSIGN_OR_RETURN_(TACIT_CONCAT_(tacit_or_, __LINE__), lhs, expr)

#define TACIT_ASSIGN_OR_RETURN_(tmp, lhs, expr)  \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)

#define TACIT_CONCAT_(a, b) TACIT_CONCAT_INNER_(a, b)
#define TACIT_CONCAT_INNER_(a, b) a##b

#endif  // TACIT_COMMON_BASE_STATUS_MACROS_H_
