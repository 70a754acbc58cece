#pragma once

#include <stop_token>

#include "absl/status/statusor.h"

#include "client/connection.h"
#include "client/error.h"
#include "client/retry.h"

namespace postrider::client {

/// Calls `method` of `stub` until it is answered, fails for good, or the budget is spent. Blocks.
template <typename Stub, typename Response, typename Request>
absl::StatusOr<Response> CallWithRetries(const Connection& connection, Stub& stub,
                                         grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                      const Request&, Response*),
                                         const Request& request, std::stop_token stop) {
  const Seams& seams = connection.seams();
  const RetryOptions& retry = connection.options().retry;
  RetryBudget budget(retry, seams.clock.Now());
  for (int failures = 1;; ++failures) {
    const std::unique_ptr<grpc::ClientContext> context = connection.NewContext();
    Response response;
    const grpc::Status status = (stub.*method)(context.get(), request, &response);
    if (status.ok()) return response;
    const Error error = DecodeError(status);
    const auto pause = RetryPauseOf(error, PushbackOf(context->GetServerTrailingMetadata()),
                                    failures, retry, seams.random);
    if (!pause.has_value() || !budget.Take(error, seams.clock.Now(), *pause) ||
        seams.wait(stop, *pause)) {
      return ToAbslStatus(status);
    }
    connection.AwaitConnected(stop);
  }
}

}  // namespace postrider::client
