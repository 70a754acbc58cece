#pragma once

#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/model/retention_limits.h"
#include "server/store/facts.h"
#include "server/store/pg_account.h"
#include "server/store/pg_seen_commits.h"
#include "server/store/pg_session.h"
#include "server/store/store.h"

namespace postrider {

/// The store in PostgreSQL 15 or newer: one file a group of operations, with its named statements.
class PgStore final : public Store {
 public:
  struct Options {
    PgPool::Options pool;
    /// Called after a commit that wrote events; must not block.
    std::function<void()> on_events = [] {};
  };

  /// `clock` and `random` must outlive the store. Connects when first used, where seen() admits it.
  PgStore(const Clock& clock, Random& random, Options options);

  /// For what stands beside the store: setups, refusals.
  PgPool& pool() { return pool_; }
  SeenCommits& seen() { return seen_; }
  /// Once at start, after the migration check: partitions for now; ticks from after a restore
  /// are dropped, so that no token of theirs can skip events.
  absl::Status Prepare();

  absl::StatusOr<std::vector<Acceptance>> Accept(std::span<const NewMessage> batch) override;
  absl::StatusOr<Acceptance> WouldAccept(const NewMessage& message) override;
  absl::StatusOr<MessageRecord> GetMessage(const MessageKey& key) override;
  absl::StatusOr<MessageRecord> GetMessageByRequest(TenantId tenant,
                                                    const std::string& request_id) override;
  absl::StatusOr<Cancellation> Cancel(const MessageKey& key) override;

  absl::StatusOr<Conversation> FindConversation(TenantId tenant, ConversationId id) override;
  absl::StatusOr<Conversation> FindConversationOf(const ContactOfSender& contact) override;
  absl::StatusOr<std::vector<TimelineEntry>> ReadTimeline(TenantId tenant, ConversationId id,
                                                          const Uuid& before, int limit) override;
  absl::StatusOr<ConversationPage> ListConversations(const ConversationFilter& filter,
                                                     const ConversationPlace& place,
                                                     int limit) override;
  absl::StatusOr<ContactMerge> MergeContacts(TenantId tenant, const std::string& from,
                                             const std::string& into,
                                             const OperatorAction& action) override;

  absl::StatusOr<bool> RenewReplica(ReplicaId replica, const std::string& name) override;
  absl::StatusOr<SlotShare> AcquireSlots(ReplicaId replica) override;
  absl::Status ReleaseSlots(ReplicaId replica, std::span<const Lease> leases) override;
  absl::StatusOr<std::vector<Lease>> ReleaseIdleSlots(ReplicaId replica,
                                                      std::span<const Lease> leases) override;
  absl::Status RetireReplica(ReplicaId replica) override;

  absl::StatusOr<std::vector<Flow>> FlowsWithWork(std::span<const int> slots) override;
  absl::StatusOr<std::vector<TenantPause>> PausesInForce(std::span<const int> slots) override;
  absl::StatusOr<std::vector<DueMessage>> ChooseDue(std::span<const FlowRoom> rooms) override;
  absl::StatusOr<std::vector<Intent>> Intend(ReplicaId replica, std::span<const Lease> leases,
                                             std::span<const MessageKey> batch) override;
  absl::Status RecordOutcomes(ReplicaId replica, std::span<const AttemptOutcome> batch) override;

  absl::StatusOr<int> CollectQuiet(ReplicaId replica, std::span<const Lease> leases,
                                   const DoubtTimes& times) override;
  absl::StatusOr<std::vector<DoubtfulMessage>> TakeDoubtful(ReplicaId replica,
                                                            std::span<const Lease> leases,
                                                            int limit) override;
  absl::StatusOr<DoubtEnds> RecordLooks(ReplicaId replica, std::span<const Lease> leases,
                                        std::span<const Look> looks,
                                        const DoubtTimes& times) override;
  absl::StatusOr<DoubtEnds> CloseWindows(ReplicaId replica, std::span<const Lease> leases,
                                         const DoubtTimes& times) override;
  absl::StatusOr<Replay> ReplayMessage(const MessageKey& key,
                                       const OperatorAction& action) override;

  absl::StatusOr<DispatchPause> PauseDispatch(const PauseTarget& of, WallTime until,
                                              const OperatorAction& action) override;
  absl::StatusOr<bool> ResumeDispatch(const PauseTarget& of, const OperatorAction& action) override;
  absl::StatusOr<ControlFacts> ReadControl(std::span<const TenantId> tenants) override;
  absl::StatusOr<QueuePlace> FindQueuePlace(const MessageKey& key, int most) override;
  absl::StatusOr<int> ExpireDue(std::span<const int> slots) override;

  absl::Status AppendInbox(std::span<const InboxRow> batch) override;
  absl::StatusOr<ApplyCounts> ApplyReceipts(std::span<const ParsedReceipt> batch) override;
  absl::Status BuryReceipt(const InboxRow& row, const std::string& reason) override;
  absl::StatusOr<std::vector<InboxRow>> SweepInbox(std::span<const TenantId> tenants,
                                                   WallTime since, int limit) override;
  absl::StatusOr<std::vector<InboxRow>> TakeParked(int limit) override;
  absl::StatusOr<std::vector<InboundEnd>> RecordInbound(std::span<const NewInbound> batch) override;

  absl::StatusOr<ConsentCounts> RecordConsent(std::span<const ConsentEvent> batch,
                                              const std::optional<OperatorAction>& action) override;
  absl::StatusOr<std::optional<int>> SuppressQueued(std::span<const int> slots) override;
  absl::StatusOr<ConsentRecord> FindConsent(TenantId tenant, const std::string& recipient) override;
  absl::StatusOr<std::optional<ContentLook>> JudgeContent(std::span<const int> slots) override;
  absl::StatusOr<SuppressionPage> ListSuppressions(const SuppressionFilter& filter,
                                                   const SuppressionPlace& place,
                                                   int limit) override;

  absl::StatusOr<std::vector<DeadLetter>> ListDeadLetters(const DeadLetterFilter& filter,
                                                          const DeadLetterPlace& place,
                                                          int limit) override;
  absl::StatusOr<std::vector<DeadLetterGroup>> GroupDeadLetters(
      const DeadLetterFilter& filter) override;
  absl::StatusOr<std::int64_t> CountDeadLetters(const DeadLetterChoice& choice,
                                                bool only_by_id) override;
  absl::StatusOr<DeadLetter> FindDeadLetter(TenantId tenant, DeadLetterId id) override;
  absl::StatusOr<DeadLetter> UnmaskDeadLetter(TenantId tenant, DeadLetterId id,
                                              const OperatorAction& action) override;
  absl::StatusOr<DeadLetterChange> ReplayDeadLetters(const DeadLetterChoice& choice,
                                                     std::chrono::microseconds apart,
                                                     const OperatorAction& action) override;
  absl::StatusOr<DeadLetterChange> DiscardDeadLetters(const DeadLetterChoice& choice,
                                                      const OperatorAction& action) override;

  absl::Status Maintain() override;
  /// A part of Maintain(): some of what is past its time, in a few short transactions. True when
  /// there is more.
  absl::StatusOr<bool> ForgetSome();
  /// Drops partitions with nothing in them that is younger than `keep` or still waits: each in a
  /// transaction of its own, kDropsAtOnce of a table at most. Both clocks, the database's and this
  /// gateway's, must say that a partition is old. Leaves what another replica is at.
  absl::StatusOr<PartitionDrops> DropOld(const KeepTimes& keep, std::stop_token stop);
  /// The same of rows that are in no such partition: some of each kind, in a few short
  /// transactions. True when there is more.
  absl::StatusOr<bool> ForgetOld(const KeepTimes& keep);
  absl::StatusOr<ErasedRows> EraseSome() override;
  /// Of `tenants`; counts kMostCounted of each at most. For one caller at a time.
  absl::StatusOr<StoreFacts> ReadFacts(std::span<const TenantId> tenants);

  absl::StatusOr<Tick> MakeTick() override;
  absl::StatusOr<Tick> FindTick(std::int64_t number, const Uuid& nonce) override;
  absl::StatusOr<Tick> OldestTick() override;
  absl::StatusOr<Tick> TickOfAge(std::chrono::seconds age) override;
  absl::StatusOr<Tick> NextTick(const Tick& from, std::chrono::milliseconds range) override;
  absl::StatusOr<std::vector<StatusEvent>> EventsBetween(const Tick& a, const Tick& b,
                                                         std::optional<TenantId> tenant) override;
  absl::StatusOr<std::vector<StatusEvent>> CurrentStates(const EventFilter& filter, MessageId after,
                                                         int limit) override;

  absl::StatusOr<BreakerReadings> ReadBreakers(std::span<const int> slots) override;
  absl::StatusOr<BreakerReadings> BreakersOf(std::span<const TenantId> tenants) override;
  absl::StatusOr<std::vector<OpenBreaker>> OpenBreakers() override;
  absl::StatusOr<std::vector<BreakerKey>> StoreBreakers(
      ReplicaId replica, std::span<const Lease> leases,
      std::span<const BreakerChange> changes) override;
  absl::Status OverrideBreaker(const BreakerKey& key, std::optional<BreakerState> state,
                               WallTime until, const OperatorAction& action) override;
  absl::StatusOr<std::vector<CanaryStatus>> CanaryStatuses(
      std::span<const MessageKey> keys) override;

  absl::StatusOr<std::vector<TenantRow>> LoadTenants() override;
  absl::StatusOr<TenantRow> PutTenant(const TenantRow& row) override;
  absl::StatusOr<TenantRow> ChangeWebhookKey(const std::string& name, const std::string& key,
                                             std::chrono::seconds keep) override;
  absl::Status AddToken(const ApiTokenRow& row) override;
  absl::StatusOr<ApiTokenRow> FindToken(const std::string& token_sha256) override;

 private:
  absl::Status ResolveOpenAttempts(std::span<const int> slots);
  /// Transact, and on_events when it committed.
  absl::Status TransactWithEvents(std::string_view name, const PgPool::Body& body);

  const Clock& clock_;
  Random& random_;
  const std::function<void()> on_events_;
  SeenCommits seen_;  ///< By MakeTick and Intend.
  PgPool pool_;
  InboxAccount account_;  ///< Of ReadFacts' caller.
};

}  // namespace postrider
