#include <algorithm>

#include "google/rpc/error_details.pb.h"

#include "server/api/convert.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr const char* kDomain = "postrider.dev";

google::rpc::BadRequest BadRequestOf(const ApiError& error) {
  google::rpc::BadRequest detail;
  const std::size_t count = std::min(error.violations.size(), kMaxViolations);
  for (std::size_t i = 0; i < count; ++i) {
    auto& violation = *detail.add_field_violations();
    violation.set_field(error.violations[i].field);
    violation.set_description(error.violations[i].description);
  }
  return detail;
}

google::rpc::PreconditionFailure PreconditionFailureOf(const ApiError& error) {
  google::rpc::PreconditionFailure detail;
  for (const ApiError::Precondition& precondition : error.preconditions) {
    auto& violation = *detail.add_violations();
    violation.set_type(precondition.type);
    violation.set_subject(precondition.subject);
    violation.set_description(precondition.description);
  }
  return detail;
}

google::rpc::QuotaFailure QuotaFailureOf(const ApiError& error) {
  google::rpc::QuotaFailure detail;
  for (const ApiError::QuotaViolation& quota : error.quotas) {
    auto& violation = *detail.add_violations();
    violation.set_subject(quota.subject);
    violation.set_description(quota.description);
  }
  return detail;
}

google::rpc::RetryInfo RetryInfoOf(std::chrono::milliseconds retry_after) {
  google::rpc::RetryInfo detail;
  detail.mutable_retry_delay()->set_seconds(retry_after.count() / 1000);
  detail.mutable_retry_delay()->set_nanos(
      static_cast<std::int32_t>(retry_after.count() % 1000 * 1'000'000));
  return detail;
}

}  // namespace

google::rpc::Status ToRpcStatus(const ApiError& error, const std::string& call_id) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(error.code));
  status.set_message(error.message);
  google::rpc::ErrorInfo info;
  info.set_reason(error.reason);
  info.set_domain(kDomain);
  info.mutable_metadata()->insert(error.metadata.begin(), error.metadata.end());
  status.add_details()->PackFrom(info);
  if (!error.violations.empty()) status.add_details()->PackFrom(BadRequestOf(error));
  if (!error.preconditions.empty()) status.add_details()->PackFrom(PreconditionFailureOf(error));
  if (!error.quotas.empty()) status.add_details()->PackFrom(QuotaFailureOf(error));
  if (error.retry_after) status.add_details()->PackFrom(RetryInfoOf(*error.retry_after));
  if (error.code == absl::StatusCode::kInternal) {
    google::rpc::RequestInfo request;
    request.set_request_id(call_id);
    status.add_details()->PackFrom(request);
  }
  return status;
}

grpc::Status ToGrpcStatus(const ApiError& error, const std::string& call_id) {
  return {static_cast<grpc::StatusCode>(error.code), error.message,
          ToRpcStatus(error, call_id).SerializeAsString()};
}

std::string PushbackOf(const ApiError& error) {
  if (error.never_retry) return "-1";
  return error.retry_after ? StrCat(error.retry_after->count()) : "";
}

bool MayBeRepeated(const ApiError& error) {
  if (error.never_retry) return false;
  return error.code == absl::StatusCode::kUnavailable || error.retry_after.has_value();
}

}  // namespace postrider
