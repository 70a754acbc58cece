#pragma once

#include <atomic>
#include <functional>
#include <optional>

#include "server/api/authenticate.h"
#include "server/api/begin_call.h"
#include "server/api/gateway_state.h"
#include "server/api/raw_admin_calls.h"
#include "server/api/read_pool.h"
#include "server/api/state_watches.h"
#include "server/base/metrics.h"
#include "server/base/random.h"
#include "server/store/setup.h"
#include "server/store/store.h"

namespace postrider {

/// AdminService of the contract: built as MessageService is; the caller must be an operator.
class AdminService final : public RawAdminService {
 public:
  /// All must outlive it, and it must outlive the gRPC server that it is registered with.
  struct Parts {
    const Clock& clock;
    Random& random;
    Metrics& metrics;
    Store& store;
    SetupStore& setups;
    TenantDirectory& tenants;
    Guard& guard;
    ReadPool& reads;
    std::string replica_name;
    std::function<std::vector<LaneFacts>()> lanes;  ///< As in GatewayStates.
    std::function<void(const Flow&)> on_queued;     ///< A message waits again. Must not block.
  };

  explicit AdminService(Parts parts);

  /// Starts the worker of the watches. Tests drive StepWatches instead.
  void Start() { watches_.Start(); }
  std::size_t StepWatches() { return watches_.Step(); }

  /// From now on new calls are SERVER_DRAINING; open watches go on.
  void RefuseNewCalls() { refusing_ = true; }
  /// Ends open watches: SERVER_DRAINING. Returns at once.
  void EndStreams() { watches_.End(); }
  /// Waits until no call is under way, watches included; false when `longest` passed first.
  bool AwaitCallsEnd(std::chrono::nanoseconds longest) { return calls_.AwaitNone(longest); }

  grpc::ServerUnaryReactor* GetGatewayState(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* PauseDispatch(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ResumeDispatch(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* OverrideBreaker(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ReplayMessage(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListDeadLetters(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request,
                                            grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GroupDeadLetters(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* request,
                                             grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetDeadLetter(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ReplayDeadLetters(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* request,
                                              grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DiscardDeadLetters(grpc::CallbackServerContext* context,
                                               const grpc::ByteBuffer* request,
                                               grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* RecordInboundMessage(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* RecordConsent(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetConsent(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListSuppressions(grpc::CallbackServerContext* context,
                                             const grpc::ByteBuffer* request,
                                             grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* MergeContacts(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ApplySetup(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetSetup(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchGatewayState(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;

 private:
  CallDesk Desk() const { return {parts_.clock, parts_.random, parts_.guard, refusing_}; }
  /// Runs `job` on a reading worker, or fails the call.
  void Read(const UnaryCall& call, ReadPool::Job job);
  /// Sets `tenant` to the one of this name; TENANT_NOT_FOUND.
  std::optional<ApiError> FindTenant(const std::string& name, TenantId& tenant) const;
  OperatorAction ActionOf(const Caller& caller, const std::string& reason);

  const Parts parts_;
  const GatewayStates states_;
  CallsUnderWay calls_;
  CallMeter state_meter_;
  CallMeter pause_meter_;
  CallMeter resume_meter_;
  CallMeter override_meter_;
  CallMeter replay_meter_;
  CallMeter list_letters_meter_;
  CallMeter group_letters_meter_;
  CallMeter get_letter_meter_;
  CallMeter replay_letters_meter_;
  CallMeter discard_letters_meter_;
  CallMeter record_inbound_meter_;
  CallMeter record_consent_meter_;
  CallMeter get_consent_meter_;
  CallMeter list_suppressions_meter_;
  CallMeter merge_contacts_meter_;
  CallMeter apply_setup_meter_;
  CallMeter get_setup_meter_;
  StateWatches watches_;
  std::atomic<bool> refusing_ = false;
};

}  // namespace postrider
