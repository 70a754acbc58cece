#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/base/status_macros.h"
#include "server/policy/content_cluster.h"
#include "server/policy/message_template.h"
#include "server/store/store.h"
#include "tests/support/fake_store_rows.h"

namespace postrider {

/// A Store in memory with the real one's semantics: every operation is one transaction (under
/// one lock), and time is `clock`'s. tests/support/store_contract.h holds both to the same.
///
/// What it adds is on top: faults to inject, and looks at what is kept. Safe from any thread.
class FakeStore final : public Store {
 public:
  using When = fake_store::When;
  using BreakerLook = fake_store::BreakerLook;
  /// What became of all inbox rows: invariant S8. `open` rows have not been applied yet.
  struct InboxCounts {
    int open = 0, applied = 0, duplicates = 0, parked = 0, dead_letters = 0;
  };

  /// `clock` must outlive it.
  explicit FakeStore(const Clock& clock) : clock_(clock) {}

  // --- Faults.
  /// The next `count` operations (of that name; all when empty) are UNAVAILABLE.
  void FailNext(int count, When when = When::kBefore, std::string operation = {});
  /// From now on each operation fails by chance: with `before` without, with `after` with its
  /// effect. 0, 0: no more.
  void Disturb(double before, double after, std::uint64_t seed);
  /// From now on, of the transactions that write events so many (0 .. 1) become visible late: their
  /// caller waits for that, while others act (BeforeEach's hook runs with "Name, committing"). One
  /// that failed after its effect becomes so when it pleases. Whoever changes a message of a late
  /// transaction waits for it, that is, makes it visible. Look-ups see what is not visible yet;
  /// ticks do not. For one thread. 0: no more, and all is visible.
  void DelayCommits(double share);
  /// Operations are UNAVAILABLE and without effect while `gone` says that whoever calls is no more.
  void RefuseWhile(std::function<bool()> gone);
  /// Batches with a row whose text or body contains `marker` are INVALID_ARGUMENT.
  void Poison(std::string marker);
  /// No row is poisonous any more.
  void Heal();
  /// `hook` runs before each operation, with its name, outside the lock.
  void BeforeEach(std::function<void(const std::string& operation)> hook);

  // --- What the operator or a recipient would have done.
  void Suppress(TenantId tenant, const std::string& recipient);
  /// Nobody knows when the attempts of `key` left, as after a restore.
  void ForgetWhenItLeft(const MessageKey& key);

  // --- Looks.
  /// The messages that changed after the first `changes` state changes.
  std::vector<MessageRecord> Records(std::size_t changes = 0) const;
  /// Calls `visit` with every message and its attempts, under the lock.
  void ForEach(const std::function<void(const Message&, const std::vector<Attempt>&)>& visit) const;
  /// How many state changes there have been.
  std::size_t Changes() const;
  /// Those after the first `changes`, in order.
  std::vector<StatusEvent> ChangesAfter(std::size_t changes) const;
  /// As stored now; nothing when there is none.
  std::optional<Message> Find(const MessageKey& key) const;
  /// Whether the present attempt of a message is not visible to others yet.
  bool IntentIsLate(const MessageKey& key) const;
  BreakerLook LookAt(const BreakerKey& key) const;
  /// Grows when a breaker's counts, standing or override are written.
  std::uint64_t BreakerWrites() const;
  /// Who holds a slot; nil: nobody.
  ReplicaId OwnerOf(int slot) const;
  /// What operators did, in order.
  std::vector<fake_store::KeptAction> Actions() const;
  int Calls(const std::string& operation) const;
  /// How many operations of any name have failed.
  int Failures() const;
  InboxCounts Inbox() const;
  /// The texts that came in, in order.
  std::vector<NewInbound> Inbound() const;
  std::vector<DeadLetter> DeadLetters() const;

  // --- Store
  absl::StatusOr<std::vector<Acceptance>> Accept(std::span<const NewMessage> batch) override;
  absl::StatusOr<Acceptance> WouldAccept(const NewMessage& message) override;
  absl::StatusOr<MessageRecord> GetMessage(const MessageKey& key) override;
  absl::StatusOr<MessageRecord> GetMessageByRequest(TenantId tenant,
                                                    const std::string& request_id) override;
  absl::StatusOr<Cancellation> Cancel(const MessageKey& key) override;
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
  absl::Status Maintain() override;

  // --- ControlStore
  absl::StatusOr<DispatchPause> PauseDispatch(const PauseTarget& of, WallTime until,
                                              const OperatorAction& action) override;
  absl::StatusOr<bool> ResumeDispatch(const PauseTarget& of, const OperatorAction& action) override;
  absl::StatusOr<ControlFacts> ReadControl(std::span<const TenantId> tenants) override;
  absl::StatusOr<QueuePlace> FindQueuePlace(const MessageKey& key, int most) override;
  absl::StatusOr<int> ExpireDue(std::span<const int> slots) override;
  // --- DoubtStore
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

  // --- EventStore
  absl::StatusOr<Tick> MakeTick() override;
  absl::StatusOr<Tick> FindTick(std::int64_t number, const Uuid& nonce) override;
  absl::StatusOr<Tick> OldestTick() override;
  absl::StatusOr<Tick> TickOfAge(std::chrono::seconds age) override;
  absl::StatusOr<Tick> NextTick(const Tick& from, std::chrono::milliseconds range) override;
  absl::StatusOr<std::vector<StatusEvent>> EventsBetween(const Tick& a, const Tick& b,
                                                         std::optional<TenantId> tenant) override;
  absl::StatusOr<std::vector<StatusEvent>> CurrentStates(const EventFilter& filter, MessageId after,
                                                         int limit) override;

  // --- BreakerStore
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

  // --- InboxStore
  absl::Status AppendInbox(std::span<const InboxRow> batch) override;
  absl::StatusOr<ApplyCounts> ApplyReceipts(std::span<const ParsedReceipt> batch) override;
  absl::Status BuryReceipt(const InboxRow& row, const std::string& reason) override;
  absl::StatusOr<std::vector<InboxRow>> SweepInbox(std::span<const TenantId> tenants,
                                                   WallTime since, int limit) override;
  absl::StatusOr<std::vector<InboxRow>> TakeParked(int limit) override;
  absl::StatusOr<std::vector<InboundEnd>> RecordInbound(std::span<const NewInbound> batch) override;

  // --- DeadLetterStore
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

  // --- ConsentStore
  absl::StatusOr<ConsentCounts> RecordConsent(std::span<const ConsentEvent> batch,
                                              const std::optional<OperatorAction>& action) override;
  absl::StatusOr<std::optional<int>> SuppressQueued(std::span<const int> slots) override;
  absl::StatusOr<ConsentRecord> FindConsent(TenantId tenant, const std::string& recipient) override;
  absl::StatusOr<SuppressionPage> ListSuppressions(const SuppressionFilter& filter,
                                                   const SuppressionPlace& place,
                                                   int limit) override;

  // --- ContentStore
  absl::StatusOr<std::optional<ContentLook>> JudgeContent(std::span<const int> slots) override;

  // --- ConversationStore
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

  // --- RetentionStore
  absl::StatusOr<ErasedRows> EraseSome() override;

  // --- TenantStore
  /// The senders and the setup of `row`, which is there, as ApplySetup would set them.
  void SetSetup(const TenantRow& row);
  absl::StatusOr<std::vector<TenantRow>> LoadTenants() override;
  absl::StatusOr<TenantRow> PutTenant(const TenantRow& row) override;
  absl::StatusOr<TenantRow> ChangeWebhookKey(const std::string& name, const std::string& key,
                                             std::chrono::seconds keep) override;
  absl::Status AddToken(const ApiTokenRow& row) override;
  absl::StatusOr<ApiTokenRow> FindToken(const std::string& token_sha256) override;

 private:
  class Late;
  using Kept = fake_store::Kept;
  using KeptRequest = fake_store::KeptRequest;
  using ContactKey = fake_store::ContactKey;
  using Replica = fake_store::Replica;
  using Slot = fake_store::Slot;
  using InboxState = fake_store::InboxState;
  using KeptInbox = fake_store::KeptInbox;
  using KeptTick = fake_store::KeptTick;
  using Fault = fake_store::Fault;

  void Enter(const std::string& operation) ABSL_LOCKS_EXCLUDED(mu_);
  void RunHook(const std::string& operation) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Begin(const std::string& operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status End(const std::string& operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Fail(const std::string& operation, When when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Waits for the transaction that changed `kept`, as who takes its row's lock does.
  void Lock(Kept& kept) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Poisoned(const std::string& text) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Why it is not accepted, if it is not.
  std::optional<Acceptance> RefuseOne(const NewMessage& row, fake_store::Meeting& meeting)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Acceptance AcceptOne(const NewMessage& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Acceptance> RefuseByBounds(const NewMessage& row, bool opens) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// What is the matter with the conversation that a request names, if it names one.
  std::optional<Acceptance> RefuseByName(const MessageRequest& request,
                                         fake_store::Meeting& meeting) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  fake_store::Meeting MeetingOf(const MessageRequest& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Whether one of the conversations that go on in `id` began with that number.
  bool HasNumber(TenantId tenant, ConversationId id, const std::string& recipient) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// The conversation that goes on: it is found or, with `fresh`, begun.
  ConversationId Join(const MessageRequest& request, const fake_store::Meeting& meeting,
                      ConversationId fresh) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Puts a message that was accepted into the queue.
  Acceptance Keep(const NewMessage& row, ConversationId conversation, WallTime due_at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Accepts the answer to an opt-out that `entry` brought, which was not in force before. Whether
  /// there is one.
  bool AnswerOptOut(const NewInbound& entry, SenderId sender, ConversationId conversation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Suppressed(const MessageRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Of a receipt that says so.
  void KeepOptOut(const Kept& kept, int attempt, const std::string& code, WallTime at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// By its tenant's scope, when it came by a keyword or a receipt.
  void KeepConsent(ConsentEvent event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Puts in force what was said last; counts what was new.
  void Enforce(ConsentEvent event, ConsentCounts& counts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int EndSuppressed(const fake_store::ConsentKey& who, int at_most)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// A message came back to the queue: an opt-out in force looks at it.
  void LookForOptOut(const MessageRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool InForce(const DispatchPause& pause) const;
  std::vector<DispatchPause> PausesOf(const MessageRequest& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Change(Kept& kept, MessageStatus after, Cause cause, bool correction = false)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<bool> Renew(ReplicaId replica, const std::string& name);
  Slot TakeSlot(int slot, ReplicaId replica) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Intent IntendOne(const MessageKey& key, ReplicaId replica) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Sees to it that news of `kept` are waited for, if they are to come.
  void AwaitNews(Kept& kept, WallTime look_at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RecordOne(ReplicaId replica, const AttemptOutcome& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyOne(const ParsedReceipt& row, ApplyCounts& counts) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  KeptInbox& InboxOf(const InboxRow& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Bury(KeptInbox& inbox, const std::string& reason, const std::string& detail)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// What a change of `kept` does to its dead letter.
  void KeepDeadSend(const Kept& kept, const StatusEvent& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Notes that carriers rejected it for its content, if they did.
  void KeepContentRejection(const Kept& kept, WallTime at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// The latest answers to a campaign's messages, up to its latest rejection.
  std::vector<AnsweredMessage> AnsweredOf(TenantId tenant, const std::string& campaign_id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<MessageTemplate> TemplatesOf(TenantId tenant, const std::string& campaign_id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void VoidVerdicts(const ContentLook& look) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// QUEUED for another attempt, if it failed.
  bool SendAgain(Kept& kept, WallTime due_at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<DeadLetter> FindLetter(TenantId tenant, DeadLetterId id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// The letters that are dead and match, the oldest first.
  std::vector<fake_store::KeptLetter*> DeadOnes(const DeadLetterFilter& filter)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EraseMessages(TenantId tenant, WallTime texts_before, WallTime numbers_before,
                     ErasedRows& erased) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EraseWebhooks(TenantId tenant, WallTime before, ErasedRows& erased)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// Those of `choice`, kDeadLettersChanged at most.
  std::vector<fake_store::KeptLetter*> Chosen(const DeadLetterChoice& choice, bool only_by_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  using KeywordsByRecipient = std::map<fake_store::ConsentKey, fake_store::KeywordsOfBatch>;
  /// The `place`th text of a batch; notes its keyword in `keywords`.
  InboundEnd RecordOne(const NewInbound& entry, std::size_t place, KeywordsByRecipient& keywords)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// The conversation that a text joins; made when there is none.
  ConversationId ConversationFor(const NewInbound& entry, SenderId sender)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// The last message that was sent in it; nil: none was.
  MessageId LastSentIn(ConversationId id, TenantId tenant) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Conversation ConversationOf(const ContactKey& key, const fake_store::KeptConversation& kept) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Kept* Addressee(const ParsedReceipt& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Merge(Kept& kept, const Receipt& receipt, Cause cause) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Holds(ReplicaId replica, std::span<const Lease> leases, TenantId tenant)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int Assigned(const Look& look, const std::string& provider_message_id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RecordLook(Kept& kept, const Look& look, const DoubtTimes& times, DoubtEnds& ends)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static std::vector<AttemptStatus> OthersOf(const Kept& kept);
  static MessageRecord RecordOf(const Kept& kept);
  void CountVerdict(TenantId tenant, Breaker breaker, BreakerVerdict verdict)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  BreakerReading ReadingOf(const BreakerKey& key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  BreakerLook LookOf(const BreakerKey& key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// After a change of its standing or override; `before`: the look until then.
  void KeepLook(const BreakerKey& key, const BreakerLook& before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void KeepAction(TenantId tenant, const OperatorAction& action, std::string what,
                  std::string target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;

  mutable Mutex mu_;
  std::function<void(const std::string&)> hook_ ABSL_GUARDED_BY(mu_);
  std::vector<Fault> faults_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> poison_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> calls_ ABSL_GUARDED_BY(mu_);
  std::map<MessageKey, Kept> messages_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<TenantId, std::string>, KeptRequest> requests_ ABSL_GUARDED_BY(mu_);
  std::map<ContactKey, fake_store::KeptConversation> conversations_ ABSL_GUARDED_BY(mu_);
  /// Contacts that were merged, and who goes on for them.
  std::map<std::pair<TenantId, std::string>, std::string> merged_contacts_ ABSL_GUARDED_BY(mu_);
  std::map<fake_store::ConsentKey, WallTime> suppressed_ ABSL_GUARDED_BY(mu_);  ///< Since when.
  std::map<fake_store::ConsentKey, std::vector<ConsentEvent>> consent_ ABSL_GUARDED_BY(mu_);
  std::map<fake_store::ConsentKey, fake_store::OptOutWaits> opt_outs_waiting_ ABSL_GUARDED_BY(mu_);
  std::map<TenantId, std::int64_t> depths_ ABSL_GUARDED_BY(mu_);  ///< QUEUED messages.
  std::map<fake_store::QuotaKey, std::int64_t> quota_used_ ABSL_GUARDED_BY(mu_);
  std::map<ReplicaId, Replica> replicas_ ABSL_GUARDED_BY(mu_);
  std::map<int, Slot> slots_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<TenantId, InboxId>, KeptInbox> inbox_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<TenantId, DeadLetterId>, fake_store::KeptLetter> letters_ ABSL_GUARDED_BY(mu_);
  std::map<MessageKey, fake_store::KeptRejection> rejections_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<TenantId, std::string>, WallTime> clusters_ ABSL_GUARDED_BY(mu_);  ///< Last.
  std::map<std::pair<TenantId, std::string>, int> verdict_epochs_ ABSL_GUARDED_BY(mu_);
  std::vector<fake_store::KeptInbound> inbound_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<TenantId, std::string>> inbound_keys_ ABSL_GUARDED_BY(mu_);
  std::vector<StatusEvent> events_ ABSL_GUARDED_BY(mu_);
  std::map<BreakerKey, fake_store::KeptBreaker> breakers_ ABSL_GUARDED_BY(mu_);
  std::uint64_t breaker_writes_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<KeptTick> ticks_ ABSL_GUARDED_BY(mu_);
  std::map<int, fake_store::LateCommit> late_ ABSL_GUARDED_BY(mu_);  ///< Not visible yet.
  int last_late_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<TenantId, MessageId> quiet_passed_ ABSL_GUARDED_BY(mu_);
  std::map<TenantId, WallTime> throttled_ ABSL_GUARDED_BY(mu_);  ///< By reads: until then.
  std::map<PauseTarget, DispatchPause> pauses_ ABSL_GUARDED_BY(mu_);
  std::vector<fake_store::KeptAction> actions_ ABSL_GUARDED_BY(mu_);
  std::map<TenantId, TenantRow> tenants_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, ApiTokenRow> tokens_ ABSL_GUARDED_BY(mu_);
  SeededRandom random_{20};
  double fails_before_ ABSL_GUARDED_BY(mu_) = 0;
  double fails_after_ ABSL_GUARDED_BY(mu_) = 0;
  double commits_late_ ABSL_GUARDED_BY(mu_) = 0;
  int failures_ ABSL_GUARDED_BY(mu_) = 0;
  bool in_doubt_ ABSL_GUARDED_BY(mu_) = false;  ///< The last operation failed after its effect.
  std::function<bool()> gone_ ABSL_GUARDED_BY(mu_);
  SeededRandom chance_{20};
};

}  // namespace postrider
