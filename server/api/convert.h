#pragma once

#include <string>

#include "google/rpc/status.pb.h"
#include <grpcpp/support/status.h>

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/model/message.h"
#include "server/store/store.h"

namespace postrider {

/// The one way from our errors to gRPC's: the code, and google.rpc.Status with ErrorInfo (domain
/// "postrider.dev") and what else the error has. INTERNAL says nothing of its cause: that is in
/// the log (Refuse, call.h) under `call_id`, which the caller gets as RequestInfo. Pure.
google::rpc::Status ToRpcStatus(const ApiError& error, const std::string& call_id);
grpc::Status ToGrpcStatus(const ApiError& error, const std::string& call_id);

/// The value of the trailer grpc-retry-pushback-ms: -1 for never, empty when the error has none.
/// Source: gRFC A6, "Pushback".
std::string PushbackOf(const ApiError& error);
/// Whether the same may be asked again, after what RetryInfo says: what clients make of the code
/// and the pushback of a call that ended so.
bool MayBeRepeated(const ApiError& error);

/// Our words to the contract's, and back. Pure.
void ToProto(const MessageRequest& request, v1::Message& out);
void ToProto(const Message& message, v1::Message& out);
/// With its latest change as the history has it: the row of a message does not keep the cause.
void ToProto(const MessageRecord& record, v1::Message& out);
void ToProto(const StatusEvent& event, v1::StatusChange& out);
void ToProto(const Attempt& attempt, v1::Attempt& out);
void ToProto(WallTime time, google::protobuf::Timestamp& out);

/// The address of the tenant's sender of this id; the id when it is registered no more, empty when
/// it is nil. Pure.
std::string AddressOf(const TenantRow& tenant, SenderId sender_id);

}  // namespace postrider
