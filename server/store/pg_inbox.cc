#include <algorithm>
#include <map>
#include <set>

#include "absl/container/flat_hash_map.h"

#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_attempt_rows.h"
#include "server/store/pg_breakers.h"
#include "server/store/pg_inbox_rows.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr Query kFindByProviderId{
    "receipts_find_by_provider_id",
    "SELECT r.ord, a.message_id, a.attempt FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS "
    "r(tenant_id, provider_message_id, ord) JOIN attempt a ON a.tenant_id = r.tenant_id "
    "AND a.provider_message_id = r.provider_message_id AND a.provider_message_id <> ''"};

// IS NOT DISTINCT FROM cannot be looked up: no plan goes by the tenant alone.
constexpr Query kSeen{"receipts_seen",
                      "SELECT r.ord FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) "
                      "WITH ORDINALITY AS r(tenant_id, message_id, dedupe_key, ord) "
                      "WHERE EXISTS (SELECT FROM receipt_applied p "
                      "WHERE p.tenant_id IS NOT DISTINCT FROM r.tenant_id "
                      "AND p.message_id = r.message_id "
                      "AND p.dedupe_key = r.dedupe_key)"};

// Not what has its end already: a batch is applied again when its commit was in doubt.
constexpr Query kPark{
    "receipts_park",
    "INSERT INTO receipt_parked (tenant_id, inbox_id, profile, body) "
    "SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS "
    "r(tenant_id, inbox_id, profile, body) WHERE NOT EXISTS (SELECT FROM receipt_applied a "
    "WHERE a.tenant_id = r.tenant_id AND a.inbox_id = r.inbox_id OFFSET 0) ORDER BY 1, 2 "
    "ON CONFLICT DO NOTHING"};

constexpr Query kParkedTooLong{
    "receipts_parked_too_long",
    "SELECT r.ord FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS "
    "r(tenant_id, inbox_id, ord), LATERAL (SELECT p.parked_at FROM receipt_parked p "
    "WHERE p.tenant_id = r.tenant_id AND p.inbox_id >= r.inbox_id AND p.inbox_id <= r.inbox_id "
    "ORDER BY p.inbox_id LIMIT 1) p "
    "WHERE p.parked_at < now() - $3::bigint * interval '1 second'"};

// OFFSET 0: one look-up by key a row, not a join with all that was applied.
constexpr Query kSweep{"inbox_sweep", R"(
SELECT i.tenant_id, i.inbox_id, i.profile, i.body FROM unnest($1::uuid[]) AS t(tenant_id), LATERAL (
  SELECT i.tenant_id, i.inbox_id, i.profile, i.body FROM webhook_inbox i
  WHERE i.tenant_id = t.tenant_id AND i.inbox_id > $2::uuid AND i.inbox_id < $3::uuid
    AND NOT EXISTS (SELECT FROM receipt_applied p
      WHERE p.tenant_id = i.tenant_id AND p.inbox_id = i.inbox_id OFFSET 0)
    AND NOT EXISTS (SELECT FROM receipt_parked p
      WHERE p.tenant_id = i.tenant_id AND p.inbox_id = i.inbox_id OFFSET 0)
  ORDER BY i.tenant_id, i.inbox_id LIMIT $4::integer) i LIMIT $4::integer)"};

// Claimed by moving their next try: replicas that look at the same time take different ones.
constexpr Query kTakeParked{"inbox_take_parked",
                            "UPDATE receipt_parked p SET next_try_at = now() + interval '2 second' "
                            "WHERE p.ctid = ANY(ARRAY(SELECT d.ctid FROM receipt_parked d "
                            "WHERE d.next_try_at <= now() ORDER BY d.next_try_at LIMIT $1::integer "
                            "FOR UPDATE SKIP LOCKED)) "
                            "RETURNING p.tenant_id, p.inbox_id, p.profile, p.body"};

/// A receipt on its way through one transaction.
struct Pending {
  const ParsedReceipt* parsed = nullptr;
  MessageId message_id;             ///< Nil until known.
  int attempt = 0;                  ///< 0 until known.
  std::string provider_message_id;  ///< The one of its ids that the message is known by.
  std::string dedupe_key;
  std::optional<InboxVerdict> verdict;  ///< Unset: parked.
  std::string reason;                   ///< Of a dead letter.
  std::string detail;
};

template <typename Rows>
void AddInboxIds(PgParams& params, const Rows& rows) {
  AddColumn(params, rows,
            [](auto& to, const auto& p) { AppendUuid(to, p->parsed->row.tenant_id.uuid); });
  AddColumn(params, rows,
            [](auto& to, const auto& p) { AppendUuid(to, p->parsed->row.inbox_id.uuid); });
}

using PendingList = std::vector<Pending*>;

void FindMessages(PgTransaction& transaction, std::vector<Pending>& pending) {
  // Under its own id and under the channel's, whichever is known.
  std::vector<std::pair<Pending*, const std::string*>> looks;
  for (Pending& p : pending) {
    if (!p.parsed->receipt.ok()) continue;
    const Receipt& receipt = *p.parsed->receipt;
    p.message_id = receipt.message_id;
    p.attempt = receipt.status.attempt;
    p.provider_message_id = receipt.provider_message_id;
    if (!p.message_id.IsNil()) continue;
    for (const std::string* id : {&receipt.provider_message_id, &receipt.channel_message_id}) {
      if (!id->empty()) looks.emplace_back(&p, id);
    }
  }
  if (looks.empty()) return;
  PgParams params;
  AddColumn(params, looks,
            [](auto& to, auto& l) { AppendUuid(to, l.first->parsed->row.tenant_id.uuid); });
  AddColumn(params, looks, [](auto& to, auto& l) { AppendText(to, *l.second); });
  const PgRows rows = transaction.Run(kFindByProviderId, params);
  for (int row = 0; row < rows.size(); ++row) {
    const auto& [p, id] = looks[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    if (!p->message_id.IsNil() && id == &p->parsed->receipt->channel_message_id) continue;
    p->message_id = {rows.UuidAt(row, 1)};
    p->attempt = static_cast<int>(rows.Int(row, 2));
    p->provider_message_id = *id;
  }
}

/// Marks those of `found` whose copy was applied before as duplicates.
void MarkSeen(PgTransaction& transaction, const PendingList& found) {
  if (found.empty()) return;
  PgParams params;
  AddColumn(params, found,
            [](auto& to, Pending* p) { AppendUuid(to, p->parsed->row.tenant_id.uuid); });
  AddColumn(params, found, [](auto& to, Pending* p) { AppendUuid(to, p->message_id.uuid); });
  AddColumn(params, found, [](auto& to, Pending* p) { AppendBytes(to, p->dedupe_key); });
  const PgRows rows = transaction.Run(kSeen, params);
  for (int row = 0; row < rows.size(); ++row) {
    found[static_cast<std::size_t>(rows.Int(row, 0) - 1)]->verdict = InboxVerdict::kDuplicate;
  }
}

/// Merges the receipts of `found` into their locked messages, one after the other.
void MergeAll(PgTransaction& transaction, const PendingList& found) {
  std::vector<MessageKey> keys;
  for (const Pending* p : found) keys.push_back({p->parsed->row.tenant_id, p->message_id});
  absl::flat_hash_map<MessageKey, StoredMessage> messages;
  for (StoredMessage& stored : LockMessages(transaction, keys)) {
    messages.emplace(stored.Key(), std::move(stored));
  }
  MarkSeen(transaction, found);

  // A statement writes a row once: the second change of a message goes into a second round.
  std::vector<std::vector<MessageChange>> rounds;
  std::map<MessageKey, std::size_t> next_round;
  std::set<std::pair<MessageKey, std::string>> in_this_batch;
  std::vector<MessageKey> settled;
  std::vector<NamedAttempt> named;
  BreakerCounts counts;
  for (Pending* p : found) {
    const MessageKey key{p->parsed->row.tenant_id, p->message_id};
    const auto message = messages.find(key);
    if (message == messages.end()) continue;  // stays parked
    if (!in_this_batch.emplace(key, p->dedupe_key).second) p->verdict = InboxVerdict::kDuplicate;
    if (p->verdict) continue;
    p->verdict = InboxVerdict::kApplied;
    MessageStatus& now = message->second.message.status;
    const Receipt& receipt = *p->parsed->receipt;
    ReceiptStatus status = receipt.status;
    status.attempt = p->attempt;
    Merge merge = MergeReceipt(now, status, message->second.others);
    if (!merge.stored) continue;
    MessageChange change = ChangeOf(key, now, merge.status, Cause::kReceipt);
    change.visible = merge.visible;
    change.correction = merge.correction;
    change.provider_message_id = p->provider_message_id;
    change.provider_conversation_id = receipt.provider_conversation_id;
    if (now.state == MessageState::kUnknown) {
      // A replayed message is final, and may be in doubt still.
      const bool in_doubt = merge.status.state == MessageState::kUnknown;
      if (merge.status.final && !in_doubt) settled.push_back(key);
      named.push_back({key, p->attempt, p->provider_message_id, receipt.provider_conversation_id});
    }
    counts.Count(key.tenant_id, Breaker::kCarrier,
                 CarrierVerdictOf(now, merge.status, message->second.message.accepted_at,
                                  message->second.store_now));
    now = merge.status;
    change.hidden = merge.hidden;
    message->second.others = std::move(merge.hidden);
    const std::size_t round = next_round[key]++;
    if (round == rounds.size()) rounds.emplace_back();
    rounds[round].push_back(std::move(change));
  }
  for (const auto& changes : rounds) WriteChanges(transaction, changes);
  RemoveFromReconcile(transaction, settled);
  NameAttempts(transaction, named);
  counts.Write(transaction);
}

void MakeDead(Pending& p, std::string reason, std::string detail) {
  p.verdict = InboxVerdict::kDeadLetter;
  p.reason = std::move(reason);
  p.detail = std::move(detail);
}

/// Parks those without a verdict; those that were parked for too long are dead.
void Park(PgTransaction& transaction, const PendingList& homeless) {
  if (homeless.empty()) return;
  PgParams old;
  AddInboxIds(old, homeless);
  old.Add(std::int64_t{std::chrono::seconds(kParkedFor).count()});
  const PgRows rows = transaction.Run(kParkedTooLong, old);
  for (int row = 0; row < rows.size(); ++row) {
    MakeDead(*homeless[static_cast<std::size_t>(rows.Int(row, 0) - 1)], "ORPHAN",
             "names no message that is known here");
  }
  PendingList parked;
  for (Pending* p : homeless) {
    if (!p->verdict) parked.push_back(p);
  }
  if (parked.empty()) return;
  PgParams params;
  AddInboxIds(params, parked);
  AddColumn(params, parked, [](auto& to, Pending* p) { AppendText(to, p->parsed->row.profile); });
  AddColumn(params, parked, [](auto& to, Pending* p) { AppendBytes(to, p->parsed->row.body); });
  transaction.Run(kPark, params);
}

InboxRow ReadInboxRow(const PgRows& rows, int row) {
  return {.tenant_id = {rows.UuidAt(row, 0)},
          .inbox_id = {rows.UuidAt(row, 1)},
          .profile = std::string(rows.Text(row, 2)),
          .body = rows.Bytes(row, 3)};
}

template <typename Pick>
PendingList Those(std::vector<Pending>& pending, Pick pick) {
  PendingList list;
  for (Pending& p : pending) {
    if (pick(p)) list.push_back(&p);
  }
  return list;
}

void EndAll(PgTransaction& transaction, const std::vector<Pending>& pending) {
  std::vector<InboxEnd> ends;
  for (const Pending& p : pending) {
    if (!p.verdict) continue;
    const bool dead = *p.verdict == InboxVerdict::kDeadLetter;
    ends.push_back({.row = &p.parsed->row,
                    .verdict = *p.verdict,
                    .message_id = dead ? MessageId() : p.message_id,
                    .reason = p.reason,
                    .detail = p.detail,
                    .dedupe_key = p.dedupe_key});
  }
  EndInboxRows(transaction, ends);
}

ApplyCounts ApplyAll(PgTransaction& transaction, std::span<const ParsedReceipt> batch) {
  std::vector<Pending> pending(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    pending[i].parsed = &batch[i];
    pending[i].dedupe_key = DedupeKeyOf(batch[i]);
    if (!batch[i].receipt.ok()) {
      MakeDead(pending[i], "UNREADABLE", std::string(ToStd(batch[i].receipt.status().message())));
    }
  }
  FindMessages(transaction, pending);
  MergeAll(transaction,
           Those(pending, [](const Pending& p) { return !p.verdict && !p.message_id.IsNil(); }));
  Park(transaction, Those(pending, [](const Pending& p) { return !p.verdict; }));
  EndAll(transaction, pending);
  ApplyCounts counts;
  counts.ends.reserve(pending.size());
  for (const Pending& p : pending) {
    ++(!p.verdict                               ? counts.parked
       : *p.verdict == InboxVerdict::kApplied   ? counts.applied
       : *p.verdict == InboxVerdict::kDuplicate ? counts.duplicates
                                                : counts.dead_letters);
    counts.ends.push_back({p.verdict, p.message_id});
  }
  return counts;
}

}  // namespace

absl::Status PgStore::AppendInbox(std::span<const InboxRow> batch) {
  return pool_.Transact("append_inbox", [&](PgTransaction& transaction) {
    AppendInboxRows(transaction, batch);
    return absl::OkStatus();
  });
}

absl::StatusOr<ApplyCounts> PgStore::ApplyReceipts(std::span<const ParsedReceipt> batch) {
  ApplyCounts counts;
  if (batch.empty()) return counts;
  PR_RETURN_IF_ERROR(TransactWithEvents("apply_receipts", [&](PgTransaction& transaction) {
    counts = ApplyAll(transaction, batch);
    return absl::OkStatus();
  }));
  return counts;
}

absl::Status PgStore::BuryReceipt(const InboxRow& row, const std::string& reason) {
  const InboxEnd end{.row = &row,
                     .verdict = InboxVerdict::kDeadLetter,
                     .reason = "POISON",
                     .detail = reason,
                     .dedupe_key = Sha256Bytes(row.body)};
  return pool_.Transact("bury_receipt", [&](PgTransaction& transaction) {
    EndInboxRows(transaction, {&end, 1});
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<InboxRow>> PgStore::SweepInbox(std::span<const TenantId> tenants,
                                                          WallTime since, int limit) {
  std::vector<InboxRow> found;
  PgParams params;
  AddColumn(params, tenants, [](auto& to, const TenantId& t) { AppendUuid(to, t.uuid); });
  params.Add(LeastUuidV7(since))
      .Add(LeastUuidV7(clock_.Wall() - kSweepAge))
      .Add(std::int64_t{limit});
  PR_RETURN_IF_ERROR(pool_.Transact("sweep_inbox", [&](PgTransaction& transaction) {
    found.clear();
    const PgRows rows = transaction.Run(kSweep, params);
    for (int row = 0; row < rows.size(); ++row) found.push_back(ReadInboxRow(rows, row));
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::vector<InboxRow>> PgStore::TakeParked(int limit) {
  std::vector<InboxRow> found;
  PgParams params;
  params.Add(std::int64_t{limit});
  PR_RETURN_IF_ERROR(pool_.Transact("take_parked", [&](PgTransaction& transaction) {
    found.clear();
    const PgRows rows = transaction.Run(kTakeParked, params);
    for (int row = 0; row < rows.size(); ++row) found.push_back(ReadInboxRow(rows, row));
    return absl::OkStatus();
  }));
  return found;
}

std::vector<Query> InboxQueries() {
  return {kFindByProviderId, kSeen, kPark, kParkedTooLong, kSweep, kTakeParked};
}

}  // namespace postrider
