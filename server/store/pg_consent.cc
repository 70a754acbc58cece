#include "server/store/pg_consent.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "server/policy/conversation_key.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// One at a time of a recipient: of two that commit at once neither would see what the other says.
// Locks are shared by many recipients, so that a large batch does not fill the table of locks; in
// their order, so that two batches do not wait for one another.
constexpr Query kLockRecipients{
    "consent_lock_recipients",
    "SELECT pg_advisory_xact_lock(k.key) FROM (SELECT DISTINCT hashtextextended($2::text, 0) + "
    "(hashtextextended(r.tenant_id::text || r.recipient_key::text, 0) & 255) AS key "
    "FROM unnest($1::uuid[], $3::bytea[]) AS r(tenant_id, recipient_key) ORDER BY 1) k"};

constexpr Query kRecordConsent{"consent_record", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::uuid[], $5::text[], $6::smallint[],
    $7::smallint[], $8::text[], $9::text[], $10::text[], $11::bigint[])
  AS r(tenant_id, consent_id, recipient_key, sender_id, recipient, change, source, evidence, actor,
    reason, said_at))
INSERT INTO consent_event (tenant_id, consent_id, recipient_key, sender_id, recipient, change,
  source, evidence, actor, reason, said_at)
SELECT tenant_id, consent_id, recipient_key, sender_id, recipient, change, source, evidence, actor,
  reason, least(now(), coalesce(timestamptz 'epoch' + said_at * interval '1 microsecond', now()))
FROM r ORDER BY tenant_id, consent_id, recipient_key, sender_id ON CONFLICT DO NOTHING
RETURNING tenant_id, recipient_key, sender_id)"};

// A statement of its own: it sees what the others recorded before the lock was had. Here and below
// ranges where equality would do: of what is equal no order is asked, and then a plan could go by
// another index.
constexpr Query kEnforceConsent{"consent_enforce", R"(
WITH r AS MATERIALIZED (
  SELECT DISTINCT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::smallint[])
  AS r(tenant_id, recipient_key, sender_id, slot)),
last AS MATERIALIZED (
  SELECT r.*, l.change, l.consent_id, l.said_at FROM r, LATERAL (
    SELECT c.change, c.consent_id, c.said_at FROM consent_event c WHERE c.tenant_id = r.tenant_id
      AND c.recipient_key >= r.recipient_key AND c.recipient_key <= r.recipient_key
      AND c.sender_id >= r.sender_id AND c.sender_id <= r.sender_id
    ORDER BY c.tenant_id DESC, c.recipient_key DESC, c.sender_id DESC, c.said_at DESC, c.change,
      c.consent_id DESC LIMIT 1) l),
gone AS (
  DELETE FROM suppression s USING last l WHERE l.change = 2 AND s.tenant_id = l.tenant_id
  AND s.recipient_key = l.recipient_key AND s.sender_id = l.sender_id
  AND (s.consent_id IS NOT NULL OR s.since <= l.said_at) RETURNING 1),
done AS (
  DELETE FROM opt_out_queue o USING last l WHERE l.change = 2 AND o.tenant_id = l.tenant_id
  AND o.recipient_key = l.recipient_key AND o.sender_id = l.sender_id),
put AS (
  INSERT INTO suppression (tenant_id, recipient_key, sender_id, consent_id)
  SELECT tenant_id, recipient_key, sender_id, consent_id FROM last WHERE change = 1
  ORDER BY tenant_id, recipient_key, sender_id ON CONFLICT DO NOTHING
  RETURNING tenant_id, recipient_key, sender_id),
wait AS (
  INSERT INTO opt_out_queue (tenant_id, recipient_key, sender_id, slot)
  SELECT p.tenant_id, p.recipient_key, p.sender_id, r.slot FROM put p
  JOIN r USING (tenant_id, recipient_key, sender_id)
  ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING)
SELECT (SELECT count(*) FROM put), (SELECT count(*) FROM gone))"};

// Of opt-ins. A recipient's suppressions are few: one a sender at most.
constexpr Query kStillOptedOut{"consent_still_opted_out", R"(
SELECT count(*) FROM (
  SELECT DISTINCT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[])
  AS r(tenant_id, recipient_key, sender_id)) r
WHERE EXISTS (SELECT FROM suppression s WHERE s.tenant_id = r.tenant_id
  AND s.recipient_key = r.recipient_key AND s.sender_id <> r.sender_id
  AND '00000000-0000-0000-0000-000000000000' IN (r.sender_id, s.sender_id) OFFSET 0))"};

constexpr Query kScopes{"consent_scopes",
                        "SELECT t.tenant_id FROM tenant t WHERE t.tenant_id = ANY($1::uuid[]) "
                        "AND t.opt_out_scope = 2"};

constexpr Query kRecipientsOf{
    "consent_recipients",
    "SELECT r.ord, m.recipient, m.sender_id FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS "
    "r(tenant_id, message_id, ord) JOIN message m ON m.tenant_id = r.tenant_id "
    "AND m.message_id = r.message_id WHERE m.recipient <> ''"};

constexpr Query kMarkLeft{"mark_left_before_opt_out", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bytea[], $5::uuid[])
  AS r(tenant_id, message_id, attempt, recipient_key, sender_id)),
out AS MATERIALIZED (
  SELECT r.* FROM r WHERE EXISTS (SELECT FROM suppression s WHERE s.tenant_id = r.tenant_id
    AND s.recipient_key = r.recipient_key
    AND s.sender_id IN (r.sender_id, '00000000-0000-0000-0000-000000000000') OFFSET 0))
UPDATE attempt a SET left_before_opt_out = true FROM out
WHERE a.tenant_id = out.tenant_id AND a.message_id = out.message_id
  AND a.attempt = out.attempt)"};

constexpr Query kSuppressionsOf{
    "suppressions_of_a_recipient",
    "SELECT s.sender_id, " PR_US("s.since") " FROM suppression s WHERE s.tenant_id = $1::uuid "
    "AND s.recipient_key = $2::bytea ORDER BY s.sender_id"};

constexpr Query kConsentHistory{
    "consent_history",
    "SELECT c.consent_id, c.recipient, c.sender_id, c.change, c.source, c.evidence, c.actor, "
    "c.reason, " PR_US("c.said_at") ", " PR_US("c.recorded_at") " FROM consent_event c "
    "WHERE c.tenant_id = $1::uuid AND c.recipient_key >= $2::bytea AND c.recipient_key <= $2::bytea "
    "ORDER BY c.tenant_id, c.recipient_key, c.said_at DESC, c.consent_id DESC LIMIT $3::integer"};

std::string KeyOfNumber(const std::string& recipient) {
  MessageRequest request;
  request.recipient = recipient;
  return RecipientKeyOf(request);
}

/// What a receipt of an attempt is known by: each attempt can meet an opt-out of its own. Of the
/// first the message's id, of later ones a UUIDv8 (RFC 9562) made of it.
Uuid ReceiptIdOf(MessageId message_id, int attempt) {
  Uuid id = message_id.uuid;
  if (attempt <= 1) return id;
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x80);
  id.bytes[15] = static_cast<std::uint8_t>(id.bytes[15] ^ attempt);
  return id;
}

using Consent = const ConsentEvent&;

void AddConsentTenants(PgParams& params, std::span<const ConsentEvent> events) {
  AddColumn(params, events, [](auto& to, Consent e) { AppendUuid(to, e.tenant_id.uuid); });
}
void AddConsentRecipients(PgParams& params, std::span<const ConsentEvent> events) {
  AddColumn(params, events, [](auto& to, Consent e) { AppendBytes(to, KeyOfNumber(e.recipient)); });
}
void AddConsentSenders(PgParams& params, std::span<const ConsentEvent> events) {
  AddColumn(params, events, [](auto& to, Consent e) { AppendUuid(to, e.sender_id.uuid); });
}

/// How many of them were new.
int RecordEvents(PgTransaction& transaction, std::span<const ConsentEvent> events) {
  PgParams params;
  const auto texts = [&](auto text_of) {
    AddColumn(params, events, [&](std::string& to, Consent e) { AppendText(to, text_of(e)); });
  };
  const auto numbers = [&](auto value_of) {
    AddColumn(params, events,
              [&](std::string& to, Consent e) { StrAppend(to, static_cast<int>(value_of(e))); });
  };
  AddConsentTenants(params, events);
  AddColumn(params, events, [](auto& to, Consent e) { AppendUuid(to, e.consent_id); });
  AddConsentRecipients(params, events);
  AddConsentSenders(params, events);
  texts([](Consent e) { return e.recipient; });
  numbers([](Consent e) { return e.change; });
  numbers([](Consent e) { return e.source; });
  texts([](Consent e) { return e.evidence; });
  texts([](Consent e) { return e.actor; });
  texts([](Consent e) { return e.reason; });
  AddColumn(params, events, [](auto& to, Consent e) { AppendTime(to, e.said_at); });
  return transaction.Run(kRecordConsent, params).size();
}

int CountStillOptedOut(PgTransaction& transaction, std::span<const ConsentEvent> events) {
  std::vector<ConsentEvent> ins;
  std::copy_if(events.begin(), events.end(), std::back_inserter(ins),
               [](Consent e) { return e.change == ConsentChange::kOptIn; });
  if (ins.empty()) return 0;
  PgParams params;
  AddConsentTenants(params, ins);
  AddConsentRecipients(params, ins);
  AddConsentSenders(params, ins);
  return static_cast<int>(transaction.Run(kStillOptedOut, params).Int(0, 0));
}

/// Those of `tenants` whose opt-outs are of all their senders.
std::set<TenantId> WithTenantScope(PgTransaction& transaction,
                                   std::span<const ConsentEvent> events) {
  PgParams params;
  AddConsentTenants(params, events);
  const PgRows rows = transaction.Run(kScopes, params);
  std::set<TenantId> tenants;
  for (int row = 0; row < rows.size(); ++row) tenants.insert({rows.UuidAt(row, 0)});
  return tenants;
}

}  // namespace

ConsentCounts WriteConsent(PgTransaction& transaction, std::span<const ConsentEvent> events) {
  ConsentCounts counts;
  if (events.empty()) return counts;
  PgParams locks;
  AddConsentTenants(locks, events);
  locks.Add(std::string("consent "));
  AddConsentRecipients(locks, events);
  transaction.Run(kLockRecipients, locks);
  counts.recorded = RecordEvents(transaction, events);
  if (counts.recorded == 0) return counts;
  PgParams params;
  AddConsentTenants(params, events);
  AddConsentRecipients(params, events);
  AddConsentSenders(params, events);
  AddColumn(params, events, [](auto& to, Consent e) { StrAppend(to, SlotOf(e.tenant_id)); });
  const PgRows rows = transaction.Run(kEnforceConsent, params);
  counts.opted_out = static_cast<int>(rows.Int(0, 0));
  counts.opted_in = static_cast<int>(rows.Int(0, 1));
  return counts;
}

void WriteConsentByScope(PgTransaction& transaction, std::vector<ConsentEvent> events) {
  if (events.empty()) return;
  const std::set<TenantId> of_tenant = WithTenantScope(transaction, events);
  std::vector<ConsentEvent> scoped;
  for (ConsentEvent& event : events) {
    const bool wide = of_tenant.contains(event.tenant_id);
    if (!wide || event.change == ConsentChange::kOptIn) scoped.push_back(event);
    if (!wide) continue;
    event.sender_id = {};
    scoped.push_back(std::move(event));
  }
  WriteConsent(transaction, scoped);
}

void MarkLeftBeforeOptOut(PgTransaction& transaction, std::span<const MayHaveLeft> attempts) {
  if (attempts.empty()) return;
  PgParams params;
  AddKeys(params, attempts);
  AddColumn(params, attempts, [](auto& to, const auto& a) { StrAppend(to, a.attempt); });
  AddColumn(params, attempts,
            [](auto& to, const auto& a) { AppendBytes(to, KeyOfNumber(a.recipient)); });
  AddColumn(params, attempts, [](auto& to, const auto& a) { AppendUuid(to, a.sender_id.uuid); });
  transaction.Run(kMarkLeft, params);
}

void KeepOptOuts(PgTransaction& transaction, std::span<const MessageChange> changes) {
  std::vector<ConsentEvent> events;
  std::vector<MessageKey> messages;
  const auto add = [&](const MessageKey& key, int attempt, const std::string& code, WallTime at) {
    ConsentEvent& event = events.emplace_back();
    event.tenant_id = key.tenant_id;
    event.consent_id = ReceiptIdOf(key.message_id, attempt);
    event.source = ConsentSource::kReceipt;
    event.evidence = code;
    event.said_at = at;
    messages.push_back(key);
  };
  constexpr auto kOut = FailureReason::kRecipientOptedOut;
  for (const MessageChange& change : changes) {
    const MessageStatus& after = change.after;
    const bool known = change.before.failure == kOut && change.before.attempt == after.attempt;
    if (after.failure == kOut && !known) {
      add(change.key, after.attempt, after.provider_code, after.provider_at);
    }
    // The message may show another attempt than the one that met the opt-out.
    for (const AttemptStatus& hidden : change.hidden) {
      if (hidden.failure != kOut) continue;
      add(change.key, hidden.attempt, hidden.provider_code, hidden.provider_at);
    }
  }
  if (events.empty()) return;
  PgParams params;
  AddColumn(params, messages, [](auto& to, const auto& m) { AppendUuid(to, m.tenant_id.uuid); });
  AddColumn(params, messages, [](auto& to, const auto& m) { AppendUuid(to, m.message_id.uuid); });
  const PgRows rows = transaction.Run(kRecipientsOf, params);
  for (int row = 0; row < rows.size(); ++row) {
    ConsentEvent& event = events[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    event.recipient = rows.Text(row, 1);
    event.sender_id = {rows.UuidAt(row, 2)};
  }
  std::erase_if(events, [](Consent e) { return e.recipient.empty(); });
  WriteConsentByScope(transaction, std::move(events));
}

absl::StatusOr<ConsentCounts> PgStore::RecordConsent(std::span<const ConsentEvent> batch,
                                                     const std::optional<OperatorAction>& action) {
  ConsentCounts counts;
  if (batch.empty()) return counts;
  PR_RETURN_IF_ERROR(pool_.Transact("record_consent", [&](PgTransaction& transaction) {
    counts = WriteConsent(transaction, batch);
    if (counts.recorded > 0) counts.still_opted_out = CountStillOptedOut(transaction, batch);
    if (action && counts.recorded > 0) {
      RecordAction(transaction, batch[0].tenant_id, *action, "RECORD_CONSENT",
                   StrCat(counts.recorded, " recipients"),
                   {.after = StrCat("{\"opted_out\": ", counts.opted_out,
                                    ", \"opted_in\": ", counts.opted_in, "}")});
    }
    return absl::OkStatus();
  }));
  return counts;
}

absl::StatusOr<ConsentRecord> PgStore::FindConsent(TenantId tenant, const std::string& recipient) {
  ConsentRecord record;
  PgParams key;
  key.Add(tenant.uuid).AddBytes(KeyOfNumber(recipient));
  PgParams wanted = key;
  wanted.Add(std::int64_t{kMaxConsentHistory});
  PR_RETURN_IF_ERROR(pool_.Transact("find_consent", [&](PgTransaction& transaction) {
    record = {};
    const PgRows in_force = transaction.Run(kSuppressionsOf, key);
    for (int row = 0; row < in_force.size(); ++row) {
      record.suppressions.push_back({{in_force.UuidAt(row, 0)}, in_force.Time(row, 1)});
    }
    const PgRows rows = transaction.Run(kConsentHistory, wanted);
    for (int row = 0; row < rows.size(); ++row) {
      ConsentEvent& event = record.history.emplace_back();
      event.tenant_id = tenant;
      event.consent_id = rows.UuidAt(row, 0);
      event.recipient = rows.Text(row, 1);
      event.sender_id = {rows.UuidAt(row, 2)};
      event.change = static_cast<ConsentChange>(rows.Int(row, 3));
      event.source = static_cast<ConsentSource>(rows.Int(row, 4));
      event.evidence = rows.Text(row, 5);
      event.actor = rows.Text(row, 6);
      event.reason = rows.Text(row, 7);
      event.said_at = rows.Time(row, 8);
      event.recorded_at = rows.Time(row, 9);
    }
    return absl::OkStatus();
  }));
  return record;
}

std::vector<Query> ConsentQueries() {
  return {kLockRecipients, kRecordConsent,  kEnforceConsent, kStillOptedOut, kScopes,
          kRecipientsOf,   kSuppressionsOf, kConsentHistory, kMarkLeft};
}

}  // namespace postrider
