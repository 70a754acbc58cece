#include <algorithm>
#include <map>
#include <set>

#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/policy/conversation_key.h"
#include "server/store/pg_consent.h"
#include "server/store/pg_inbox_rows.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

constexpr Query kFindSenders{
    "inbound_senders",
    "SELECT r.ord, s.sender_id FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS "
    "r(tenant_id, address, ord) JOIN sender s ON s.tenant_id = r.tenant_id "
    "AND s.address = r.address"};

// Two statements as in accept: the second sees the conversations that others made meanwhile.
constexpr Query kMakeConversations{"inbound_make_conversations", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bytea[])
  AS r(tenant_id, conversation_id, contact_key, sender_id, recipient_key))
INSERT INTO conversation (tenant_id, conversation_id, contact_key, sender_id, recipient_key, place)
SELECT tenant_id, conversation_id, key, sender_id, recipient_key, 0 FROM (
  SELECT DISTINCT ON (tenant_id, contact_key, sender_id)
    tenant_id, conversation_id, coalesce((SELECT a.into_key FROM contact_merge a
      WHERE a.tenant_id = r.tenant_id AND a.contact_key = r.contact_key), contact_key) AS key,
    sender_id, recipient_key
  FROM r WHERE NOT EXISTS (
    SELECT FROM conversation c WHERE c.tenant_id = r.tenant_id
    AND c.recipient_key = r.recipient_key AND c.sender_id = r.sender_id)
  ORDER BY tenant_id, contact_key, sender_id) r
ORDER BY tenant_id, recipient_key, sender_id ON CONFLICT DO NOTHING)"};

// A number may be shared by several contacts: the one that was last written to answers. Messages
// are found by a range of the conversation and in its order, which one index only gives. A number
// that was merged into a contact is that contact's, whatever number that began with.
constexpr Query kRecord{"inbound_record", R"(
WITH r AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bytea[], $6::text[],
    $7::smallint[], $8::text[], $9::text[], $10::bigint[], $11::bytea[])
  AS r(tenant_id, inbound_id, sender_id, recipient, recipient_key, body, keyword,
    provider_message_id, provider_conversation_id, provider_at, dedupe_key))
INSERT INTO inbound_message (tenant_id, inbound_id, conversation_id, sender_id, recipient,
  recipient_key, body, keyword, provider_message_id, provider_conversation_id, provider_at,
  dedupe_key)
SELECT r.tenant_id, r.inbound_id, c.conversation_id, r.sender_id, r.recipient, r.recipient_key,
  r.body, r.keyword, r.provider_message_id, r.provider_conversation_id,
  timestamptz 'epoch' + r.provider_at * interval '1 microsecond', r.dedupe_key
FROM r, LATERAL (
  SELECT c.conversation_id FROM (
    SELECT coalesce(c.merged_into, c.conversation_id) AS conversation_id, c.created_at
    FROM conversation c WHERE c.tenant_id = r.tenant_id AND c.recipient_key = r.recipient_key
      AND c.sender_id = r.sender_id
    UNION ALL
    SELECT c.conversation_id, c.created_at FROM (SELECT a.tenant_id, a.into_key
      FROM contact_merge a WHERE a.tenant_id = r.tenant_id
      AND a.contact_key = 'n:' || r.recipient LIMIT 1) a, LATERAL (
      SELECT o.conversation_id, o.created_at FROM conversation o WHERE o.tenant_id = a.tenant_id
        AND o.contact_key >= a.into_key AND o.contact_key <= a.into_key
        AND o.sender_id >= r.sender_id AND o.sender_id <= r.sender_id
      ORDER BY o.contact_key, o.sender_id LIMIT 1) c) c
  LEFT JOIN LATERAL (
    SELECT m.message_id FROM message m WHERE m.tenant_id = r.tenant_id
      AND m.conversation_id >= c.conversation_id AND m.conversation_id <= c.conversation_id
    ORDER BY m.tenant_id DESC, m.conversation_id DESC, m.message_id DESC LIMIT 1) m ON true
  ORDER BY m.message_id DESC NULLS LAST, c.created_at DESC LIMIT 1) c
ORDER BY r.tenant_id, r.dedupe_key ON CONFLICT DO NOTHING RETURNING tenant_id, inbound_id)"};

/// A text whose sender is known.
struct Incoming {
  const NewInbound* entry = nullptr;
  SenderId sender_id;
  MessageRequest contact;  ///< As of a message to that number, for its keys.
};

std::vector<Incoming> FindSenders(PgTransaction& transaction, std::span<const NewInbound> batch) {
  PgParams params;
  AddColumn(params, batch, [](auto& to, const auto& n) { AppendUuid(to, n.row.tenant_id.uuid); });
  AddColumn(params, batch, [](auto& to, const auto& n) { AppendText(to, n.text.sender); });
  const PgRows rows = transaction.Run(kFindSenders, params);
  std::vector<Incoming> known;
  for (int row = 0; row < rows.size(); ++row) {
    const NewInbound& entry = batch[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    Incoming& incoming = known.emplace_back();
    incoming.entry = &entry;
    incoming.sender_id = {rows.UuidAt(row, 1)};
    incoming.contact.recipient = entry.text.recipient;
  }
  return known;
}

void MakeConversations(PgTransaction& transaction, const std::vector<Incoming>& known) {
  using In = const Incoming&;
  PgParams params;
  AddColumn(params, known, [](auto& to, In i) { AppendUuid(to, i.entry->row.tenant_id.uuid); });
  AddColumn(params, known,
            [](auto& to, In i) { AppendUuid(to, i.entry->new_conversation_id.uuid); });
  AddColumn(params, known, [](auto& to, In i) { AppendText(to, ContactKeyOf(i.contact)); });
  AddColumn(params, known, [](auto& to, In i) { AppendUuid(to, i.sender_id.uuid); });
  AddColumn(params, known, [](auto& to, In i) { AppendBytes(to, RecipientKeyOf(i.contact)); });
  transaction.Run(kMakeConversations, params);
}

/// Which of them were new.
std::set<std::pair<TenantId, InboxId>> Record(PgTransaction& transaction,
                                              const std::vector<Incoming>& known) {
  using In = const Incoming&;
  PgParams params;
  AddColumn(params, known, [](auto& to, In i) { AppendUuid(to, i.entry->row.tenant_id.uuid); });
  AddColumn(params, known, [](auto& to, In i) { AppendUuid(to, i.entry->row.inbox_id.uuid); });
  AddColumn(params, known, [](auto& to, In i) { AppendUuid(to, i.sender_id.uuid); });
  AddColumn(params, known, [](auto& to, In i) { AppendText(to, i.entry->text.recipient); });
  AddColumn(params, known, [](auto& to, In i) { AppendBytes(to, RecipientKeyOf(i.contact)); });
  AddColumn(params, known, [](auto& to, In i) { AppendText(to, i.entry->text.text); });
  AddColumn(params, known,
            [](auto& to, In i) { StrAppend(to, static_cast<int>(i.entry->keyword)); });
  AddColumn(params, known,
            [](auto& to, In i) { AppendText(to, i.entry->text.provider_message_id); });
  AddColumn(params, known,
            [](auto& to, In i) { AppendText(to, i.entry->text.provider_conversation_id); });
  AddColumn(params, known, [](auto& to, In i) { AppendTime(to, i.entry->text.provider_at); });
  AddColumn(params, known, [](auto& to, In i) { AppendBytes(to, DedupeKeyOf(*i.entry)); });
  const PgRows rows = transaction.Run(kRecord, params);
  std::set<std::pair<TenantId, InboxId>> recorded;
  for (int row = 0; row < rows.size(); ++row) {
    recorded.insert({{rows.UuidAt(row, 0)}, {rows.UuidAt(row, 1)}});
  }
  return recorded;
}

/// What the keywords of texts that are new say.
std::vector<ConsentEvent> ConsentOf(const std::vector<Incoming>& known,
                                    const std::set<std::pair<TenantId, InboxId>>& recorded) {
  std::vector<ConsentEvent> events;
  for (const Incoming& incoming : known) {
    const NewInbound& entry = *incoming.entry;
    const bool out = entry.keyword == Keyword::kOptOut;
    if (!out && entry.keyword != Keyword::kOptIn) continue;
    if (!recorded.contains({entry.row.tenant_id, entry.row.inbox_id})) continue;
    ConsentEvent& event = events.emplace_back();
    event.tenant_id = entry.row.tenant_id;
    event.consent_id = entry.row.inbox_id.uuid;
    event.recipient = entry.text.recipient;
    event.sender_id = incoming.sender_id;
    event.change = out ? ConsentChange::kOptOut : ConsentChange::kOptIn;
    event.source = ConsentSource::kKeyword;
    event.evidence = entry.text.text;
    event.said_at = entry.text.provider_at;
  }
  return events;
}

std::vector<InboundEnd> RecordAll(PgTransaction& transaction, std::span<const NewInbound> batch) {
  // What an operator records came by no webhook.
  for (const NewInbound& entry : batch) {
    if (entry.action) AppendInboxRows(transaction, {&entry.row, 1});
  }
  const std::vector<Incoming> known = FindSenders(transaction, batch);
  std::set<std::pair<TenantId, InboxId>> recorded;
  std::set<MessageKey> answers;
  if (!known.empty()) {
    MakeConversations(transaction, known);
    recorded = Record(transaction, known);
    WriteConsentByScope(transaction, ConsentOf(known, recorded));
    std::vector<const NewInbound*> outs;
    for (const NewInbound& entry : batch) {
      const bool is_new = recorded.contains({entry.row.tenant_id, entry.row.inbox_id});
      if (is_new && entry.keyword == Keyword::kOptOut) outs.push_back(&entry);
    }
    answers = AnswerOptOuts(transaction, outs);
  }
  std::set<const NewInbound*> of_a_sender;
  for (const Incoming& incoming : known) of_a_sender.insert(incoming.entry);
  std::vector<InboundEnd> told;
  std::vector<InboxEnd> ends;
  for (const NewInbound& entry : batch) {
    InboxEnd& end = ends.emplace_back();
    end.row = &entry.row;
    end.dedupe_key = Sha256Bytes(entry.row.body);
    end.verdict = InboxVerdict::kDuplicate;
    if (of_a_sender.count(&entry) == 0) {
      end.verdict = InboxVerdict::kDeadLetter;
      end.reason = "UNKNOWN_SENDER";
      end.detail = "written to an address that is no sender of this tenant";
    } else if (recorded.count({entry.row.tenant_id, entry.row.inbox_id}) > 0) {
      end.verdict = InboxVerdict::kApplied;
      if (entry.action) {
        RecordAction(transaction, entry.row.tenant_id, *entry.action, "RECORD_INBOUND",
                     entry.row.inbox_id.ToString());
      }
    }
    told.push_back(
        {.verdict = end.verdict,
         .answered = answers.contains(MessageKey{entry.row.tenant_id, entry.new_message_id})});
  }
  EndInboxRows(transaction, ends);
  return told;
}

}  // namespace

absl::StatusOr<std::vector<InboundEnd>> PgStore::RecordInbound(std::span<const NewInbound> batch) {
  std::vector<InboundEnd> ends;
  if (batch.empty()) return ends;
  PR_RETURN_IF_ERROR(pool_.Transact("record_inbound", [&](PgTransaction& transaction) {
    ends = RecordAll(transaction, batch);
    return absl::OkStatus();
  }));
  const bool answered =
      std::any_of(ends.begin(), ends.end(), [](const InboundEnd& end) { return end.answered; });
  if (answered) on_events_();
  return ends;
}

std::vector<Query> InboundQueries() { return {kFindSenders, kMakeConversations, kRecord}; }

}  // namespace postrider
