#include "server/store/pg_accept.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/policy/conversation_key.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_quotas.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// OFFSET 0: else the planner may look for the message by hashing all of them.
constexpr Query kMakeMessages{"accept_make_messages", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::uuid[], $6::text[],
    $7::uuid[], $8::bytea[], $9::smallint[], $10::text[], $11::text[], $12::text[], $13::text[],
    $14::text[], $15::text[], $16::smallint[], $17::smallint[], $18::bigint[], $19::bigint[],
    $20::text[], $21::bigint[], $22::text[], $23::boolean[]) WITH ORDINALITY
  AS r(tenant_id, request_id, message_id, fingerprint, given_id, contact_key, sender_id,
    recipient_key, slot, sender, recipient, body, metadata, campaign_id, external_contact_id,
    priority, duplicate_policy, not_before_us, expire_at_us, time_zone, quiet_until_us,
    template_name, content_unchecked, ord)),
v AS MATERIALIZED (
  SELECT r.*, x.message_id AS kept_id, x.fingerprint AS kept_fingerprint,
    coalesce(c.merged_into, c.conversation_id) AS stored_id,
    timestamptz 'epoch' + r.not_before_us * interval '1 microsecond' AS not_before,
    timestamptz 'epoch' + r.expire_at_us * interval '1 microsecond' AS expire_at,
    timestamptz 'epoch' + r.quiet_until_us * interval '1 microsecond' AS quiet_until,
    coalesce(x.message_id = r.message_id AND c.conversation_id IS NOT NULL
      AND (r.given_id IS NULL OR r.given_id IN (c.conversation_id, c.merged_into) OR EXISTS (
        SELECT FROM conversation g WHERE g.tenant_id = r.tenant_id
        AND g.conversation_id = r.given_id
        AND g.merged_into = coalesce(c.merged_into, c.conversation_id))), false)
      AND NOT EXISTS (SELECT FROM message o WHERE o.tenant_id = r.tenant_id
        AND o.message_id = r.message_id OFFSET 0) AS is_new
  FROM r LEFT JOIN request_key x ON x.tenant_id = r.tenant_id AND x.request_id = r.request_id
    LEFT JOIN conversation c ON c.tenant_id = r.tenant_id AND c.contact_key = r.contact_key
      AND c.sender_id = r.sender_id),
m AS (
  INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id,
    external_contact_id, campaign_id, sender_id, sender, recipient, recipient_key, body, metadata,
    priority, duplicate_policy, not_before, expire_at, time_zone, state, revision, attempt, final,
    failure, provider_code, correlation_id, receipt_hash, hold_reason, hold_until, template_name,
    content_unchecked)
  SELECT tenant_id, message_id, slot, request_id, stored_id, external_contact_id, campaign_id,
    sender_id, sender, recipient, recipient_key, body, metadata::jsonb, priority, duplicate_policy,
    not_before, expire_at, time_zone, 1, 1, 1, false, 0, '', '', '',
    CASE WHEN quiet_until > now() THEN 7 WHEN not_before > now() THEN 1 ELSE 0 END,
    CASE WHEN greatest(quiet_until, not_before) > now() THEN greatest(quiet_until, not_before) END,
    nullif(template_name, ''), content_unchecked
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
  SELECT tenant_id, $24::smallint, count(*) FROM v WHERE is_new GROUP BY tenant_id ORDER BY 1
  ON CONFLICT (tenant_id, writer) DO UPDATE SET depth = queue_depth.depth + excluded.depth),
n AS (
  INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages)
  SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date, campaign_id, 0, $24::smallint, count(*)
  FROM v WHERE is_new GROUP BY tenant_id, campaign_id ORDER BY 1, 3
  ON CONFLICT (tenant_id, day, campaign_id, state, failure, provider_code, writer)
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
      AND g.contact_key <> v.contact_key
      AND coalesce(g.merged_into, g.conversation_id) IS DISTINCT FROM v.stored_id) THEN 5
    WHEN given_id IS NOT NULL AND NOT ()" PR_NAMED_FITS("v", "v.stored_id") R"() THEN 4
    WHEN kept_id = message_id AND stored_id IS NULL THEN -1
    ELSE 3 END,
  coalesce(kept_id, message_id), stored_id, )" PR_US("now()") R"(
FROM v ORDER BY ord)"};

constexpr std::int64_t kCrossed = -1;  ///< Another transaction began its number's first.

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

/// As often an accept is begun, anew after another transaction crossed it or a quota proved near.
constexpr int kAcceptTries = 8;
constexpr std::string_view kUniqueViolation = "SQLSTATE 23505";

/// A contact's or a number's first conversation was committed by another transaction meanwhile:
/// this one sees it the next time. Two contacts that take over numbers crosswise meet a unique key.
/// Or a quota is near its end, which the next time is known.
bool IsWorthAnewTry(const absl::Status& status) {
  return absl::IsAborted(status) || ToStd(status.message()).ends_with(kUniqueViolation);
}

/// How `transact` ends, begun anew where that helps.
absl::Status TryAccept(const std::function<absl::Status()>& transact) {
  for (int tries = 1;; ++tries) {
    absl::Status status = transact();
    if (!IsWorthAnewTry(status) || tries == kAcceptTries) return status;
  }
}

using New = const NewMessage&;

/// The keys that rows of `taken` (kTakeKeys) join as; empty: each its own.
std::vector<std::string> KeysOf(const PgRows& taken, std::span<const NewMessage> batch) {
  std::vector<std::string> keys;
  for (int row = 0; row < taken.size(); ++row) {
    if (taken.IsNull(row, 3)) continue;
    for (std::size_t i = keys.size(); i < batch.size(); ++i) {
      keys.push_back(ContactKeyOf(batch[i].request));
    }
    keys[static_cast<std::size_t>(taken.Int(row, 0) - 1)] = taken.Text(row, 3);
  }
  return keys;
}

PgParams MessageParams(std::span<const NewMessage> batch, const std::vector<std::string>& keys,
                       int session) {
  PgParams params;
  AddRequests(params, batch);
  AddContacts(params, batch, keys);
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
  AddColumn(params, batch, [](auto& to, New n) { to += n.request.content_unchecked ? 't' : 'f'; });
  params.Add(std::int64_t{session});
  return params;
}

/// Reads the verdicts of kMakeMessages; those that kTakeKeys refused are repeats or what it said.
/// False: one has none, since another transaction crossed it.
bool ReadVerdicts(const PgRows& rows, const PgRows& taken, std::span<Acceptance> verdicts) {
  for (int row = 0; row < rows.size(); ++row) {
    if (rows.Int(row, 1) == kCrossed) return false;
    verdicts[static_cast<std::size_t>(rows.Int(row, 0) - 1)] = {
        .kind = KindOf(rows.Int(row, 1)),
        .message_id = {rows.UuidAt(row, 2)},
        .conversation_id = {rows.UuidAt(row, 3)},
        .at = rows.Time(row, 4)};
  }
  for (int row = 0; row < taken.size(); ++row) {
    if (!taken.IsNull(row, 3)) continue;
    Acceptance& verdict = verdicts[static_cast<std::size_t>(taken.Int(row, 0) - 1)];
    const bool repeat = verdict.kind == Acceptance::Kind::kDuplicate ||
                        verdict.kind == Acceptance::Kind::kRequestIdReused;
    if (repeat) continue;
    const std::int64_t code = taken.Int(row, 1);
    verdict = {.kind = KindOf(code), .at = verdict.at, .count = taken.Int(row, 2)};
    if (code >= kFirstCap) verdict.cap = static_cast<std::size_t>(code - kFirstCap);
  }
  return true;
}

absl::Status QuotaIsNear() { return absl::AbortedError("accept: quotas near their end too often"); }

/// ABORTED: to be begun anew, since another transaction crossed it, or a quota is now in `near`.
absl::Status AcceptRows(PgTransaction& transaction, std::span<const NewMessage> batch,
                        NearQuotas& near, std::vector<Acceptance>& verdicts) {
  verdicts.assign(batch.size(), {});
  const std::optional<QuotaUse> use = LockQuotas(transaction, batch, near);
  if (!use) return QuotaIsNear();
  const PgRows taken = TakeKeys(transaction, batch, RoomsOf(transaction, *use, batch));
  const PgRows rows = transaction.Run(
      kMakeMessages, MessageParams(batch, KeysOf(taken, batch), transaction.session()));
  if (!ReadVerdicts(rows, taken, verdicts)) return absl::AbortedError("accept: crossed too often");
  CountQuotas(transaction, *use, batch, verdicts);
  return absl::OkStatus();
}

/// A batch, or its two halves when it writes to a number both with a contact and without: one
/// statement would not see that the second joins what the first begins.
struct AcceptHalf {
  std::vector<NewMessage> rows;
  std::vector<std::size_t> places;
};
std::vector<AcceptHalf> HalvesOf(std::span<const NewMessage> batch) {
  const auto is_known = [](New n) { return !n.request.external_contact_id.empty(); };
  const auto known = std::count_if(batch.begin(), batch.end(), is_known);
  if (known == 0 || known == std::ssize(batch)) return {};
  std::map<std::tuple<TenantId, SenderId, std::string_view>, bool> first_is_known;
  std::vector<AcceptHalf> halves(2);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const MessageRequest& request = batch[i].request;
    const auto [first, is_new] = first_is_known.try_emplace(
        {request.tenant_id, request.sender_id, request.recipient}, is_known(batch[i]));
    AcceptHalf& half = halves[first->second == is_known(batch[i]) ? 0 : 1];
    half.rows.push_back(batch[i]);
    half.places.push_back(i);
  }
  if (halves[1].rows.empty()) halves.clear();
  return halves;
}

}  // namespace

absl::StatusOr<std::vector<Acceptance>> PgStore::Accept(std::span<const NewMessage> batch) {
  std::vector<Acceptance> verdicts;
  if (batch.empty()) return verdicts;
  const std::vector<AcceptHalf> halves = HalvesOf(batch);
  NearQuotas near;
  const auto accept = [&](PgTransaction& transaction) {
    if (halves.empty()) return AcceptRows(transaction, batch, near, verdicts);
    // All locks at once, in their order; the halves have them then.
    if (!LockQuotas(transaction, batch, near)) return QuotaIsNear();
    verdicts.assign(batch.size(), {});
    for (const AcceptHalf& half : halves) {
      std::vector<Acceptance> some;
      PR_RETURN_IF_ERROR(AcceptRows(transaction, half.rows, near, some));
      for (std::size_t i = 0; i < some.size(); ++i) verdicts[half.places[i]] = some[i];
    }
    return absl::OkStatus();
  };
  PR_RETURN_IF_ERROR(TryAccept([&] { return TransactWithEvents("accept", accept); }));
  return verdicts;
}

absl::StatusOr<Acceptance> PgStore::WouldAccept(const NewMessage& message) {
  std::vector<Acceptance> verdicts;
  NearQuotas near;
  const auto accept = [&](PgTransaction& transaction) {
    PR_RETURN_IF_ERROR(AcceptRows(transaction, {&message, 1}, near, verdicts));
    return absl::CancelledError("would_accept: rolled back");
  };
  const absl::Status status = TryAccept([&] { return pool_.Transact("would_accept", accept); });
  if (absl::IsCancelled(status)) return verdicts.front();
  return status;
}

std::vector<Query> AcceptQueries() {
  std::vector<Query> queries = TakeKeysQueries();
  queries.push_back(kMakeMessages);
  return queries;
}

}  // namespace postrider
