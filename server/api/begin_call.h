#pragma once

#include <atomic>
#include <utility>

#include "server/api/authenticate.h"
#include "server/api/call.h"
#include "server/api/wire.h"
#include "server/base/random.h"

namespace postrider {

/// What every service needs for a call to begin. All must outlive the calls.
struct CallDesk {
  const Clock& clock;
  Random& random;
  Guard& guard;
  const std::atomic<bool>& refusing;  ///< New calls are SERVER_DRAINING.
};

/// A unary call, from its bytes on: checks the caller, parses, then calls
/// `then(call, caller, request, response)`. `meter` must outlive it.
template <typename Request, typename Response, typename Then>
grpc::ServerUnaryReactor* BeginCall(const CallDesk& desk, grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* bytes, grpc::ByteBuffer* answer,
                                    CallMeter& meter, Scope scope, Then then) {
  meter.Began();
  auto* messages = new UnaryMessages<Request, Response>();  // deletes itself
  const UnaryCall call{&desk.clock,      &desk.random,        &meter, context,   messages,
                       desk.clock.Now(), &messages->response, answer, TenantId()};
  desk.guard.Check(AuthorizationOf(*context), scope,
                   [&refusing = desk.refusing, call, bytes, messages,
                    then = std::move(then)](Result<Caller> caller) {
                     if (const ApiError* error = std::get_if<ApiError>(&caller)) {
                       return call.Fail(*error);
                     }
                     if (refusing) return call.Fail(ServerDraining());
                     if (const auto error = ParseRequest(*bytes, messages->request)) {
                       return call.Fail(*error);
                     }
                     const Caller& known = std::get<Caller>(caller);
                     UnaryCall known_call = call;
                     known_call.tenant = known.tenant_id;
                     then(known_call, known, messages->request, messages->response);
                   });
  return messages;
}

}  // namespace postrider
