#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define PR_CONCAT_INNER(a, b) a##b
#define PR_CONCAT(a, b) PR_CONCAT_INNER(a, b)

/// Returns the Status of `expr` from the enclosing function unless it is OK.
#define PR_RETURN_IF_ERROR(expr) PR_RETURN_IF_ERROR_INNER(PR_CONCAT(pr_status_, __LINE__), expr)
#define PR_RETURN_IF_ERROR_INNER(tmp, expr)               \
  do {                                                    \
    if (absl::Status tmp = (expr); !tmp.ok()) return tmp; \
  } while (false)

/// `lhs = *expr`, or returns its Status. `lhs` may declare a variable.
#define PR_ASSIGN_OR_RETURN(lhs, expr) \
  PR_ASSIGN_OR_RETURN_INNER(PR_CONCAT(pr_statusor_, __LINE__), lhs, expr)
#define PR_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) return std::move(tmp).status();  \
  lhs = *std::move(tmp)
