#pragma once

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

namespace postrider {

/// A call's error as a client decodes it.
struct Decoded {
  explicit Decoded(const grpc::Status& from) : code(from.error_code()) {
    google::rpc::Status status;
    EXPECT_TRUE(status.ParseFromString(from.error_details()));
    for (const auto& detail : status.details()) {
      detail.UnpackTo(&info);
      detail.UnpackTo(&bad_request);
      detail.UnpackTo(&precondition);
      detail.UnpackTo(&quota);
      has_retry = detail.UnpackTo(&retry) || has_retry;
      detail.UnpackTo(&request);
    }
    if (!from.ok()) {
      EXPECT_EQ(info.domain(), "postrider.dev");
    }
  }
  grpc::StatusCode code;
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  google::rpc::PreconditionFailure precondition;
  google::rpc::QuotaFailure quota;
  google::rpc::RetryInfo retry;
  google::rpc::RequestInfo request;
  bool has_retry = false;
};

}  // namespace postrider
