#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/api/authenticate.h"
#include "server/api/content_check.h"
#include "server/api/queue_gate.h"
#include "server/api/read_pool.h"
#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/model/dispatch_facts.h"
#include "server/store/group_commit.h"
#include "server/store/refusals.h"
#include "server/store/store.h"
#include "server/store/tenant_directory.h"

namespace postrider {

/// A message that a caller sends, in whichever call it came: copied into whatever continues it.
struct Send {
  const v1::SendMessageRequest* request;
  v1::SendMessageResponse* response;  ///< Filled when it is accepted.
  /// Called once, from any thread; null: it is accepted, and kept. Request and response may be gone
  /// afterwards.
  std::function<void(const ApiError* refusal)> done;
};

/// Accepts messages: checks what is asked, stores it, answers after the commit. Steps 1 and 2 of
/// the life of a message (server/README.md). Never blocks; safe from any thread.
class MessageIntake {
 public:
  /// All must outlive it.
  struct Parts {
    const Clock& clock;
    Random& random;
    Store& store;
    AcceptCommit& accept;
    RefusalCommit& refusals;
    TenantDirectory& tenants;
    ReadPool& reads;
    const std::atomic<bool>& refusing;  ///< A drain has begun.
    /// As in MessageService::Parts.
    std::function<void(const Flow&)> on_accepted;
    std::function<std::optional<WallTime>(TenantId)> next_canary;
    ContentCheck* content = nullptr;  ///< Null: no tenant's texts are checked.
  };

  explicit MessageIntake(Parts parts);

  /// The errors of SendMessage in the .proto. Who is refused by a rule is told when that is on
  /// record.
  void Accept(const Send& send, const Caller& caller);

 private:
  /// What a message that may be stored takes along.
  struct Pending {
    Send send;
    std::shared_ptr<const TenantSnapshot> tenants;
    const TenantRow* tenant;  ///< Of `tenants`.
    std::shared_ptr<const ApiTokenRow> token;
    std::string token_sha256;
    NewMessage message;
    std::string asked;  ///< The text, before the tenant's settings.
  };

  /// Has the tenant's compliance check approve the text, when there is one; then stores it.
  void Check(Pending pending);
  void Submit(Pending pending);
  void Refuse(const Send& send, TenantId tenant, const ApiError& error);
  /// Sets until when `message` is held, and shows it; or why it cannot leave in time.
  static std::optional<ApiError> HoldForQuietHours(const Send& send, const TenantRow& tenant,
                                                   WallTime now, NewMessage& message);
  /// Runs `job` on a reading worker, or refuses the message.
  void Read(const Send& send, ReadPool::Job job);
  void Answer(const Send& send, const TenantRow& tenant, const ApiTokenRow& token,
              const Acceptance& acceptance, bool held);
  /// CIRCUIT_OPEN when the request expires before anything can leave for its tenant.
  std::optional<ApiError> CircuitOpenFor(const MessageRequest& request, WallTime now) const;
  void AnswerNew(const Send& send, const Acceptance& acceptance);
  void AnswerRepeat(const Send& send, const MessageKey& first);
  void RefuseReuse(const Send& send, const MessageKey& first);
  void RefuseByBound(const Send& send, const TenantRow& tenant, const Acceptance& acceptance);
  /// Tells what is stored of the conversation that was given.
  void RefuseMismatch(const Send& send, TenantId tenant, const Acceptance& acceptance);
  /// What would become of it, without keeping it.
  void AnswerCheck(Pending pending);
  void RefuseUnlessRepeat(const Send& send, const MessageRequest& request, ApiError error);
  /// Answers with the first message of this request_id; `otherwise` does when there is none.
  void AnswerFromFirst(const Send& send, const MessageRequest& request,
                       std::function<void()> otherwise);

  const Parts parts_;
  QueueGate queue_gate_;
  QueueGate held_gate_;  ///< Of messages that quiet hours hold: they may fill half of a queue.
};

}  // namespace postrider
