#include <algorithm>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/policy/conversation_key.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_quotas.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// Two statements, because one cannot do it: its snapshot would not answer repeats within the
// batch or concurrent commits. The first takes request keys and makes conversations, waiting for
// concurrent transactions where keys collide; the second sees what then is, and says of each row
// whether it made the message. Inserts are sorted by key: without, concurrent batches deadlock.
//
// What bounds refuse gets no key in the first, so that the second finds a repeat's first message
// or nothing. Tenants whose queue the batch cannot fill, and rows without a quota, are not ranked:
// usually that is all of them. Where ranked, a row takes a place in the queue, then in its token's
// quota, then in its tenant's: what one refuses takes no place in the next. A row's rule: 10 and
// more, the place of the cap that is reached; 9, it may not be the first of its conversation.

constexpr Query kTakeKeys{"accept_take_keys", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::uuid[], $6::uuid[],
    $7::text[], $8::uuid[], $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bytea[], $14::smallint[]) WITH ORDINALITY
  AS r(tenant_id, request_id, message_id, fingerprint, given_id, new_id, contact_key, sender_id,
    recipient_key, queue_limit, tenant_room, token_room, token, rule, ord)),
welcome AS MATERIALIZED (
  SELECT r.* FROM r
  WHERE NOT EXISTS (
      SELECT FROM suppression s WHERE s.tenant_id = r.tenant_id
      AND s.recipient_key = r.recipient_key
      AND s.sender_id IN (r.sender_id, '00000000-0000-0000-0000-000000000000'))
    AND (r.given_id IS NULL OR (
      NOT EXISTS (
        SELECT FROM conversation c WHERE c.tenant_id = r.tenant_id AND c.contact_key = r.contact_key
        AND c.sender_id = r.sender_id AND c.conversation_id <> r.given_id)
      AND NOT EXISTS (
        SELECT FROM conversation g WHERE g.tenant_id = r.tenant_id
        AND g.conversation_id = r.given_id AND (g.contact_key, g.sender_id, g.recipient_key)
          <> (r.contact_key, r.sender_id, r.recipient_key))))),
tight AS MATERIALIZED (
  SELECT t.tenant_id, q.depth FROM (
    SELECT w.tenant_id, min(w.queue_limit) AS queue_limit, count(*) AS new_rows FROM welcome w
    WHERE w.queue_limit IS NOT NULL GROUP BY w.tenant_id) t,
  LATERAL (SELECT coalesce(sum(d.depth), 0)::bigint AS depth FROM queue_depth d
    WHERE d.tenant_id = t.tenant_id) q
  WHERE q.depth + t.new_rows > t.queue_limit),
ranked AS (
  SELECT w.ord, w.tenant_id, w.token, w.queue_limit, w.tenant_room, w.token_room, t.depth,
    CASE WHEN w.rule >= 10 THEN w.rule
      WHEN w.rule = 9 AND NOT EXISTS (SELECT FROM conversation c WHERE c.tenant_id = w.tenant_id
        AND c.contact_key = w.contact_key AND c.sender_id = w.sender_id OFFSET 0)
        AND NOT EXISTS (SELECT FROM welcome o WHERE o.tenant_id = w.tenant_id AND o.ord < w.ord
          AND o.contact_key = w.contact_key AND o.sender_id = w.sender_id AND o.rule = 0) THEN 9
      WHEN w.tenant_room <= 0 THEN 7 WHEN w.token_room <= 0 THEN 8 ELSE 0 END AS used_up,
    row_number() OVER (PARTITION BY w.tenant_id, w.request_id ORDER BY w.ord) = 1 AS is_first
  FROM welcome w LEFT JOIN tight t ON t.tenant_id = w.tenant_id
  WHERE (t.tenant_id IS NOT NULL OR w.tenant_room IS NOT NULL OR w.token_room IS NOT NULL
      OR w.rule > 0)
    AND NOT EXISTS (SELECT FROM request_key k WHERE k.tenant_id = w.tenant_id
      AND k.request_id = w.request_id OFFSET 0)),
in_queue AS (
  SELECT *, CASE WHEN used_up > 0 THEN used_up
    WHEN depth + count(*) FILTER (WHERE is_first AND used_up = 0)
      OVER (PARTITION BY tenant_id ORDER BY ord) > queue_limit THEN 6 ELSE 0 END AS no_place
  FROM ranked),
in_token AS (
  SELECT *, CASE WHEN no_place > 0 THEN no_place
    WHEN count(*) FILTER (WHERE is_first AND no_place = 0)
      OVER (PARTITION BY tenant_id, token ORDER BY ord) > token_room THEN 8 ELSE 0 END AS not_token
  FROM in_queue),
in_tenant AS (
  SELECT *, CASE WHEN not_token > 0 THEN not_token
    WHEN count(*) FILTER (WHERE is_first AND not_token = 0)
      OVER (PARTITION BY tenant_id ORDER BY ord) > tenant_room THEN 7 ELSE 0 END AS refusal
  FROM in_token),
refused AS MATERIALIZED (SELECT ord, refusal, depth FROM in_tenant WHERE refusal > 0),
allowed AS MATERIALIZED (SELECT w.* FROM welcome w WHERE w.ord NOT IN (SELECT ord FROM refused)),
k AS (
  INSERT INTO request_key (tenant_id, request_id, message_id, fingerprint)
  SELECT tenant_id, request_id, message_id, fingerprint FROM allowed
  ORDER BY tenant_id, request_id, ord ON CONFLICT DO NOTHING),
c AS (
  INSERT INTO conversation (tenant_id, conversation_id, contact_key, sender_id, recipient_key)
  SELECT DISTINCT ON (tenant_id, contact_key, sender_id)
    tenant_id, coalesce(given_id, new_id), contact_key, sender_id, recipient_key
  FROM allowed r WHERE NOT EXISTS (
    SELECT FROM conversation c WHERE c.tenant_id = r.tenant_id AND c.contact_key = r.contact_key
    AND c.sender_id = r.sender_id)
  ORDER BY tenant_id, contact_key, sender_id, ord ON CONFLICT DO NOTHING)
SELECT ord, refusal, depth FROM refused)"};

// OFFSET 0: else the planner may look for the message by hashing all of them.
constexpr Query kMakeMessages{"accept_make_messages", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::uuid[], $6::text[],
    $7::uuid[], $8::bytea[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::text[],
    $14::text[], $15::text[], $16::smallint[], $17::smallint[], $18::bigint[], $19::bigint[],
    $20::text[], $21::bigint[], $22::text[]) WITH ORDINALITY
  AS r(tenant_id, request_id, message_id, fingerprint, given_id, contact_key, sender_id,
    recipient_key, slot, sender, recipient, body, metadata, campaign_id, external_contact_id,
    priority, duplicate_policy, not_before_us, expire_at_us, time_zone, quiet_until_us,
    template_name, ord)),
v AS MATERIALIZED (
  SELECT r.*, x.message_id AS kept_id, x.fingerprint AS kept_fingerprint,
    c.conversation_id AS stored_id,
    timestamptz 'epoch' + r.not_before_us * interval '1 microsecond' AS not_before,
    timestamptz 'epoch' + r.expire_at_us * interval '1 microsecond' AS expire_at,
    timestamptz 'epoch' + r.quiet_until_us * interval '1 microsecond' AS quiet_until,
    coalesce(x.message_id = r.message_id AND c.conversation_id IS NOT NULL
      AND (r.given_id IS NULL OR r.given_id = c.conversation_id), false)
      AND NOT EXISTS (SELECT FROM message o WHERE o.tenant_id = r.tenant_id
        AND o.message_id = r.message_id OFFSET 0) AS is_new
  FROM r LEFT JOIN request_key x ON x.tenant_id = r.tenant_id AND x.request_id = r.request_id
    LEFT JOIN conversation c ON c.tenant_id = r.tenant_id AND c.contact_key = r.contact_key
      AND c.sender_id = r.sender_id),
m AS (
  INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id,
    external_contact_id, campaign_id, sender_id, sender, recipient, recipient_key, body, metadata,
    priority, duplicate_policy, not_before, expire_at, time_zone, state, revision, attempt, final,
    failure, provider_code, correlation_id, receipt_hash, hold_reason, hold_until, template_name)
  SELECT tenant_id, message_id, slot, request_id, stored_id, external_contact_id, campaign_id,
    sender_id, sender, recipient, recipient_key, body, metadata::jsonb, priority, duplicate_policy,
    not_before, expire_at, time_zone, 1, 1, 1, false, 0, '', '', '',
    CASE WHEN quiet_until > now() THEN 7 WHEN not_before > now() THEN 1 ELSE 0 END,
    CASE WHEN greatest(quiet_until, not_before) > now() THEN greatest(quiet_until, not_before) END,
    nullif(template_name, '')
  FROM v WHERE is_new ORDER BY tenant_id, message_id),
q AS (
  INSERT INTO dispatch_queue (tenant_id, message_id, slot, priority, campaign_id, sender_id,
    recipient_key, due_at, expire_at)
  SELECT tenant_id, message_id, slot, priority, campaign_id, sender_id, recipient_key,
    greatest(now(), not_before, quiet_until), expire_at
  FROM v WHERE is_new ORDER BY tenant_id, message_id),
e AS (
  INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt,
    final, conversation_id, external_contact_id, campaign_id, hold_reason, hold_until, at)
  SELECT slot, tenant_id, message_id, 1, 1, 1, 1, 1, false, stored_id, external_contact_id,
    campaign_id, CASE WHEN quiet_until > now() THEN 7 WHEN not_before > now() THEN 1 ELSE 0 END,
    CASE WHEN greatest(quiet_until, not_before) > now() THEN greatest(quiet_until, not_before) END,
    now()
  FROM v WHERE is_new),
d AS (
  INSERT INTO queue_depth (tenant_id, writer, depth)
  SELECT tenant_id, $23::smallint, count(*) FROM v WHERE is_new GROUP BY tenant_id ORDER BY 1
  ON CONFLICT (tenant_id, writer) DO UPDATE SET depth = queue_depth.depth + excluded.depth),
n AS (
  INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages)
  SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date, campaign_id, 0, $23::smallint, count(*)
  FROM v WHERE is_new GROUP BY tenant_id, campaign_id ORDER BY 1, 3
  ON CONFLICT (tenant_id, day, campaign_id, state, writer)
  DO UPDATE SET messages = send_count.messages + excluded.messages),
undo AS (
  DELETE FROM request_key k USING v WHERE v.kept_id = v.message_id AND NOT v.is_new
  AND k.tenant_id = v.tenant_id AND k.request_id = v.request_id
  AND NOT EXISTS (SELECT FROM message o WHERE o.tenant_id = v.tenant_id
    AND o.message_id = v.message_id OFFSET 0))
SELECT ord,
  CASE WHEN is_new THEN 0
    WHEN kept_id IS NOT NULL AND (kept_id <> message_id OR EXISTS (SELECT FROM message o
        WHERE o.tenant_id = v.tenant_id AND o.message_id = v.message_id OFFSET 0)) THEN
      CASE WHEN kept_fingerprint = fingerprint THEN 1 ELSE 2 END
    WHEN given_id IS NOT NULL AND external_contact_id <> '' AND EXISTS (
      SELECT FROM conversation g WHERE g.tenant_id = v.tenant_id AND g.conversation_id = v.given_id
      AND g.contact_key <> v.contact_key) THEN 5
    WHEN given_id IS NOT NULL AND (stored_id IS DISTINCT FROM given_id OR EXISTS (
      SELECT FROM conversation g WHERE g.tenant_id = v.tenant_id AND g.conversation_id = v.given_id
      AND (g.contact_key, g.sender_id, g.recipient_key)
        <> (v.contact_key, v.sender_id, v.recipient_key))) THEN 4
    ELSE 3 END,
  coalesce(kept_id, message_id), stored_id, )" PR_US("now()") R"(
FROM v ORDER BY ord)"};

constexpr std::int64_t kMayNotOpen = 9;
constexpr std::int64_t kFirstCap = 10;

Acceptance::Kind KindOf(std::int64_t code) {
  constexpr Acceptance::Kind kKinds[] = {Acceptance::Kind::kNew,
                                         Acceptance::Kind::kDuplicate,
                                         Acceptance::Kind::kRequestIdReused,
                                         Acceptance::Kind::kOptedOut,
                                         Acceptance::Kind::kConversationMismatch,
                                         Acceptance::Kind::kContactMismatch,
                                         Acceptance::Kind::kQueueFull,
                                         Acceptance::Kind::kTenantQuotaExceeded,
                                         Acceptance::Kind::kTokenQuotaExceeded,
                                         Acceptance::Kind::kMayNotOpen,
                                         Acceptance::Kind::kCapReached};
  return kKinds[std::min(code, kFirstCap)];
}

using New = const NewMessage&;

void AppendMaybe(std::string& literal, std::optional<std::int64_t> number) {
  if (number.has_value()) {
    StrAppend(literal, *number);
  } else {
    literal += "NULL";
  }
}

/// The columns that both statements begin with.
void AddKeys(PgParams& params, std::span<const NewMessage> batch) {
  AddColumn(params, batch, [](auto& to, New n) { AppendUuid(to, n.request.tenant_id.uuid); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.request_id); });
  AddColumn(params, batch, [](auto& to, New n) { AppendUuid(to, n.message_id.uuid); });
  AddColumn(params, batch, [](auto& to, New n) { AppendBytes(to, n.fingerprint); });
  AddColumn(params, batch, [](auto& to, New n) {
    if (n.request.conversation_id.IsNil()) {
      to += "NULL";
    } else {
      AppendUuid(to, n.request.conversation_id.uuid);
    }
  });
}

void AddContact(PgParams& params, std::span<const NewMessage> batch) {
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, ContactKeyOf(n.request)); });
  AddColumn(params, batch, [](auto& to, New n) { AppendUuid(to, n.request.sender_id.uuid); });
  AddColumn(params, batch, [](auto& to, New n) { AppendBytes(to, RecipientKeyOf(n.request)); });
}

PgParams MessageParams(std::span<const NewMessage> batch, int session) {
  PgParams params;
  AddKeys(params, batch);
  AddContact(params, batch);
  AddColumn(params, batch, [](auto& to, New n) { StrAppend(to, SlotOf(n.request.tenant_id)); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.sender); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.recipient); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.text); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, JsonOf(n.request.metadata)); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.campaign_id); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.external_contact_id); });
  AddColumn(params, batch,
            [](auto& to, New n) { StrAppend(to, static_cast<int>(n.request.priority)); });
  AddColumn(params, batch,
            [](auto& to, New n) { StrAppend(to, static_cast<int>(n.request.duplicate_policy)); });
  AddColumn(params, batch, [](auto& to, New n) { AppendTime(to, n.request.not_before); });
  AddColumn(params, batch, [](auto& to, New n) { AppendTime(to, n.request.expire_at); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.time_zone); });
  AddColumn(params, batch, [](auto& to, New n) { AppendTime(to, n.quiet_until); });
  AddColumn(params, batch, [](auto& to, New n) { AppendText(to, n.request.template_name); });
  params.Add(std::int64_t{session});
  return params;
}

PgParams KeyParams(std::span<const NewMessage> batch, const std::vector<QuotaRoom>& rooms) {
  PgParams params;
  AddKeys(params, batch);
  AddColumn(params, batch, [](auto& to, New n) { AppendUuid(to, n.new_conversation_id.uuid); });
  AddContact(params, batch);
  AddColumn(params, batch, [](auto& to, New n) { AppendMaybe(to, n.bounds.queue_limit); });
  const auto room_of = [&](std::size_t i) { return rooms.empty() ? QuotaRoom{} : rooms[i]; };
  params.AddArray(batch.size(),
                  [&](auto& to, std::size_t i) { AppendMaybe(to, room_of(i).tenant); });
  params.AddArray(batch.size(),
                  [&](auto& to, std::size_t i) { AppendMaybe(to, room_of(i).token); });
  AddColumn(params, batch, [](auto& to, New n) {
    if (n.bounds.token_quota.has_value()) {
      AppendBytes(to, n.bounds.token_sha256);
    } else {
      to += "NULL";
    }
  });
  params.AddArray(batch.size(), [&](std::string& to, std::size_t i) {
    const std::optional<std::size_t> cap = room_of(i).cap_reached;
    const std::int64_t bound = batch[i].bounds.may_open ? 0 : kMayNotOpen;
    StrAppend(to, cap ? kFirstCap + static_cast<std::int64_t>(*cap) : bound);
  });
  return params;
}

/// Reads the verdicts of kMakeMessages; those that kTakeKeys refused are repeats or what it said.
void ReadVerdicts(const PgRows& rows, const PgRows& refused, std::vector<Acceptance>& verdicts) {
  for (int row = 0; row < rows.size(); ++row) {
    verdicts[static_cast<std::size_t>(rows.Int(row, 0) - 1)] = {
        .kind = KindOf(rows.Int(row, 1)),
        .message_id = {rows.UuidAt(row, 2)},
        .conversation_id = {rows.UuidAt(row, 3)},
        .at = rows.Time(row, 4)};
  }
  for (int row = 0; row < refused.size(); ++row) {
    Acceptance& verdict = verdicts[static_cast<std::size_t>(refused.Int(row, 0) - 1)];
    const bool repeat = verdict.kind == Acceptance::Kind::kDuplicate ||
                        verdict.kind == Acceptance::Kind::kRequestIdReused;
    if (repeat) continue;
    const std::int64_t code = refused.Int(row, 1);
    verdict = {.kind = KindOf(code), .at = verdict.at, .count = refused.Int(row, 2)};
    if (code >= kFirstCap) verdict.cap = static_cast<std::size_t>(code - kFirstCap);
  }
}

}  // namespace

absl::StatusOr<std::vector<Acceptance>> PgStore::Accept(std::span<const NewMessage> batch) {
  std::vector<Acceptance> verdicts(batch.size());
  if (batch.empty()) return verdicts;
  NearQuotas near;
  const auto accept = [&](PgTransaction& transaction) {
    const std::optional<QuotaUse> use = LockQuotas(transaction, batch, near);
    if (!use) return absl::AbortedError("a quota is near its end");
    const PgRows refused =
        transaction.Run(kTakeKeys, KeyParams(batch, RoomsOf(transaction, *use, batch)));
    const PgRows rows = transaction.Run(kMakeMessages, MessageParams(batch, transaction.session()));
    ReadVerdicts(rows, refused, verdicts);
    CountQuotas(transaction, *use, batch, verdicts);
    return absl::OkStatus();
  };
  absl::Status status;
  std::size_t known = 0;
  do {  // Each turn knows one more of the batch's quotas to be near.
    known = near.size();
    status = TransactWithEvents("accept", accept);
  } while (absl::IsAborted(status) && near.size() > known);
  if (!status.ok()) return status;
  return verdicts;
}

std::vector<Query> AcceptQueries() { return {kTakeKeys, kMakeMessages}; }

}  // namespace postrider
