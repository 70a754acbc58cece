#include "tests/support/store_contract.h"

#include <numeric>

#include "server/base/digest.h"
#include "server/base/strings.h"

namespace postrider {

std::vector<int> AllSlots() {
  std::vector<int> slots(kSlots);
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
}

StoreContract::StoreContract() : subject_(GetParam().make()), store_(*subject_.store) {
  tenant_.tenant_id = {MakeUuidV4(random_)};
  tenant_.name = "acme";
  tenant_.client_id = "acme-client";
  tenant_.webhook_key = "acme-key";
  tenant_.senders = {{{MakeUuidV4(random_)}, "+15559990001"},
                     {{MakeUuidV4(random_)}, "+15559990002"}};
  const absl::StatusOr<TenantRow> put = store_.PutTenant(tenant_);
  EXPECT_TRUE(put.ok()) << put.status();
}

NewMessage StoreContract::Fresh(const std::string& recipient) {
  NewMessage message;
  message.request.tenant_id = tenant_.tenant_id;
  message.request.request_id = StrCat("request-", ++made_);
  message.request.recipient = recipient;
  message.request.sender_id = tenant_.senders[0].sender_id;
  message.request.sender = tenant_.senders[0].address;
  message.request.text = "Your appointment: tomorrow at 10:00 AM.";
  message.request.metadata = {{"triggerSource", "crm \"quoted\" \\ {,}"}};
  message.message_id = {MakeUuidV7(subject_.now(), random_)};
  message.new_conversation_id = {MakeUuidV4(random_)};
  message.fingerprint = Sha256Bytes(message.request.request_id);
  return message;
}

NewMessage StoreContract::FreshOf(TenantId tenant) {
  NewMessage message = Fresh();
  message.request.tenant_id = tenant;
  return message;
}

Acceptance StoreContract::AcceptOne(const NewMessage& message) {
  const auto verdicts = store_.Accept({&message, 1});
  EXPECT_TRUE(verdicts.ok()) << verdicts.status();
  return verdicts.ok() && verdicts->size() == 1 ? verdicts->front() : Acceptance{};
}

MessageKey StoreContract::Accepted(const NewMessage& message) {
  const Acceptance verdict = AcceptOne(message);
  EXPECT_EQ(verdict.kind, Acceptance::Kind::kNew);
  EXPECT_EQ(verdict.message_id, message.message_id);
  return {message.request.tenant_id, message.message_id};
}

ReplicaId StoreContract::NewReplica() {
  const ReplicaId replica{MakeUuidV4(random_)};
  const auto alive = store_.RenewReplica(replica, "test");
  EXPECT_TRUE(alive.ok() && *alive) << alive.status();
  LeasesOf(replica);
  return replica;
}

std::vector<Lease> StoreContract::LeasesOf(ReplicaId replica) {
  auto share = store_.AcquireSlots(replica);
  EXPECT_TRUE(share.ok()) << share.status();
  return share.ok() ? std::move(share->owned) : std::vector<Lease>{};
}

Intent StoreContract::IntendOne(ReplicaId replica, const MessageKey& key) {
  const std::vector<Lease> leases = LeasesOf(replica);
  const auto intents = store_.Intend(replica, leases, {&key, 1});
  EXPECT_TRUE(intents.ok()) << intents.status();
  return intents.ok() && intents->size() == 1 ? intents->front() : Intent{};
}

int StoreContract::Intended(ReplicaId replica, const MessageKey& key) {
  const Intent intent = IntendOne(replica, key);
  EXPECT_EQ(intent.kind, Intent::Kind::kPost);
  EXPECT_EQ(intent.key, key);
  return intent.attempt;
}

void StoreContract::Record(ReplicaId replica, const MessageKey& key, int attempt, OutcomeKind kind,
                           const std::string& provider_message_id) {
  AttemptOutcome row;
  row.key = key;
  row.attempt = attempt;
  row.outcome.kind = kind;
  row.outcome.provider_message_id = provider_message_id;
  if (kind == OutcomeKind::kAccepted) row.again_in = kQuietAfter;
  const absl::Status recorded = store_.RecordOutcomes(replica, {&row, 1});
  EXPECT_TRUE(recorded.ok()) << recorded;
}

MessageKey StoreContract::Submitted(ReplicaId replica, const std::string& provider_message_id) {
  const MessageKey key = Accepted();
  Record(replica, key, Intended(replica, key), OutcomeKind::kAccepted, provider_message_id);
  return key;
}

ParsedReceipt StoreContract::ReceiptFor(const MessageKey& key, MessageState state,
                                        const std::string& body) {
  Receipt receipt;
  receipt.message_id = key.message_id;
  receipt.status.state = state;
  receipt.status.provider_at = std::chrono::floor<std::chrono::seconds>(subject_.now());
  receipt.status.hash = Sha256Bytes(body);
  return {{key.tenant_id, {MakeUuidV7(subject_.now(), random_)}, "guide", body}, receipt};
}

ApplyCounts StoreContract::Apply(const ParsedReceipt& receipt) {
  const absl::Status appended = store_.AppendInbox({&receipt.row, 1});
  EXPECT_TRUE(appended.ok()) << appended;
  const auto counts = store_.ApplyReceipts({&receipt, 1});
  EXPECT_TRUE(counts.ok()) << counts.status();
  return counts.ok() ? *counts : ApplyCounts{};
}

NewInbound StoreContract::InboundFrom(const std::string& recipient,
                                      const std::string& provider_message_id) {
  NewInbound entry;
  entry.row = {
      tenant_.tenant_id, {MakeUuidV7(subject_.now(), random_)}, "guide", StrCat("text ", ++made_)};
  entry.text.provider_message_id = provider_message_id;
  entry.text.sender = tenant_.senders[0].address;
  entry.text.recipient = recipient;
  entry.text.text = "Help";
  entry.text.provider_at = std::chrono::floor<std::chrono::seconds>(subject_.now());
  entry.keyword = Keyword::kHelp;
  entry.new_conversation_id = {MakeUuidV4(random_)};
  entry.new_message_id = {MakeUuidV7(subject_.now(), random_)};
  return entry;
}

std::vector<InboxVerdict> StoreContract::RecordAll(std::span<const NewInbound> batch) {
  for (const NewInbound& entry : batch) {
    const absl::Status appended = store_.AppendInbox({&entry.row, 1});
    EXPECT_TRUE(appended.ok()) << appended;
  }
  const auto ends = store_.RecordInbound(batch);
  EXPECT_TRUE(ends.ok()) << ends.status();
  std::vector<InboxVerdict> verdicts;
  if (!ends.ok()) return verdicts;
  for (const InboundEnd& end : *ends) verdicts.push_back(end.verdict);
  return verdicts;
}

void StoreContract::Fail(const MessageKey& key, int attempt) {
  ParsedReceipt failed = ReceiptFor(key, MessageState::kFailed, StrCat("failed ", ++made_));
  failed.receipt->status.attempt = attempt;
  failed.receipt->status.failure = FailureReason::kCarrierRejected;
  failed.receipt->status.provider_code = "carrier_rejected";
  if (subject_.advance) subject_.advance(1ms);
  EXPECT_EQ(Apply(failed).applied, 1);
}

MessageKey StoreContract::Undetermined(ReplicaId replica) {
  const MessageKey key = Accepted();
  Record(replica, key, Intended(replica, key), OutcomeKind::kUnknown);
  if (subject_.advance) subject_.advance(1ms);
  const std::vector<Lease> leases = LeasesOf(replica);
  const auto ends = store_.CloseWindows(replica, leases, {.window = 0s});
  EXPECT_TRUE(ends.ok() && ends->undetermined == 1) << ends.status();
  return key;
}

ParsedReceipt StoreContract::Unreadable(const std::string& body) {
  ParsedReceipt unreadable = ReceiptFor({tenant_.tenant_id, {}}, MessageState::kSent, body);
  unreadable.receipt = absl::InvalidArgumentError("status: missing");
  if (subject_.advance) subject_.advance(1ms);  // Each is given up at a time of its own.
  EXPECT_EQ(Apply(unreadable).dead_letters, 1);
  return unreadable;
}

NewInbound StoreContract::Stray() {
  NewInbound stray = InboundFrom("+15550000001", "stray");
  stray.text.sender = "+15559999999";
  if (subject_.advance) subject_.advance(1ms);
  EXPECT_EQ(RecordAll({&stray, 1}), std::vector{InboxVerdict::kDeadLetter});
  return stray;
}

MessageStatus StoreContract::StatusOf(const MessageKey& key) {
  const auto record = store_.GetMessage(key);
  EXPECT_TRUE(record.ok()) << record.status();
  return record.ok() ? record->message.status : MessageStatus{};
}

std::vector<MessageState> StoreContract::HistoryOf(const MessageKey& key) {
  std::vector<MessageState> states;
  const auto record = store_.GetMessage(key);
  EXPECT_TRUE(record.ok()) << record.status();
  if (!record.ok()) return states;
  int revision = 0;
  for (const StatusEvent& event : record->history) {
    EXPECT_EQ(event.status.revision, ++revision) << "revisions have no gap";
    states.push_back(event.status.state);
  }
  return states;
}

Tick StoreContract::NewTick() {
  if (subject_.advance) subject_.advance(std::chrono::milliseconds(30));
  const auto tick = store_.MakeTick();
  EXPECT_TRUE(tick.ok()) << tick.status();
  return tick.ok() ? *tick : Tick{};
}

}  // namespace postrider
