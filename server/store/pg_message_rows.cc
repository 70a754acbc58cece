#include "server/store/pg_message_rows.h"

#include <algorithm>

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/store/pg_attempt_rows.h"
#include "server/store/pg_consent.h"
#include "server/store/pg_content.h"
#include "server/store/pg_dead_sends.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

constexpr Query kStoreNow{"store_now", "SELECT " PR_US("clock_timestamp()")};

constexpr Query kPause{
    "pause_tenants",
    "INSERT INTO tenant_pause AS p (tenant_id, slot, until) "
    "SELECT r.tenant_id, r.slot, max(timestamptz 'epoch' + r.until_us * interval '1 microsecond') "
    "FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS r(tenant_id, slot, until_us) "
    "GROUP BY r.tenant_id, r.slot ORDER BY 1 ON CONFLICT (tenant_id) DO UPDATE SET "
    "until = greatest(p.until, excluded.until)"};

constexpr Query kLockMessages{
    "lock_messages",
    "WITH r AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, "
    "message_id)) SELECT " PR_MESSAGE_COLUMNS
    " FROM r JOIN message m ON m.tenant_id = r.tenant_id AND m.message_id = r.message_id "
    "ORDER BY m.tenant_id, m.message_id FOR UPDATE OF m"};

constexpr Query kWriteChanges{"write_changes", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::integer[], $5::smallint[],
    $6::smallint[], $7::integer[], $8::boolean[], $9::boolean[], $10::smallint[], $11::text[],
    $12::text[], $13::bigint[], $14::bytea[], $15::smallint[], $16::bigint[], $17::text[],
    $18::text[], $19::boolean[], $20::integer[], $21::smallint[], $22::smallint[], $23::text[],
    $24::smallint[], $25::smallint[], $26::text[])
  AS r(tenant_id, message_id, previous, revision, state, cause, attempt, final, correction, failure,
    provider_code, correlation_id, provider_at, receipt_hash, hold_reason, hold_until,
    provider_message_id, provider_conversation_id, visible, opened, rest_before, why_before,
    code_before, rest_after, why_after, code_after)),
u AS (
  UPDATE message m SET state = r.state, revision = r.revision, attempt = r.attempt,
    opened = r.opened, final = r.final, failure = r.failure, provider_code = r.provider_code, correlation_id = r.correlation_id,
    provider_at = timestamptz 'epoch' + r.provider_at * interval '1 microsecond',
    receipt_hash = r.receipt_hash, hold_reason = r.hold_reason,
    hold_until = timestamptz 'epoch' + r.hold_until * interval '1 microsecond',
    provider_message_id = coalesce(nullif(r.provider_message_id, ''), m.provider_message_id),
    provider_conversation_id =
      coalesce(nullif(r.provider_conversation_id, ''), m.provider_conversation_id),
    updated_at = now()
  FROM r WHERE m.tenant_id = r.tenant_id AND m.message_id = r.message_id
  RETURNING m.slot, m.tenant_id, m.message_id, r.revision, r.previous, r.state, r.cause, r.attempt,
    r.final, r.correction, r.failure, r.provider_code, r.correlation_id, m.provider_at,
    r.hold_reason, m.hold_until, m.conversation_id, m.external_contact_id, m.campaign_id, r.visible,
    m.accepted_at, r.rest_before, r.why_before, r.code_before, r.rest_after, r.why_after,
    r.code_after),
n AS (
  INSERT INTO send_count (tenant_id, day, campaign_id, state, failure, provider_code, writer,
    messages)
  SELECT u.tenant_id, (u.accepted_at AT TIME ZONE 'UTC')::date, u.campaign_id, s.state, s.why,
    s.code, $27::smallint, sum(s.messages)
  FROM u, LATERAL (VALUES (u.rest_before, u.why_before, u.code_before, -1),
    (u.rest_after, u.why_after, u.code_after, 1)) AS s(state, why, code, messages)
  WHERE s.state > 0 GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(s.messages) <> 0
  ORDER BY 1, 2, 3, 4, 5, 6
  ON CONFLICT (tenant_id, day, campaign_id, state, failure, provider_code, writer)
  DO UPDATE SET messages = send_count.messages + excluded.messages)
INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt,
  final, correction, failure, provider_code, correlation_id, provider_at, hold_reason, hold_until,
  conversation_id, external_contact_id, campaign_id)
SELECT slot, tenant_id, message_id, revision, previous, state, cause, attempt, final, correction,
  failure, provider_code, correlation_id, provider_at, hold_reason, hold_until, conversation_id,
  external_contact_id, campaign_id FROM u WHERE visible)"};

constexpr Query kAddDepth{
    "add_depth",
    "INSERT INTO queue_depth (tenant_id, writer, depth) "
    "SELECT tenant_id, $3::smallint, sum(by) FROM unnest($1::uuid[], $2::bigint[]) AS "
    "r(tenant_id, by) GROUP BY tenant_id ORDER BY tenant_id "
    "ON CONFLICT (tenant_id, writer) DO UPDATE SET depth = queue_depth.depth + excluded.depth"};

constexpr Query kAddToQueue{"add_to_queue", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS r(tenant_id, message_id, due_us)),
q AS (
  INSERT INTO dispatch_queue (tenant_id, message_id, slot, priority, campaign_id, sender_id,
    recipient_key, due_at, expire_at, answers_opt_out)
  SELECT m.tenant_id, m.message_id, m.slot, m.priority, m.campaign_id, m.sender_id,
    m.recipient_key, timestamptz 'epoch' + r.due_us * interval '1 microsecond', m.expire_at,
    m.answers_opt_out
  FROM r JOIN message m ON m.tenant_id = r.tenant_id AND m.message_id = r.message_id
  ORDER BY m.tenant_id, m.message_id ON CONFLICT DO NOTHING
  RETURNING tenant_id, recipient_key, sender_id, slot, answers_opt_out),
o AS (
  INSERT INTO opt_out_queue (tenant_id, recipient_key, sender_id, slot)
  SELECT DISTINCT s.tenant_id, s.recipient_key, s.sender_id, q.slot FROM q, LATERAL (
    SELECT s.tenant_id, s.recipient_key, s.sender_id FROM suppression s
    WHERE s.tenant_id = q.tenant_id AND s.recipient_key = q.recipient_key
    AND s.sender_id IN (q.sender_id, '00000000-0000-0000-0000-000000000000')
    AND NOT q.answers_opt_out OFFSET 0) s
  ORDER BY 1, 2, 3 ON CONFLICT (tenant_id, recipient_key, sender_id)
  DO UPDATE SET since = excluded.since, look_at = excluded.look_at)
SELECT tenant_id FROM q)"};

constexpr Query kAddToReconcile{
    "add_to_reconcile",
    "INSERT INTO reconcile_queue (tenant_id, message_id, slot, kind, next_read_at) "
    "SELECT r.tenant_id, r.message_id, r.slot, r.kind, coalesce("
    "timestamptz 'epoch' + r.look_us * interval '1 microsecond', clock_timestamp()) FROM "
    "unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[], "
    "$5::bigint[]) AS r(tenant_id, message_id, slot, kind, look_us) ORDER BY 1, 2 "
    "ON CONFLICT DO NOTHING"};

constexpr Query kRemoveFromReconcile{
    "remove_from_reconcile",
    "DELETE FROM reconcile_queue q WHERE q.ctid = ANY(ARRAY("
    "SELECT k.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, message_id), "
    "LATERAL (SELECT k.ctid FROM reconcile_queue k "
    "WHERE k.tenant_id = r.tenant_id AND k.message_id >= r.message_id "
    "AND k.message_id <= r.message_id ORDER BY k.message_id LIMIT 1) k))"};

Metadata ReadMetadata(const PgRows& rows, int row, int column) {
  Metadata metadata;
  if (rows.IsNull(row, column)) return metadata;
  const std::vector<std::string> flat = rows.Texts(row, column);
  for (std::size_t i = 0; i + 1 < flat.size(); i += 2) metadata[flat[i]] = flat[i + 1];
  return metadata;
}

void AppendJsonString(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::int64_t Number(bool flag) { return flag ? 1 : 0; }

/// What a message is counted under in send_count once nothing more is expected of it.
struct CountedAs {
  MessageState state = {};  ///< 0: in none; it is on its way, also again by a replay.
  FailureReason why = FailureReason::kNone;  ///< Of a failure; else none, and no code.
  std::string_view code;
};

CountedAs CountedAsOf(const MessageStatus& status) {
  if (!status.final || status.state <= MessageState::kUnknown) return {};
  if (!IsFailure(status.state)) return {.state = status.state, .code = {}};
  return {status.state, status.failure, status.provider_code};
}

}  // namespace

void PauseTenants(PgTransaction& transaction,
                  std::span<const std::pair<TenantId, WallTime>> pauses) {
  if (pauses.empty()) return;
  PgParams params;
  AddColumn(params, pauses, [](auto& to, const auto& p) { AppendUuid(to, p.first.uuid); });
  AddColumn(params, pauses, [](auto& to, const auto& p) { StrAppend(to, SlotOf(p.first)); });
  AddColumn(params, pauses, [](auto& to, const auto& p) { AppendTime(to, p.second); });
  transaction.Run(kPause, params);
}

WallTime StoreNow(PgTransaction& transaction) { return transaction.Run(kStoreNow, {}).Time(0, 0); }

std::int64_t MicrosecondsOf(WallTime time) {
  const auto since_epoch = time.time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count();
}

std::string JsonOf(const Metadata& metadata) {
  std::string out = "{";
  for (const auto& [key, value] : metadata) {
    if (out.size() > 1) out += ',';
    AppendJsonString(out, key);
    out += ':';
    AppendJsonString(out, value);
  }
  out += '}';
  return out;
}

StoredMessage ReadMessage(const PgRows& rows, int row) {
  int column = 0;
  const auto text = [&] { return std::string(rows.Text(row, column++)); };
  const auto number = [&] { return rows.Int(row, column++); };
  const auto time = [&] { return rows.Time(row, column++); };
  const auto id = [&] { return rows.UuidAt(row, column++); };
  StoredMessage stored;
  Message& message = stored.message;
  MessageRequest& request = message.request;
  request.tenant_id = {id()};
  message.message_id = {id()};
  stored.slot = static_cast<int>(number());
  request.request_id = text();
  request.conversation_id = {id()};
  request.external_contact_id = text();
  request.campaign_id = text();
  request.sender_id = {id()};
  request.sender = text();
  request.recipient = text();
  request.text = text();
  request.metadata = ReadMetadata(rows, row, column++);
  request.priority = static_cast<Priority>(number());
  request.duplicate_policy = static_cast<DuplicatePolicy>(number());
  request.not_before = time();
  request.expire_at = time();
  request.time_zone = text();
  message.accepted_at = time();
  message.updated_at = time();
  MessageStatus& status = message.status;
  status.state = static_cast<MessageState>(number());
  status.revision = static_cast<int>(number());
  status.attempt = static_cast<int>(number());
  status.final = rows.Bool(row, column++);
  status.failure = static_cast<FailureReason>(number());
  status.provider_code = text();
  status.correlation_id = text();
  status.provider_at = time();
  status.receipt_hash = rows.Bytes(row, column++);
  status.hold_reason = static_cast<HoldReason>(number());
  status.hold_until = time();
  message.provider_message_id = text();
  message.provider_conversation_id = text();
  status.opened = static_cast<int>(number());
  request.template_name = text();
  request.answers_opt_out = rows.Bool(row, column++);
  request.content_unchecked = rows.Bool(row, column++);
  stored.store_now = time();
  PR_CHECK(column == kMessageColumns);
  return stored;
}

StatusEvent ReadEvent(const PgRows& rows, int row) {
  StatusEvent event;
  event.tenant_id = {rows.UuidAt(row, 0)};
  event.message_id = {rows.UuidAt(row, 1)};
  event.status.revision = static_cast<int>(rows.Int(row, 2));
  event.previous = static_cast<MessageState>(rows.Int(row, 3));
  event.status.state = static_cast<MessageState>(rows.Int(row, 4));
  event.cause = static_cast<Cause>(rows.Int(row, 5));
  event.status.attempt = static_cast<int>(rows.Int(row, 6));
  event.status.final = rows.Bool(row, 7);
  event.correction = rows.Bool(row, 8);
  event.status.failure = static_cast<FailureReason>(rows.Int(row, 9));
  event.status.provider_code = rows.Text(row, 10);
  event.status.correlation_id = rows.Text(row, 11);
  event.status.provider_at = rows.Time(row, 12);
  event.status.hold_reason = static_cast<HoldReason>(rows.Int(row, 13));
  event.status.hold_until = rows.Time(row, 14);
  event.conversation_id = {rows.UuidAt(row, 15)};
  event.external_contact_id = rows.Text(row, 16);
  event.campaign_id = rows.Text(row, 17);
  event.at = rows.Time(row, 18);
  return event;
}

std::vector<StoredMessage> LockMessages(PgTransaction& transaction, std::vector<MessageKey> keys) {
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::vector<StoredMessage> messages;
  if (keys.empty()) return messages;
  PgParams params;
  AddKeys(params, keys);
  const PgRows rows = transaction.Run(kLockMessages, params);
  messages.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) messages.push_back(ReadMessage(rows, row));
  LoadOtherAttempts(transaction, messages);
  return messages;
}

void WriteChanges(PgTransaction& transaction, std::span<const MessageChange> changes) {
  if (changes.empty()) return;
  PgParams params;
  const auto numbers = [&](auto value_of) {
    AddColumn(params, changes, [&](std::string& to, const MessageChange& change) {
      StrAppend(to, static_cast<std::int64_t>(value_of(change)));
    });
  };
  const auto texts = [&](auto text_of) {
    AddColumn(params, changes, [&](std::string& to, const MessageChange& change) {
      AppendText(to, text_of(change));
    });
  };
  const auto times = [&](auto time_of) {
    AddColumn(params, changes, [&](std::string& to, const MessageChange& change) {
      AppendTime(to, time_of(change));
    });
  };
  using Change = const MessageChange&;
  AddColumn(params, changes, [](auto& to, Change c) { AppendUuid(to, c.key.tenant_id.uuid); });
  AddColumn(params, changes, [](auto& to, Change c) { AppendUuid(to, c.key.message_id.uuid); });
  numbers([](Change c) { return c.before.state; });
  numbers([](Change c) { return c.after.revision; });
  numbers([](Change c) { return c.after.state; });
  numbers([](Change c) { return c.cause; });
  numbers([](Change c) { return c.after.attempt; });
  numbers([](Change c) { return Number(c.after.final); });
  numbers([](Change c) { return Number(c.correction); });
  numbers([](Change c) { return c.after.failure; });
  texts([](Change c) { return c.after.provider_code; });
  texts([](Change c) { return c.after.correlation_id; });
  times([](Change c) { return c.after.provider_at; });
  AddColumn(params, changes, [](auto& to, Change c) { AppendBytes(to, c.after.receipt_hash); });
  numbers([](Change c) { return c.after.hold_reason; });
  times([](Change c) { return c.after.hold_until; });
  texts([](Change c) { return c.provider_message_id; });
  texts([](Change c) { return c.provider_conversation_id; });
  numbers([](Change c) { return Number(c.visible); });
  numbers([](Change c) { return c.after.opened; });
  for (const auto status : {&MessageChange::before, &MessageChange::after}) {
    numbers([&](Change c) { return CountedAsOf(c.*status).state; });
    numbers([&](Change c) { return CountedAsOf(c.*status).why; });
    texts([&](Change c) { return CountedAsOf(c.*status).code; });
  }
  params.Add(std::int64_t{transaction.session()});
  transaction.Run(kWriteChanges, params);
  WriteHiddenAttempts(transaction, changes);
  KeepDeadSends(transaction, changes);
  KeepOptOuts(transaction, changes);
  KeepContentRejections(transaction, changes);
}

MessageChange ChangeOf(const MessageKey& key, const MessageStatus& before, MessageStatus after,
                       Cause cause) {
  MessageChange change;
  change.key = key;
  change.before = before;
  change.after = std::move(after);
  change.cause = cause;
  change.correction = before.final;
  return change;
}

void AddDepth(PgTransaction& transaction, const DepthChanges& by_tenant) {
  if (by_tenant.empty()) return;
  const std::vector<std::pair<TenantId, int>> changes(by_tenant.begin(), by_tenant.end());
  PgParams params;
  AddColumn(params, changes, [](auto& to, const auto& c) { AppendUuid(to, c.first.uuid); });
  AddColumn(params, changes, [](auto& to, const auto& c) { StrAppend(to, c.second); });
  params.Add(std::int64_t{transaction.session()});
  transaction.Run(kAddDepth, params);
}

void AddToQueue(PgTransaction& transaction,
                std::span<const std::pair<MessageKey, WallTime>> queued) {
  if (queued.empty()) return;
  PgParams params;
  AddColumn(params, queued,
            [](auto& to, const auto& q) { AppendUuid(to, q.first.tenant_id.uuid); });
  AddColumn(params, queued,
            [](auto& to, const auto& q) { AppendUuid(to, q.first.message_id.uuid); });
  AddColumn(params, queued, [](auto& to, const auto& q) { AppendTime(to, q.second); });
  const PgRows added = transaction.Run(kAddToQueue, params);
  DepthChanges depth;
  for (int row = 0; row < added.size(); ++row) ++depth[{added.UuidAt(row, 0)}];
  AddDepth(transaction, depth);
}

void AddToReconcile(PgTransaction& transaction, std::span<const Awaited> awaited) {
  if (awaited.empty()) return;
  PgParams params;
  AddKeys(params, awaited);
  AddColumn(params, awaited, [](auto& to, const Awaited& a) { StrAppend(to, a.slot); });
  AddColumn(params, awaited, [](auto& to, const Awaited& a) { StrAppend(to, a.accepted ? 2 : 1); });
  AddColumn(params, awaited, [](auto& to, const Awaited& a) { AppendTime(to, a.look_at); });
  transaction.Run(kAddToReconcile, params);
}

void RemoveFromReconcile(PgTransaction& transaction, std::span<const MessageKey> keys) {
  if (keys.empty()) return;
  PgParams params;
  AddKeys(params, keys);
  transaction.Run(kRemoveFromReconcile, params);
}

std::vector<Query> MessageRowQueries() {
  return {kStoreNow, kPause,      kLockMessages,   kWriteChanges,
          kAddDepth, kAddToQueue, kAddToReconcile, kRemoveFromReconcile};
}

}  // namespace postrider
