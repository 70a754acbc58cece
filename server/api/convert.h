#pragma once

#include <string>

#include <grpcpp/support/status.h>

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/model/message.h"

namespace postrider {

/// The one way from our errors to gRPC's: the code, and google.rpc.Status with ErrorInfo (domain
/// "postrider.dev") and what else the error has. INTERNAL says nothing of its cause: that is in
/// the log (Refuse, call.h) under `call_id`, which the caller gets as RequestInfo. Pure.
grpc::Status ToGrpcStatus(const ApiError& error, const std::string& call_id);

/// The value of the trailer grpc-retry-pushback-ms: -1 for never, empty when the error has none.
/// Source: gRFC A6, "Pushback".
std::string PushbackOf(const ApiError& error);

/// Our words to the contract's, and back. Pure.
void ToProto(const MessageRequest& request, v1::Message& out);
void ToProto(const Message& message, v1::Message& out);
void ToProto(const StatusEvent& event, v1::StatusChange& out);
void ToProto(const Attempt& attempt, v1::Attempt& out);
void ToProto(WallTime time, google::protobuf::Timestamp& out);

}  // namespace postrider
