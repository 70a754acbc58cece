#include <set>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "server/store/pg_consent.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// A text is answered when it is the consent event that put an opt-out in force, and no other one
// was in force for that sender: so once for each opt-out, whatever is repeated. That it is accepted
// is written here as accept_make_messages writes it (pg_accept.cc). An opt-out does not stop it,
// nor does anything that accepting is otherwise held to.
constexpr Query kAnswerOptOuts{"answer_opt_outs", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::bytea[],
    $8::bigint[]) AS r(tenant_id, inbound_id, message_id, slot, fingerprint, said_us)
  WHERE coalesce(timestamptz 'epoch' + said_us * interval '1 microsecond', now()) >=
    now() - $9::integer * interval '1 second'),
v AS MATERIALIZED (
  SELECT r.*, 'postrider:opt-out:' || r.inbound_id AS request_id, i.conversation_id, i.sender_id,
    i.recipient, i.recipient_key, s.address, t.opt_out_confirmation AS body,
    coalesce((SELECT substr(c.contact_key, 3) FROM conversation c WHERE c.tenant_id = i.tenant_id
      AND c.conversation_id = i.conversation_id AND left(c.contact_key, 2) = 'x:'), '') AS contact,
    now() + $6::integer * interval '1 second' AS expire_at
  FROM r JOIN LATERAL (SELECT x.* FROM inbound_message x WHERE x.tenant_id = r.tenant_id
      AND x.inbound_id >= r.inbound_id AND x.inbound_id <= r.inbound_id
      ORDER BY x.inbound_id LIMIT 1) i ON true
    JOIN tenant t ON t.tenant_id = r.tenant_id
    JOIN sender s ON s.tenant_id = i.tenant_id AND s.sender_id = i.sender_id
  WHERE t.opt_out_confirmation <> '' AND s.active
    AND EXISTS (SELECT FROM suppression p WHERE p.tenant_id = i.tenant_id
      AND p.recipient_key = i.recipient_key AND p.consent_id = r.inbound_id
      AND p.sender_id IN (i.sender_id, '00000000-0000-0000-0000-000000000000') OFFSET 0)
    AND NOT EXISTS (SELECT FROM suppression p WHERE p.tenant_id = i.tenant_id
      AND p.recipient_key = i.recipient_key AND p.consent_id IS DISTINCT FROM r.inbound_id
      AND p.sender_id IN (i.sender_id, '00000000-0000-0000-0000-000000000000') OFFSET 0)),
k AS (
  INSERT INTO request_key (tenant_id, request_id, message_id, fingerprint)
  SELECT tenant_id, request_id, message_id, fingerprint FROM v ORDER BY tenant_id, request_id
  ON CONFLICT DO NOTHING RETURNING tenant_id, message_id),
n AS MATERIALIZED (SELECT v.* FROM v JOIN k USING (tenant_id, message_id)),
m AS (
  INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id,
    external_contact_id, campaign_id, sender_id, sender, recipient, recipient_key, body, metadata,
    priority, duplicate_policy, expire_at, time_zone, state, revision, attempt, final, failure,
    provider_code, correlation_id, receipt_hash, hold_reason, answers_opt_out)
  SELECT tenant_id, message_id, slot, request_id, conversation_id, contact, '', sender_id, address,
    recipient, recipient_key, body, '{}', 1, 1, expire_at, '', 1, 1, 1, false, 0, '', '', '', 0,
    true
  FROM n ORDER BY tenant_id, message_id),
q AS (
  INSERT INTO dispatch_queue (tenant_id, message_id, slot, priority, campaign_id, sender_id,
    recipient_key, due_at, expire_at, answers_opt_out)
  SELECT tenant_id, message_id, slot, 1, '', sender_id, recipient_key, now(), expire_at, true
  FROM n ORDER BY tenant_id, message_id),
e AS (
  INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt,
    final, conversation_id, external_contact_id, campaign_id, at)
  SELECT slot, tenant_id, message_id, 1, 1, 1, 1, 1, false, conversation_id, contact, '', now()
  FROM n),
d AS (
  INSERT INTO queue_depth (tenant_id, writer, depth)
  SELECT tenant_id, $7::smallint, count(*) FROM n GROUP BY tenant_id ORDER BY 1
  ON CONFLICT (tenant_id, writer) DO UPDATE SET depth = queue_depth.depth + excluded.depth),
c AS (
  INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages)
  SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date, '', 0, $7::smallint, count(*)
  FROM n GROUP BY tenant_id ORDER BY 1
  ON CONFLICT (tenant_id, day, campaign_id, state, failure, provider_code, writer)
  DO UPDATE SET messages = send_count.messages + excluded.messages)
SELECT tenant_id, message_id FROM n)"};

}  // namespace

std::set<MessageKey> AnswerOptOuts(PgTransaction& transaction,
                                   std::span<const NewInbound* const> outs) {
  std::set<MessageKey> answers;
  if (outs.empty()) return answers;
  using Out = const NewInbound* const&;
  PgParams params;
  AddColumn(params, outs, [](auto& to, Out o) { AppendUuid(to, o->row.tenant_id.uuid); });
  AddColumn(params, outs, [](auto& to, Out o) { AppendUuid(to, o->row.inbox_id.uuid); });
  AddColumn(params, outs, [](auto& to, Out o) { AppendUuid(to, o->new_message_id.uuid); });
  AddColumn(params, outs, [](auto& to, Out o) { StrAppend(to, SlotOf(o->row.tenant_id)); });
  AddColumn(params, outs, [](auto& to, Out o) {
    AppendBytes(to, Sha256Bytes(StrCat("answers opt-out ", o->row.inbox_id.ToString())));
  });
  params.Add(std::int64_t{kOptOutAnswerLasts / std::chrono::seconds(1)});
  params.Add(std::int64_t{transaction.session()});
  AddColumn(params, outs, [](auto& to, Out o) { AppendTime(to, o->text.provider_at); });
  params.Add(std::int64_t{kOptOutAnsweredWithin / std::chrono::seconds(1)});
  const PgRows rows = transaction.Run(kAnswerOptOuts, params);
  for (int row = 0; row < rows.size(); ++row) {
    answers.insert(MessageKey{{rows.UuidAt(row, 0)}, {rows.UuidAt(row, 1)}});
  }
  return answers;
}

std::vector<Query> OptOutAnswerQueries() { return {kAnswerOptOuts}; }

}  // namespace postrider
