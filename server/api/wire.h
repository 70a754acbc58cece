#pragma once

#include <optional>

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include "server/api/api_error.h"

namespace postrider {

// What is on the wire, and messages. Handlers get the bytes of a request instead of gRPC's parsed
// message: what gRPC cannot parse never reaches a handler, and its caller is told UNIMPLEMENTED
// without a reason.

/// Parses `bytes` into `out`. INVALID_FIELD: with a violation for each string field whose bytes are
/// not UTF-8, named as in validate.h; with none when the bytes are no such message at all. Pure.
std::optional<ApiError> ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message& out);

/// Replaces `out` by the bytes of `message`.
void WriteResponse(const google::protobuf::Message& message, grpc::ByteBuffer& out);

}  // namespace postrider
