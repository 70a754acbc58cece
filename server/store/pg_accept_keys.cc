#include <algorithm>
#include <optional>

#include "server/base/strings.h"
#include "server/model/conversation_limits.h"
#include "server/store/pg_accept.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// What bounds refuse gets no key here, so that the second statement finds a repeat's first message
// or nothing. Tenants whose queue the batch cannot fill, and rows without a quota, are not ranked:
// usually that is all of them. Where ranked, a row takes a place in the queue, then in its token's
// quota, then in its tenant's: what one refuses takes no place in the next. A row's rule: 10 and
// more, the place of the cap that is reached; 9, it may not be the first of its conversation.
//
// Whose conversation a row joins (store/conversations.h): its contact's; of a contact that was
// merged the survivor's; else, by its number, the one of the only contact that has the number, when
// the row or that contact is the number itself. What is asked beside the first is asked only of
// rows whose contact has none with that sender, so not of those who were written to before. `met`
// is the survivor's key; how many conversations the number has (of kConversationsOfANumber); a
// contact of them; the one that they all go on in; whether one is merged. A row joins as `key`, in
// `goes_to` (null: it begins one). Conversations of one number begin in the order of numbers: with
// `place` they are unique, and batches that wait for each other's must not do so crosswise.
constexpr Query kTakeKeys{"accept_take_keys", R"(
WITH r AS MATERIALIZED (
  SELECT r.*, (SELECT coalesce(c.merged_into, c.conversation_id) FROM conversation c
    WHERE c.tenant_id = r.tenant_id AND c.contact_key = r.contact_key
    AND c.sender_id = r.sender_id) AS own_id
  FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::uuid[], $6::uuid[],
    $7::text[], $8::uuid[], $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bytea[], $14::smallint[]) WITH ORDINALITY
  AS r(tenant_id, request_id, message_id, fingerprint, given_id, new_id, contact_key, sender_id,
    recipient_key, queue_limit, tenant_room, token_room, token, rule, ord)),
seen AS MATERIALIZED (
  SELECT e.*, NOT EXISTS (
      SELECT FROM suppression s WHERE s.tenant_id = e.tenant_id
      AND s.recipient_key = e.recipient_key
      AND s.sender_id IN (e.sender_id, '00000000-0000-0000-0000-000000000000') OFFSET 0)
    AND (e.given_id IS NULL OR )" PR_NAMED_FITS("e", "e.goes_to") R"() AS welcome
  FROM (
    SELECT r.*, NULL::text[] AS met, false AS adopts, r.contact_key AS key, r.own_id AS goes_to
    FROM r WHERE r.own_id IS NOT NULL
    UNION ALL
    SELECT b.tenant_id, b.request_id, b.message_id, b.fingerprint, b.given_id, b.new_id,
      b.contact_key, b.sender_id, b.recipient_key, b.queue_limit, b.tenant_room, b.token_room,
      b.token, b.rule, b.ord, b.own_id, b.met, b.by_number AND left(b.contact_key, 2) = 'x:',
      CASE WHEN b.met[1] IS NOT NULL THEN b.met[1]
        WHEN b.by_number AND left(b.contact_key, 2) = 'n:' THEN b.met[3]
        ELSE b.contact_key END,
      CASE WHEN b.met[1] IS NOT NULL THEN (SELECT coalesce(c.merged_into, c.conversation_id)
          FROM conversation c WHERE c.tenant_id = b.tenant_id AND c.contact_key = b.met[1]
          AND c.sender_id = b.sender_id)
        WHEN b.by_number THEN b.met[4]::uuid END
    FROM (
      SELECT n.*, n.met[1] IS NULL AND n.met[4] IS NOT NULL
        AND (left(n.contact_key, 2) = 'n:'
          OR (n.met[2] = '1' AND left(n.met[3], 2) = 'n:' AND n.met[5] = 'false'))
        AND (n.given_id IS NULL OR EXISTS (SELECT FROM conversation g
          WHERE g.tenant_id = n.tenant_id AND g.conversation_id = n.given_id
          AND coalesce(g.merged_into, g.conversation_id) = n.met[4]::uuid OFFSET 0)) AS by_number
      FROM (
        SELECT r.*, ARRAY[(SELECT a.into_key FROM contact_merge a
            WHERE a.tenant_id = r.tenant_id AND a.contact_key = r.contact_key)] || (
          SELECT ARRAY[count(*)::text, min(x.contact_key),
            CASE WHEN min(x.goes_to) = max(x.goes_to) THEN min(x.goes_to) END,
            bool_or(x.merged)::text]
          FROM (SELECT c.contact_key, coalesce(c.merged_into, c.conversation_id)::text AS goes_to,
              c.merged_into IS NOT NULL AS merged FROM conversation c
            WHERE c.tenant_id = r.tenant_id AND c.recipient_key >= r.recipient_key
              AND c.recipient_key <= r.recipient_key AND c.sender_id >= r.sender_id
              AND c.sender_id <= r.sender_id
            ORDER BY c.recipient_key, c.sender_id LIMIT $15::integer) x) AS met
        FROM r WHERE r.own_id IS NULL OFFSET 0) n OFFSET 0) b) e),
tight AS MATERIALIZED (
  SELECT t.tenant_id, q.depth FROM (
    SELECT w.tenant_id, min(w.queue_limit) AS queue_limit, count(*) AS new_rows FROM seen w
    WHERE w.welcome AND w.queue_limit IS NOT NULL GROUP BY w.tenant_id) t,
  LATERAL (SELECT coalesce(sum(d.depth), 0)::bigint AS depth FROM queue_depth d
    WHERE d.tenant_id = t.tenant_id) q
  WHERE q.depth + t.new_rows > t.queue_limit),
ranked AS (
  SELECT w.ord, w.tenant_id, w.token, w.queue_limit, w.tenant_room, w.token_room, t.depth,
    CASE WHEN w.rule >= 10 THEN w.rule
      WHEN w.rule = 9 AND w.goes_to IS NULL
        AND NOT EXISTS (SELECT FROM seen o WHERE o.welcome AND o.tenant_id = w.tenant_id AND o.ord < w.ord
          AND o.key = w.key AND o.sender_id = w.sender_id AND o.rule = 0) THEN 9
      WHEN w.tenant_room <= 0 THEN 7 WHEN w.token_room <= 0 THEN 8 ELSE 0 END AS used_up,
    row_number() OVER (PARTITION BY w.tenant_id, w.request_id ORDER BY w.ord) = 1 AS is_first
  FROM seen w LEFT JOIN tight t ON t.tenant_id = w.tenant_id
  WHERE w.welcome AND (t.tenant_id IS NOT NULL OR w.tenant_room IS NOT NULL OR w.token_room IS NOT NULL
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
allowed AS MATERIALIZED (
  SELECT w.tenant_id, w.request_id, w.message_id, w.fingerprint, w.given_id, w.new_id, w.key,
    w.sender_id, w.recipient_key, w.goes_to, w.adopts, w.met[2] <> '0' AS is_more, w.ord
  FROM seen w WHERE w.welcome AND w.ord NOT IN (SELECT ord FROM refused)),
k AS (
  INSERT INTO request_key (tenant_id, request_id, message_id, fingerprint)
  SELECT tenant_id, request_id, message_id, fingerprint FROM allowed
  ORDER BY tenant_id, request_id, ord ON CONFLICT DO NOTHING),
adopters AS MATERIALIZED (
  SELECT DISTINCT ON (tenant_id, key, sender_id) tenant_id, goes_to, key, sender_id
  FROM (SELECT DISTINCT ON (tenant_id, goes_to) tenant_id, goes_to, key, sender_id, ord
    FROM allowed WHERE adopts ORDER BY tenant_id, goes_to, ord) f
  ORDER BY tenant_id, key, sender_id, ord),
a AS (
  UPDATE conversation c SET contact_key = w.key, adopted_at = now() FROM adopters w
  WHERE c.tenant_id = w.tenant_id AND c.conversation_id = w.goes_to
    AND left(c.contact_key, 2) = 'n:' AND c.merged_into IS NULL),
c AS (
  INSERT INTO conversation (tenant_id, conversation_id, contact_key, sender_id, recipient_key,
    place)
  SELECT tenant_id, id, key, sender_id, recipient_key,
    CASE WHEN is_more OR row_number() OVER (PARTITION BY tenant_id, recipient_key, sender_id
        ORDER BY key) > 1
      THEN (hashtextextended(id::text, 0) & 9223372036854775807) | 1 ELSE 0 END
  FROM (
    SELECT DISTINCT ON (tenant_id, key, sender_id) tenant_id, coalesce(given_id, new_id) AS id,
      key, sender_id, recipient_key, is_more
    FROM allowed r WHERE (goes_to IS NULL OR adopts) AND NOT EXISTS (SELECT FROM adopters w
      WHERE w.tenant_id = r.tenant_id AND w.key = r.key AND w.sender_id = r.sender_id)
    ORDER BY tenant_id, key, sender_id, ord) d
  ORDER BY tenant_id, recipient_key, sender_id, key ON CONFLICT DO NOTHING)
SELECT ord, refusal, depth, NULL FROM refused
UNION ALL SELECT ord, 0, 0, key FROM seen WHERE key <> contact_key)"};

using Row = const NewMessage&;

void AppendMaybe(std::string& literal, std::optional<std::int64_t> number) {
  if (number.has_value()) {
    StrAppend(literal, *number);
  } else {
    literal += "NULL";
  }
}

PgParams KeyParams(std::span<const NewMessage> batch, const std::vector<QuotaRoom>& rooms) {
  PgParams params;
  AddRequests(params, batch);
  AddColumn(params, batch, [](auto& to, Row n) { AppendUuid(to, n.new_conversation_id.uuid); });
  AddContacts(params, batch);
  AddColumn(params, batch, [](auto& to, Row n) { AppendMaybe(to, n.bounds.queue_limit); });
  const auto room_of = [&](std::size_t i) { return rooms.empty() ? QuotaRoom{} : rooms[i]; };
  params.AddArray(batch.size(),
                  [&](auto& to, std::size_t i) { AppendMaybe(to, room_of(i).tenant); });
  params.AddArray(batch.size(),
                  [&](auto& to, std::size_t i) { AppendMaybe(to, room_of(i).token); });
  AddColumn(params, batch, [](auto& to, Row n) {
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
  params.Add(std::int64_t{kConversationsOfANumber});
  return params;
}

}  // namespace

PgRows TakeKeys(PgTransaction& transaction, std::span<const NewMessage> batch,
                const std::vector<QuotaRoom>& rooms) {
  return transaction.Run(kTakeKeys, KeyParams(batch, rooms));
}

std::vector<Query> TakeKeysQueries() { return {kTakeKeys}; }

}  // namespace postrider
