#pragma once

#include <atomic>
#include <functional>
#include <optional>

#include "postrider/v1/message_service.grpc.pb.h"
#include "server/api/authenticate.h"
#include "server/api/call.h"
#include "server/api/message_intake.h"
#include "server/api/read_pool.h"
#include "server/api/send_stream.h"
#include "server/api/status_stream.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/fanout/hub.h"
#include "server/model/dispatch_facts.h"
#include "server/store/group_commit.h"
#include "server/store/store.h"
#include "server/store/tenant_directory.h"

namespace postrider {

/// The contract's service with bytes for messages.
using RawMessageService = v1::MessageService::WithRawCallbackMethod_SendMessage<
    v1::MessageService::WithRawCallbackMethod_GetStatus<
        v1::MessageService::WithRawCallbackMethod_ExplainMessage<
            v1::MessageService::WithRawCallbackMethod_StreamStatus<
                v1::MessageService::WithRawCallbackMethod_CancelMessage<
                    v1::MessageService::WithRawCallbackMethod_SendMessages<
                        v1::MessageService::WithRawCallbackMethod_GetConversation<
                            v1::MessageService::WithRawCallbackMethod_ListConversations<
                                v1::MessageService::Service>>>>>>>>;

/// MessageService of the contract: who asks is checked first, what is asked second, then the store
/// is asked; no handler blocks. Requests and answers are the bytes of the messages: wire.h says
/// why. Steps 1 and 2 of the life of a message (server/README.md).
class MessageService final : public RawMessageService {
 public:
  /// All must outlive it, and it must outlive the gRPC server that it is registered with.
  struct Parts {
    const Clock& clock;
    Random& random;
    Metrics& metrics;
    Store& store;
    AcceptCommit& accept;
    RefusalCommit& refusals;
    TenantDirectory& tenants;
    Guard& guard;
    ReadPool& reads;
    Hub& hub;
    /// After a message of the tenant was accepted: wakes its dispatcher. Must not block.
    std::function<void(const Flow&)> on_accepted;
    /// The lanes of the tenants that this replica dispatches; null: none is known. Must not block.
    std::function<std::vector<LaneFacts>()> lanes = nullptr;
    /// When a tenant whose circuit breaker is open can send again at the earliest; nothing: it is
    /// not open. Must not block. Null: none is ever open.
    std::function<std::optional<WallTime>(TenantId)> next_canary = nullptr;
    ContentCheck* content = nullptr;  ///< Null: no tenant's texts are checked.
  };

  explicit MessageService(Parts parts);

  /// From now on new calls are SERVER_DRAINING, and open SendMessages take no more messages; what
  /// they have taken is answered. StreamStatus goes on.
  void RefuseNewCalls() {
    refusing_ = true;
    send_streams_.Drain();
  }
  /// Ends open streams: a last checkpoint, then SERVER_DRAINING. Returns at once.
  void EndStreams() { streams_.End(); }
  /// Waits until no call is under way, streams included; false when `longest` passed first.
  bool AwaitCallsEnd(std::chrono::nanoseconds longest) { return calls_.AwaitNone(longest); }

  grpc::ServerUnaryReactor* SendMessage(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ExplainMessage(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetConversation(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListConversations(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* request,
                                              grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* CancelMessage(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SendMessages(
      grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* StreamStatus(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;

 private:
  /// Checks the caller, parses, then calls `then(call, caller, request, response)`.
  template <typename Request, typename Response, typename Then>
  grpc::ServerUnaryReactor* Begin(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* bytes, grpc::ByteBuffer* answer,
                                  CallMeter& meter, Scope scope, Then then);
  /// Runs `job` on a reading worker, or fails the call.
  void Read(const UnaryCall& call, ReadPool::Job job);

  const Parts parts_;
  std::atomic<bool> refusing_ = false;
  CallsUnderWay calls_;
  MessageIntake intake_;
  CallMeter send_meter_;
  CallMeter status_meter_;
  CallMeter explain_meter_;
  CallMeter cancel_meter_;
  CallMeter conversation_meter_;
  CallMeter conversations_meter_;
  StatusStreams streams_;
  SendStreams send_streams_;
};

}  // namespace postrider
