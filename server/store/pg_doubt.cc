#include <algorithm>
#include <map>
#include <set>

#include "absl/container/flat_hash_map.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"
#include "server/store/pg_attempt_rows.h"
#include "server/store/pg_breakers.h"
#include "server/store/pg_fence.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr Query kTake{"doubt_take", R"(
UPDATE reconcile_queue q SET next_read_at = clock_timestamp() + $2::bigint * interval '1 second'
WHERE q.ctid = ANY(ARRAY(
  SELECT d.ctid FROM unnest($1::smallint[]) AS s(slot), unnest(ARRAY[1, 2]::smallint[]) AS k(kind),
    LATERAL (SELECT d.ctid FROM reconcile_queue d WHERE d.slot = s.slot AND d.kind = k.kind
      AND d.next_read_at <= now()
      ORDER BY d.slot, d.kind, d.next_read_at LIMIT $3::integer) d
  ORDER BY k.kind LIMIT $3::integer))
RETURNING q.tenant_id, q.message_id, q.reads, )" PR_US("clock_timestamp() - q.since")};

constexpr Query kMessages{
    "doubt_messages",
    "SELECT r.ord, m.state, m.attempt, m.provider_message_id, m.provider_conversation_id, "
    "m.recipient, m.sender, m.body, "
    "CASE WHEN a.replica_id <> '00000000-0000-0000-0000-000000000000' THEN " PR_US("a.intended_at")
    " END FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r(tenant_id, message_id, ord) "
    "JOIN message m ON m.tenant_id = r.tenant_id AND m.message_id = r.message_id "
    "LEFT JOIN LATERAL (SELECT a.intended_at, a.replica_id FROM attempt a "
    "WHERE a.tenant_id = r.tenant_id AND a.message_id = r.message_id AND a.attempt = m.attempt) a ON true"};

constexpr Query kRows{
    "doubt_rows",
    "SELECT r.ord, q.absent FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS "
    "r(tenant_id, message_id, ord), LATERAL (SELECT k.absent FROM reconcile_queue k "
    "WHERE k.tenant_id = r.tenant_id AND k.message_id >= r.message_id "
    "AND k.message_id <= r.message_id ORDER BY k.message_id LIMIT 1) q"};

constexpr Query kAssigned{
    "doubt_assigned",
    "SELECT r.ord FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[]) WITH ORDINALITY "
    "AS r(tenant_id, message_id, provider_message_id, attempt, ord) JOIN attempt a "
    "ON a.tenant_id = r.tenant_id AND a.provider_message_id = r.provider_message_id "
    "AND a.provider_message_id <> '' "
    "AND (a.message_id <> r.message_id OR a.attempt <> r.attempt)"};

constexpr Query kPutOff{"doubt_put_off", R"(
UPDATE reconcile_queue q SET reads = q.reads + r.read, absent = r.absent, kind = r.kind,
  next_read_at = timestamptz 'epoch' + r.next_us * interval '1 microsecond'
FROM (SELECT k.ctid AS place, r.* FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::integer[],
    $5::smallint[], $6::bigint[]) AS r(tenant_id, message_id, read, absent, kind, next_us),
  LATERAL (SELECT k.ctid FROM reconcile_queue k WHERE k.tenant_id = r.tenant_id
    AND k.message_id >= r.message_id AND k.message_id <= r.message_id
    ORDER BY k.message_id LIMIT 1) k) r
WHERE q.ctid = r.place)"};

/// A row of reconcile_queue that is looked at again.
struct PutOff {
  MessageKey key;
  bool read = false;
  int absent = 0;
  bool accepted = false;
  WallTime next{};
};

/// What a batch of looks does.
struct RecordedLooks {
  std::vector<MessageChange> changes;
  std::vector<std::pair<MessageKey, WallTime>> queued;
  std::vector<MessageKey> settled;
  std::vector<NamedAttempt> named;
  std::vector<PutOff> put_off;
  std::vector<std::pair<TenantId, WallTime>> pauses;
  BreakerCounts counts;
  DoubtEnds ends;
};

std::map<MessageKey, int> ReadAbsent(PgTransaction& transaction, std::span<const Look> looks) {
  PgParams params;
  AddKeys(params, looks);
  const PgRows rows = transaction.Run(kRows, params);
  std::map<MessageKey, int> absent;
  for (int row = 0; row < rows.size(); ++row) {
    absent[looks[static_cast<std::size_t>(rows.Int(row, 0) - 1)].key] =
        static_cast<int>(rows.Int(row, 1));
  }
  return absent;
}

/// Leaves out candidates that another message, or another attempt of it, has already.
void KeepUnassigned(PgTransaction& transaction, std::vector<Look>& looks) {
  struct Candidate {
    MessageKey key;
    Look* look = nullptr;
    std::string id;
  };
  std::vector<Candidate> all;
  for (Look& look : looks) {
    for (const Receipt& candidate : look.candidates) {
      all.push_back({look.key, &look, candidate.provider_message_id});
    }
  }
  if (all.empty()) return;
  PgParams params;
  AddKeys(params, all);
  AddColumn(params, all, [](auto& to, const auto& c) { AppendText(to, c.id); });
  AddColumn(params, all, [](auto& to, const auto& c) { StrAppend(to, c.look->attempt); });
  const PgRows rows = transaction.Run(kAssigned, params);
  for (int row = 0; row < rows.size(); ++row) {
    const Candidate& taken = all[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    std::erase_if(taken.look->candidates,
                  [&](const Receipt& c) { return c.provider_message_id == taken.id; });
  }
  // Nor one that an earlier look of this batch settles.
  std::set<std::pair<TenantId, std::string>> settles;
  for (Look& look : looks) {
    const TenantId tenant = look.key.tenant_id;
    std::erase_if(look.candidates, [&](const Receipt& c) {
      return settles.contains({tenant, c.provider_message_id});
    });
    if (look.kind == LookKind::kFound && look.candidates.size() == 1)
      settles.emplace(tenant, look.candidates.front().provider_message_id);
  }
}

void RecordFound(const StoredMessage& stored, const Look& look, RecordedLooks& out) {
  const Receipt& found = look.candidates.front();
  const MessageStatus& now = stored.message.status;
  ReceiptStatus status = found.status;
  status.attempt = look.attempt;
  Merge merge = MergeReceipt(now, status, stored.others);
  out.counts.Count(
      stored.Key().tenant_id, Breaker::kCarrier,
      CarrierVerdictOf(now, merge.status, stored.message.accepted_at, stored.store_now));
  if (merge.stored) {
    MessageChange change = ChangeOf(stored.Key(), now, merge.status, Cause::kReadAnswered);
    change.visible = merge.visible;
    change.correction = merge.correction;
    change.provider_message_id = found.provider_message_id;
    change.provider_conversation_id = found.provider_conversation_id;
    change.hidden = std::move(merge.hidden);
    out.changes.push_back(std::move(change));
    if (merge.visible) ++out.ends.answered;
  }
  out.named.push_back(
      {stored.Key(), look.attempt, found.provider_message_id, found.provider_conversation_id});
  if (EndsMessage(merge.status.state)) {
    out.settled.push_back(stored.Key());
  } else {
    out.put_off.push_back(
        {.key = stored.Key(),
         .read = true,
         .accepted = merge.status.state != MessageState::kUnknown,
         .next = stored.store_now + std::chrono::duration_cast<WallTime::duration>(look.again_in)});
  }
}

void RecordLook(const StoredMessage& stored, const Look& look, int absent, const DoubtTimes& times,
                RecordedLooks& out) {
  const Message& message = stored.message;
  const WallTime expire_at = message.request.expire_at;
  LookKind kind = look.kind;
  if (kind == LookKind::kFound && look.candidates.size() != 1) {
    kind = look.candidates.empty() ? LookKind::kAbsent : LookKind::kNothing;
  }
  if (kind == LookKind::kAbsent) ++absent;
  const Waiting waiting{.status = message.status,
                        .others = stored.others,
                        .policy = message.request.duplicate_policy,
                        .waited = stored.store_now - message.updated_at,
                        .expired = expire_at != WallTime{} && expire_at <= stored.store_now,
                        .absent = absent};
  if (look.tenant_waits > look.tenant_waits.zero()) {
    out.pauses.emplace_back(
        look.key.tenant_id,
        stored.store_now + std::chrono::duration_cast<WallTime::duration>(look.tenant_waits));
  }
  const LookVerdict verdict = JudgeLook(waiting, kind, times);
  if (verdict == LookVerdict::kNeedsNoLooking) {
    out.settled.push_back(stored.Key());
    return;
  }
  if (kind == LookKind::kFound) {
    RecordFound(stored, look, out);
    return;
  }
  PutOff row{.key = stored.Key(),
             .read = look.asked,
             .absent = absent,
             .accepted = message.status.state != MessageState::kUnknown};
  if (verdict == LookVerdict::kSendAgain) {
    out.changes.push_back(ChangeOf(stored.Key(), message.status,
                                   Requeue(message.status, HoldReason::kNone, {}),
                                   Cause::kSentAgain));
    out.queued.emplace_back(stored.Key(), stored.store_now);
    out.settled.push_back(stored.Key());
    ++out.ends.sent_again;
    return;
  }
  row.next = verdict == LookVerdict::kLookWhenItMay
                 ? message.updated_at + times.again
                 : stored.store_now + std::chrono::duration_cast<WallTime::duration>(look.again_in);
  out.put_off.push_back(row);
}

void WritePutOff(PgTransaction& transaction, std::span<const PutOff> rows) {
  if (rows.empty()) return;
  PgParams params;
  AddKeys(params, rows);
  AddColumn(params, rows, [](auto& to, const PutOff& r) { StrAppend(to, r.read ? 1 : 0); });
  AddColumn(params, rows, [](auto& to, const PutOff& r) { StrAppend(to, r.absent); });
  AddColumn(params, rows, [](auto& to, const PutOff& r) { StrAppend(to, r.accepted ? 2 : 1); });
  AddColumn(params, rows, [](auto& to, const PutOff& r) { AppendTime(to, r.next); });
  transaction.Run(kPutOff, params);
}

}  // namespace

absl::StatusOr<std::vector<DoubtfulMessage>> PgStore::TakeDoubtful(ReplicaId replica,
                                                                   std::span<const Lease> leases,
                                                                   int limit) {
  std::vector<DoubtfulMessage> found;
  PR_RETURN_IF_ERROR(pool_.Transact("take_doubtful", [&](PgTransaction& transaction) {
    found.clear();
    const std::map<int, Lease> held = HoldLeases(transaction, replica, leases);
    const std::vector<std::pair<int, Lease>> slots(held.begin(), held.end());
    PgParams params;
    AddColumn(params, slots, [](auto& to, const auto& slot) { StrAppend(to, slot.first); });
    params.Add(std::int64_t{std::chrono::seconds(kLookClaim).count()}).Add(std::int64_t{limit});
    const PgRows taken = transaction.Run(kTake, params);
    std::vector<DoubtfulMessage> messages;
    for (int row = 0; row < taken.size(); ++row) {
      DoubtfulMessage& message = messages.emplace_back();
      message.key = {{taken.UuidAt(row, 0)}, {taken.UuidAt(row, 1)}};
      message.reads = static_cast<int>(taken.Int(row, 2));
      message.waited = std::chrono::microseconds(taken.Int(row, 3));
    }
    if (messages.empty()) return absl::OkStatus();
    PgParams keys;
    AddKeys(keys, messages);
    const PgRows rows = transaction.Run(kMessages, keys);
    for (int row = 0; row < rows.size(); ++row) {
      DoubtfulMessage& message = messages[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
      message.state = static_cast<MessageState>(rows.Int(row, 1));
      message.attempt = static_cast<int>(rows.Int(row, 2));
      message.provider_message_id = rows.Text(row, 3);
      message.provider_conversation_id = rows.Text(row, 4);
      message.recipient = rows.Text(row, 5);
      message.sender = rows.Text(row, 6);
      message.text = rows.Text(row, 7);
      message.intended_at = rows.Time(row, 8);
      found.push_back(std::move(message));
    }
    return absl::OkStatus();
  }));
  std::sort(found.begin(), found.end(), [](const DoubtfulMessage& a, const DoubtfulMessage& b) {
    return std::pair(a.state, a.key) < std::pair(b.state, b.key);
  });
  return found;
}

absl::StatusOr<DoubtEnds> PgStore::RecordLooks(ReplicaId replica, std::span<const Lease> leases,
                                               std::span<const Look> looks,
                                               const DoubtTimes& times) {
  DoubtEnds ends;
  PR_RETURN_IF_ERROR(TransactWithEvents("record_looks", [&](PgTransaction& transaction) {
    const std::map<int, Lease> held = HoldLeases(transaction, replica, leases);
    std::map<MessageKey, Look> by_key;
    for (const Look& look : looks) {
      if (held.contains(SlotOf(look.key.tenant_id))) by_key.emplace(look.key, look);
    }
    std::vector<MessageKey> keys;
    for (const auto& [key, look] : by_key) keys.push_back(key);
    const std::vector<StoredMessage> messages = LockMessages(transaction, keys);
    std::vector<Look> mine;
    for (const StoredMessage& stored : messages) mine.push_back(by_key.at(stored.Key()));
    KeepUnassigned(transaction, mine);
    const std::map<MessageKey, int> absent = ReadAbsent(transaction, mine);
    RecordedLooks recorded;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const auto row = absent.find(mine[i].key);
      if (row == absent.end()) continue;  // settled meanwhile
      RecordLook(messages[i], mine[i], row->second, times, recorded);
    }
    WriteChanges(transaction, recorded.changes);
    NameAttempts(transaction, recorded.named);
    WritePutOff(transaction, recorded.put_off);
    PauseTenants(transaction, recorded.pauses);
    RemoveFromReconcile(transaction, recorded.settled);
    AddToQueue(transaction, recorded.queued);
    recorded.counts.Write(transaction);
    ends = recorded.ends;
    return absl::OkStatus();
  }));
  return ends;
}

std::vector<Query> DoubtQueries() { return {kTake, kMessages, kRows, kAssigned, kPutOff}; }

}  // namespace postrider
