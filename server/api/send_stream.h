#pragma once

#include <atomic>
#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/api/authenticate.h"
#include "server/api/call.h"
#include "server/api/message_intake.h"
#include "server/base/mutex.h"

namespace postrider {

class SendSession;

/// The open SendMessages calls: carries send sessions (send_session.h) over gRPC.
class SendStreams {
 public:
  /// All must outlive it, and it must outlive the gRPC server.
  struct Parts {
    const Clock& clock;
    Random& random;
    Metrics& metrics;
    Guard& guard;
    MessageIntake& intake;
    CallsUnderWay& calls;
    const std::atomic<bool>& draining;
  };

  explicit SendStreams(Parts parts);

  /// Serves one call.
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Open(
      grpc::CallbackServerContext* context);

  /// `draining` is true now: open calls answer what they have taken, then end. Returns at once.
  void Drain();

 private:
  class Stream;

  /// False: the tenant has kMaxSendStreamsPerTenant already.
  bool Join(TenantId tenant, const std::shared_ptr<SendSession>& session);
  void Leave(TenantId tenant, const SendSession* session);

  const Parts parts_;
  CallMeter meter_;
  Counter& accepted_;
  Counter& refused_;

  Mutex mu_;
  std::unordered_map<TenantId, std::vector<std::shared_ptr<SendSession>>> open_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
