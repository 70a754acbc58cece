#include <algorithm>
#include <functional>
#include <set>

#include "server/base/status_macros.h"
#include "server/model/conversation_limits.h"
#include "server/store/conversations.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// By a query of its own, so that no plan goes over all senders.
#define PR_ADDRESS(of)                                                                         \
  "(SELECT s.address FROM sender s WHERE s.tenant_id = " of ".tenant_id AND s.sender_id = " of \
  ".sender_id)"
#define PR_CONVERSATION_COLUMNS                                               \
  "c.conversation_id, c.contact_key, convert_from(c.recipient_key, 'UTF8'), " \
  "c.sender_id, " PR_ADDRESS("c") ", " PR_US("c.created_at") ", c.merged_into"

// Ranges where equality would do, in the order of the index that is meant: only that one gives it.
constexpr Query kFindConversation{
    "conversations_find", "SELECT " PR_CONVERSATION_COLUMNS
                          " FROM (SELECT * FROM conversation c WHERE c.tenant_id = $1::uuid "
                          "AND c.conversation_id >= $2::uuid AND c.conversation_id <= $2::uuid "
                          "ORDER BY c.conversation_id LIMIT 1) c"};
constexpr Query kFindOfContact{"conversations_find_of_contact",
                               "SELECT " PR_CONVERSATION_COLUMNS
                               " FROM (SELECT * FROM conversation c WHERE c.tenant_id = $1::uuid "
                               "AND c.contact_key >= $2::text AND c.contact_key <= $2::text "
                               "AND c.sender_id >= $3::uuid AND c.sender_id <= $3::uuid "
                               "ORDER BY c.contact_key, c.sender_id LIMIT 1) c"};

// Conversations that a number has with a sender: as many as may be one, and two.
constexpr Query kFindOfNumber{"conversations_find_of_number",
                              "SELECT " PR_CONVERSATION_COLUMNS
                              " FROM (SELECT * FROM conversation c WHERE c.tenant_id = $1::uuid "
                              "AND c.recipient_key >= $2::bytea AND c.recipient_key <= $2::bytea "
                              "AND c.sender_id >= $3::uuid AND c.sender_id <= $3::uuid "
                              "ORDER BY c.recipient_key, c.sender_id LIMIT $4::integer) c"};
constexpr Query kSurvivorOf{"contacts_survivor",
                            "SELECT a.into_key FROM contact_merge a "
                            "WHERE a.tenant_id = $1::uuid AND a.contact_key = $2::text"};
constexpr Query kMergedInto{"conversations_merged_into",
                            "SELECT c.conversation_id FROM conversation c WHERE "
                            "c.tenant_id = $1::uuid AND c.merged_into = $2::uuid "
                            "ORDER BY c.tenant_id, c.merged_into LIMIT $3::integer"};

// Of the whole tenant: so many are looked at, and which of them are the sender's is told of each.
// The last one is told in any case: the next page goes on there.
constexpr Query kListOfTenant{
    "conversations_list",
    "WITH c AS MATERIALIZED (SELECT * FROM conversation c WHERE c.tenant_id = $1::uuid "
    "AND c.conversation_id > $2::uuid ORDER BY c.conversation_id LIMIT $5::integer), "
    "w AS (SELECT c.*, c.sender_id >= $3::uuid AND c.sender_id <= $4::uuid AS wanted, "
    "row_number() OVER (ORDER BY c.conversation_id) AS nth FROM c) "
    "SELECT " PR_CONVERSATION_COLUMNS
    ", c.wanted, c.nth FROM w c "
    "WHERE c.wanted OR c.nth = $5::integer ORDER BY c.conversation_id LIMIT $6::integer"};
constexpr Query kListOfRecipient{
    "conversations_list_of_recipient",
    "SELECT " PR_CONVERSATION_COLUMNS
    " FROM (SELECT * FROM conversation c WHERE c.tenant_id = $1::uuid "
    "AND c.recipient_key >= $6::bytea AND c.recipient_key <= $6::bytea "
    "AND c.sender_id >= $3::uuid AND c.sender_id <= $4::uuid "
    "AND (c.sender_id, c.conversation_id) > ($7::uuid, $2::uuid) "
    "ORDER BY c.recipient_key, c.sender_id, c.conversation_id LIMIT $5::integer) c "
    "ORDER BY c.sender_id, c.conversation_id"};
constexpr Query kListOfContact{
    "conversations_list_of_contact",
    "SELECT " PR_CONVERSATION_COLUMNS
    " FROM (SELECT * FROM conversation c WHERE c.tenant_id = $1::uuid "
    "AND c.contact_key >= $6::text AND c.contact_key <= $6::text "
    "AND c.sender_id >= $3::uuid AND c.sender_id <= $4::uuid "
    "AND (c.sender_id, c.conversation_id) > ($7::uuid, $2::uuid) "
    "AND ($8::bytea = '' OR c.recipient_key = $8::bytea) "
    "ORDER BY c.contact_key, c.sender_id, c.conversation_id LIMIT $5::integer) c "
    "ORDER BY c.sender_id, c.conversation_id"};

#define PR_BEFORE(table, id)                                                                   \
  " WHERE " table ".tenant_id = $1::uuid AND " table ".conversation_id >= $2::uuid AND " table \
  ".conversation_id <= $2::uuid AND " table "." id " < $3::uuid ORDER BY " table               \
  ".conversation_id DESC, " table "." id " DESC LIMIT $4::integer"

constexpr Query kTimelineSent{
    "timeline_sent", "SELECT " PR_MESSAGE_COLUMNS " FROM message m" PR_BEFORE("m", "message_id")};
// Whether an empty text was erased: a picture of that age is told so, too. Kind 3 as in
// pg_erasure.cc.
constexpr Query kTimelineReceived{
    "timeline_received",
    "SELECT i.inbound_id, i.conversation_id, " PR_ADDRESS("i") ", i.recipient, i.body, "
    "i.body = '' AND coalesce((SELECT e.passed >= i.inbound_id FROM erasure_cursor e "
    "WHERE e.tenant_id = i.tenant_id AND e.kind = 3), false), i.keyword, "
    "i.provider_message_id, i.provider_conversation_id, " PR_US("i.provider_at") ", "
    PR_US("i.received_at") " FROM inbound_message i" PR_BEFORE("i", "inbound_id")};

constexpr int kWantedColumn = 7;
constexpr int kPlaceColumn = 8;

Conversation ReadConversation(const PgRows& rows, int row) {
  constexpr std::string_view kExternal = "x:";
  Conversation conversation;
  conversation.conversation_id = {rows.UuidAt(row, 0)};
  const std::string_view contact = rows.Text(row, 1);
  if (contact.starts_with(kExternal)) {
    conversation.external_contact_id = contact.substr(kExternal.size());
  }
  conversation.recipient = rows.Text(row, 2);
  conversation.sender_id = {rows.UuidAt(row, 3)};
  conversation.sender = rows.Text(row, 4);
  conversation.created_at = rows.Time(row, 5);
  if (!rows.IsNull(row, 6)) conversation.merged_into = {rows.UuidAt(row, 6)};
  return conversation;
}

InboundMessage ReadInbound(const PgRows& rows, int row) {
  InboundMessage inbound;
  inbound.inbound_id = {rows.UuidAt(row, 0)};
  inbound.conversation_id = {rows.UuidAt(row, 1)};
  inbound.sender = rows.Text(row, 2);
  inbound.recipient = rows.Text(row, 3);
  inbound.text = rows.Text(row, 4);
  inbound.text_erased = rows.Bool(row, 5);
  inbound.keyword = static_cast<Keyword>(rows.Int(row, 6));
  inbound.provider_message_id = rows.Text(row, 7);
  inbound.provider_conversation_id = rows.Text(row, 8);
  inbound.provider_at = rows.Time(row, 9);
  inbound.received_at = rows.Time(row, 10);
  return inbound;
}

/// Found by id: the one that goes on.
std::optional<Conversation> FindById(PgTransaction& transaction, TenantId tenant,
                                     ConversationId id) {
  for (int merged = 0; merged < 2; ++merged) {
    const PgRows rows =
        transaction.Run(kFindConversation, PgParams().Add(tenant.uuid).Add(id.uuid));
    if (rows.size() == 0) break;
    Conversation found = ReadConversation(rows, 0);
    if (found.merged_into.IsNil()) return found;
    id = found.merged_into;
  }
  return std::nullopt;
}

/// Found by the contact's key: its own, or the one that it goes on in.
std::optional<Conversation> FindByKey(PgTransaction& transaction, TenantId tenant, SenderId sender,
                                      std::string_view contact_key) {
  const PgRows rows = transaction.Run(
      kFindOfContact, PgParams().Add(tenant.uuid).Add(contact_key).Add(sender.uuid));
  if (rows.size() == 0) return std::nullopt;
  Conversation found = ReadConversation(rows, 0);
  if (found.merged_into.IsNil()) return found;
  return FindById(transaction, tenant, found.merged_into);
}

/// As kTakeKeys of pg_accept.cc.
std::optional<Conversation> FindByContact(PgTransaction& transaction,
                                          const ContactOfSender& contact) {
  const auto [tenant, sender, key] = contact;
  if (auto own = FindByKey(transaction, tenant, sender, key)) return own;
  const PgRows survivor =
      transaction.Run(kSurvivorOf, PgParams().Add(tenant.uuid).Add(std::string_view(key)));
  if (survivor.size() > 0) {
    return FindByKey(transaction, tenant, sender, survivor.Text(0, 0));
  }
  constexpr std::string_view kNumber = "n:";
  if (!key.starts_with(kNumber)) return std::nullopt;
  PgParams number;
  number.Add(tenant.uuid).AddBytes(key.substr(kNumber.size())).Add(sender.uuid);
  number.Add(std::int64_t{kConversationsOfANumber});
  const PgRows rows = transaction.Run(kFindOfNumber, number);
  std::set<ConversationId> met;
  for (int row = 0; row < rows.size(); ++row) {
    const Conversation found = ReadConversation(rows, row);
    met.insert(found.merged_into.IsNil() ? found.conversation_id : found.merged_into);
  }
  if (met.size() != 1) return std::nullopt;
  return FindById(transaction, tenant, *met.begin());
}

absl::StatusOr<Conversation> FindOne(
    PgPool& pool, const std::function<std::optional<Conversation>(PgTransaction&)>& find) {
  std::optional<Conversation> found;
  PR_RETURN_IF_ERROR(pool.Read("find_conversation", [&](PgTransaction& transaction) {
    found = find(transaction);
    return found ? absl::OkStatus() : absl::NotFoundError("no such conversation");
  }));
  return *std::move(found);
}

/// It and those that go on in it.
std::vector<ConversationId> GoingOnIn(PgTransaction& transaction, TenantId tenant,
                                      ConversationId id) {
  std::vector<ConversationId> all = {id};
  const PgRows rows = transaction.Run(
      kMergedInto, PgParams().Add(tenant.uuid).Add(id.uuid).Add(std::int64_t{kMostMerged}));
  for (int row = 0; row < rows.size(); ++row) all.push_back({rows.UuidAt(row, 0)});
  return all;
}

/// Which query finds them, with its parameters; and how many rows it looks at, at most.
struct ListPlan {
  const Query* query = nullptr;
  PgParams params;
  int scanned = 0;
};

ListPlan PlanOf(const ConversationFilter& filter, const ConversationPlace& place, int limit) {
  ListPlan plan;
  const bool any_sender = filter.sender_id.IsNil();
  const bool of_contact = !filter.external_contact_id.empty();
  const bool of_tenant = !of_contact && filter.recipient.empty();
  // One more than is wanted: whether there is another page.
  plan.scanned = of_tenant && !any_sender ? kConversationsScanned : limit + 1;
  plan.params.Add(filter.tenant_id.uuid).Add(place.conversation_id.uuid);
  plan.params.Add(filter.sender_id.uuid).Add(any_sender ? LastUuid() : filter.sender_id.uuid);
  plan.params.Add(std::int64_t{plan.scanned});
  if (of_tenant) {
    plan.query = &kListOfTenant;
    plan.params.Add(std::int64_t{limit} + 1);
  } else if (of_contact) {
    plan.query = &kListOfContact;
    plan.params.Add("x:" + filter.external_contact_id).Add(place.sender_id.uuid);
    plan.params.AddBytes(filter.recipient);
  } else {
    plan.query = &kListOfRecipient;
    plan.params.AddBytes(filter.recipient).Add(place.sender_id.uuid);
  }
  return plan;
}

ConversationPage PageOf(const PgRows& rows, const ListPlan& plan, int limit) {
  ConversationPage page;
  const bool of_tenant = plan.query == &kListOfTenant;
  for (int row = 0; row < rows.size(); ++row) {
    if (static_cast<int>(page.conversations.size()) == limit) {
      const Conversation& last = page.conversations.back();
      page.next = ConversationPlace{last.sender_id, last.conversation_id};
      break;
    }
    Conversation conversation = ReadConversation(rows, row);
    if (of_tenant && rows.Int(row, kPlaceColumn) == plan.scanned) {
      page.next = ConversationPlace{conversation.sender_id, conversation.conversation_id};
    }
    if (!of_tenant || rows.Bool(row, kWantedColumn)) {
      page.conversations.push_back(std::move(conversation));
    }
  }
  return page;
}

}  // namespace

absl::StatusOr<Conversation> PgStore::FindConversation(TenantId tenant, ConversationId id) {
  return FindOne(pool_,
                 [&](PgTransaction& transaction) { return FindById(transaction, tenant, id); });
}

absl::StatusOr<Conversation> PgStore::FindConversationOf(const ContactOfSender& contact) {
  return FindOne(pool_,
                 [&](PgTransaction& transaction) { return FindByContact(transaction, contact); });
}

absl::StatusOr<std::vector<TimelineEntry>> PgStore::ReadTimeline(TenantId tenant, ConversationId id,
                                                                 const Uuid& before, int limit) {
  std::vector<TimelineEntry> entries;
  PR_RETURN_IF_ERROR(pool_.Read("read_timeline", [&](PgTransaction& transaction) {
    entries.clear();
    for (const ConversationId one : GoingOnIn(transaction, tenant, id)) {
      PgParams params;
      params.Add(tenant.uuid).Add(one.uuid).Add(before).Add(std::int64_t{limit});
      const PgRows sent = transaction.Run(kTimelineSent, params);
      for (int row = 0; row < sent.size(); ++row) {
        entries.emplace_back(ReadMessage(sent, row).message);
      }
      const PgRows received = transaction.Run(kTimelineReceived, params);
      for (int row = 0; row < received.size(); ++row) {
        entries.emplace_back(ReadInbound(received, row));
      }
    }
    return absl::OkStatus();
  }));
  std::sort(entries.begin(), entries.end(),
            [](const TimelineEntry& a, const TimelineEntry& b) { return PlaceOf(a) > PlaceOf(b); });
  if (entries.size() > static_cast<std::size_t>(limit)) {
    entries.resize(static_cast<std::size_t>(limit));
  }
  return entries;
}

absl::StatusOr<ConversationPage> PgStore::ListConversations(const ConversationFilter& filter,
                                                            const ConversationPlace& place,
                                                            int limit) {
  ConversationPage page;
  const ListPlan plan = PlanOf(filter, place, limit);
  PR_RETURN_IF_ERROR(pool_.Read("list_conversations", [&](PgTransaction& transaction) {
    page = PageOf(transaction.Run(*plan.query, plan.params), plan, limit);
    return absl::OkStatus();
  }));
  return page;
}

std::vector<Query> ConversationQueries() {
  return {kFindConversation, kFindOfContact,   kFindOfNumber,  kSurvivorOf,   kMergedInto,
          kListOfTenant,     kListOfRecipient, kListOfContact, kTimelineSent, kTimelineReceived};
}

}  // namespace postrider
