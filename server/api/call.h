#pragma once

#include <array>
#include <atomic>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/api/api_error.h"
#include "server/api/calls_under_way.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/model/ids.h"

namespace postrider {

/// Counts the calls of one method, by code and by time, and those under way. Safe from any thread.
class CallMeter {
 public:
  /// `metrics` and `calls` must outlive it. `method` as in the .proto.
  CallMeter(Metrics& metrics, CallsUnderWay& calls, const std::string& method);
  /// A call has begun; Count follows when it ends.
  void Began() { calls_.Begin(); }
  void Count(absl::StatusCode code, std::chrono::nanoseconds took);
  /// One of them was refused, and for this reason.
  void CountRefusal(const std::string& reason);
  const std::string& method() const { return method_; }

 private:
  static constexpr std::size_t kCodes = 17;

  Metrics& metrics_;
  CallsUnderWay& calls_;
  const std::string method_;
  Histogram& seconds_;
  std::array<std::atomic<Counter*>, kCodes> by_code_{};  ///< Made when first seen.
};

/// Logs `error` under a call id, which it returns. `tenant`: nil while it is not known.
std::string NoteRefusal(Random& random, const ApiError& error, std::string_view method,
                        TenantId tenant);

/// Adds the trailers of `error`, logs it under the call id that the caller gets as
/// postrider-call-id, and returns what to Finish with. Never touches initial metadata: clients do
/// not repeat a call that had some.
grpc::Status Refuse(grpc::CallbackServerContext& context, Random& random, const ApiError& error,
                    std::string_view method, TenantId tenant);

/// The metadata `authorization`; empty when there is none, or more than one.
std::string_view AuthorizationOf(const grpc::CallbackServerContext& context);

/// The messages of a unary call, for as long as gRPC is not done with it; deletes itself then.
template <typename Request, typename Response>
class UnaryMessages final : public grpc::ServerUnaryReactor {
 public:
  void OnDone() override { delete this; }

  Request request;
  Response response;
};

/// A unary call under way: copied into whatever continues it; ends once, by Ok or Fail. The
/// messages may be gone afterwards.
struct UnaryCall {
  const Clock* clock;
  Random* random;
  CallMeter* meter;
  grpc::CallbackServerContext* context;
  grpc::ServerUnaryReactor* reactor;
  MonotonicTime began;
  const google::protobuf::Message* response;
  grpc::ByteBuffer* answer;  ///< gRPC's: gets the bytes of `response`.
  TenantId tenant;           ///< Nil while it is not known.

  /// Answers with `response`.
  void Ok() const;
  void Fail(const ApiError& error) const;
};

}  // namespace postrider
