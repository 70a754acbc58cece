#pragma once

#include <atomic>

#include <grpcpp/support/server_callback.h>

#include "postrider/v1/message_service.pb.h"
#include "server/api/authenticate.h"
#include "server/api/call.h"
#include "server/api/read_pool.h"
#include "server/base/random.h"
#include "server/fanout/hub.h"
#include "server/store/events.h"

namespace postrider {

/// The open StreamStatus calls: carries stream sessions (stream_session.h) over gRPC.
class StatusStreams {
 public:
  /// All must outlive it, and it must outlive the gRPC server.
  struct Parts {
    const Clock& clock;
    Random& random;
    Metrics& metrics;
    EventStore& store;
    Guard& guard;
    ReadPool& reads;
    Hub& hub;
    CallsUnderWay& calls;
  };

  explicit StatusStreams(Parts parts);

  /// Serves one call; with `refuse` only to say SERVER_DRAINING to whoever may know.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Open(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request, bool refuse);

  /// Ends all: a last checkpoint each, then SERVER_DRAINING. Returns at once.
  void End();

 private:
  class Stream;

  const Parts parts_;
  CallMeter meter_;
  std::atomic<bool> ending_ = false;
};

}  // namespace postrider
