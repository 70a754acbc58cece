#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include <grpcpp/support/server_callback.h>

#include "server/api/authenticate.h"
#include "server/api/call.h"
#include "server/api/gateway_state.h"
#include "server/base/mutex.h"
#include "server/base/worker.h"

namespace postrider {

/// The open WatchGatewayState calls. One worker looks at the state each kStateLook, once a tenant
/// that is watched, however many watch it, and writes it to those who are due. A watch has one
/// element on its way at most: who reads slowly misses states, and costs nothing.
class StateWatches {
 public:
  /// All must outlive it, and it must outlive the gRPC server.
  struct Parts {
    const Clock& clock;
    Random& random;
    Metrics& metrics;
    const GatewayStates& states;
    Guard& guard;
    CallsUnderWay& calls;
  };

  explicit StateWatches(Parts parts);

  void Start();
  /// Looks once. Returns how many elements it wrote. For one caller at a time.
  std::size_t Step();
  /// Something was changed here: looks at once.
  void Nudge();

  /// Serves one call; with `refuse` only to say SERVER_DRAINING to whoever may know.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Open(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request, bool refuse);
  /// Ends all: SERVER_DRAINING. Returns at once.
  void End();

 private:
  class Watch;

  /// False when there are too many. `watch` stays until Remove.
  bool Add(std::shared_ptr<Watch> watch);
  void Remove(const Watch* watch);
  std::vector<std::shared_ptr<Watch>> All();

  const Parts parts_;
  CallMeter meter_;

  Mutex mu_;
  CondVar nudged_;
  bool nudge_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::shared_ptr<Watch>> watches_ ABSL_GUARDED_BY(mu_);

  std::optional<Worker> worker_;
};

}  // namespace postrider
