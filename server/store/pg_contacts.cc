#include <algorithm>
#include <map>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/conversation_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// Waits for what is being accepted, and holds up what comes meanwhile: then no conversation of the
// contact is begun that this does not see. After a second Postgres ends an autovacuum that is in
// the way; a little longer at most, then the caller repeats it.
constexpr const char* kContactLockWait = "SET LOCAL lock_timeout = '1300ms'";
constexpr const char* kLockConversations = "LOCK TABLE conversation IN SHARE ROW EXCLUSIVE MODE";

constexpr Query kMergesOf{
    "contacts_merges",
    "SELECT a.contact_key, a.into_key FROM contact_merge a WHERE a.tenant_id = $1::uuid AND "
    "a.contact_key = ANY($2::text[]) UNION SELECT a.contact_key, a.into_key FROM contact_merge a "
    "WHERE a.tenant_id = $1::uuid AND a.into_key = ANY($2::text[])"};

// Of both contacts, and those that go on in theirs.
constexpr Query kConversationsOf{"contacts_conversations", R"(
WITH o AS MATERIALIZED (
  SELECT c.tenant_id, c.contact_key, c.sender_id, c.conversation_id
  FROM unnest($2::text[]) AS k(contact_key), LATERAL (
    SELECT c.* FROM conversation c WHERE c.tenant_id = $1::uuid
      AND c.contact_key >= k.contact_key AND c.contact_key <= k.contact_key
    ORDER BY c.tenant_id, c.contact_key, c.sender_id LIMIT $3::integer) c)
SELECT o.contact_key, o.sender_id, o.conversation_id,
  (SELECT count(*) FROM conversation m WHERE m.tenant_id = o.tenant_id
    AND m.merged_into = o.conversation_id),
  coalesce((SELECT s.address FROM sender s WHERE s.tenant_id = o.tenant_id
    AND s.sender_id = o.sender_id), o.sender_id::text) FROM o)"};

constexpr Query kMoveConversations{
    "contacts_move",
    "UPDATE conversation c SET contact_key = $2::text FROM unnest($3::uuid[]) AS r(id) "
    "WHERE c.tenant_id = $1::uuid AND c.conversation_id = r.id"};
constexpr Query kMergeConversations{
    "contacts_merge_conversations",
    "UPDATE conversation c SET merged_into = r.into_id FROM unnest($2::uuid[], $3::uuid[]) AS "
    "r(id, into_id) WHERE c.tenant_id = $1::uuid AND c.conversation_id = r.id"};
constexpr Query kMergeFollowers{
    "contacts_merge_followers",
    "UPDATE conversation c SET merged_into = r.into_id FROM unnest($2::uuid[], $3::uuid[]) AS "
    "r(id, into_id) WHERE c.tenant_id = $1::uuid AND c.merged_into = r.id"};
constexpr Query kLeadOn{"contacts_lead_on",
                        "UPDATE contact_merge a SET into_key = $3::text "
                        "WHERE a.tenant_id = $1::uuid AND a.into_key = $2::text"};
constexpr Query kPutMerge{"contacts_put_merge",
                          "INSERT INTO contact_merge (tenant_id, contact_key, into_key, action_id) "
                          "VALUES ($1::uuid, $2::text, $3::text, $4::uuid)"};

/// A conversation of one of the contacts.
struct OfContact {
  ConversationId conversation_id;
  std::int64_t followers = 0;  ///< Conversations that go on in it.
  std::string sender;
};
using BySender = std::map<SenderId, OfContact>;

/// What is known of both before they are one.
struct TwoContacts {
  std::string from;
  std::string into;
  std::map<std::string, std::string> merges;  ///< From whom to whom: theirs.
  BySender from_has;
  BySender into_has;
};

/// As records show a contact: an id that reads as a number is masked, too.
std::string ShownContact(const std::string& key) {
  constexpr std::size_t kLeastDigits = 7;  // As audit.masked_contact.
  const std::string id = key.substr(2);
  if (key.starts_with("n:")) return StrCat("number ", MaskedNumber(id));
  const std::string_view digits = std::string_view(id).substr(id.starts_with('+') ? 1 : 0);
  const bool is_number = digits.size() >= kLeastDigits &&
                         digits.find_first_not_of("0123456789") == std::string_view::npos;
  return StrCat("contact ", is_number ? MaskedNumber(id) : id);
}

TwoContacts ReadBoth(PgTransaction& transaction, TenantId tenant, const std::string& from,
                     const std::string& into) {
  TwoContacts both{.from = from, .into = into, .merges = {}, .from_has = {}, .into_has = {}};
  const auto keys = [&] {
    const std::vector<std::string> two = {both.from, both.into};
    PgParams params;
    params.Add(tenant.uuid);
    AddColumn(params, two, [](auto& to, const std::string& key) { AppendText(to, key); });
    return params;
  };
  const auto read_merges = [&] {
    const PgRows rows = transaction.Run(kMergesOf, keys());
    for (int row = 0; row < rows.size(); ++row) {
      both.merges[std::string(rows.Text(row, 0))] = rows.Text(row, 1);
    }
  };
  read_merges();
  if (const auto merged = both.merges.find(into); merged != both.merges.end()) {
    both.into = merged->second;
    read_merges();
  }
  const PgRows rows =
      transaction.Run(kConversationsOf, keys().Add(std::int64_t{kMostConversationsMerged} + 1));
  for (int row = 0; row < rows.size(); ++row) {
    BySender& has = rows.Text(row, 0) == both.from ? both.from_has : both.into_has;
    has[{rows.UuidAt(row, 1)}] = {
        {rows.UuidAt(row, 2)}, rows.Int(row, 3), std::string(rows.Text(row, 4))};
  }
  return both;
}

/// Whether they can be made one, or are; the conversations of `from`, and where they go on.
ContactMerge PlanMerge(const TwoContacts& both) {
  using Kind = ContactMerge::Kind;
  const auto end = [](Kind kind, const std::string& survivor) {
    return ContactMerge{.kind = kind, .survivor = survivor};
  };
  if (const auto before = both.merges.find(both.from); before != both.merges.end()) {
    const bool same = before->second == both.into;
    return end(same ? Kind::kMergedBefore : Kind::kIsMerged, before->second);
  }
  if (both.from == both.into) return end(Kind::kCycle, both.from);
  if (both.from_has.empty()) return end(Kind::kNoContact, both.from);
  if (both.into_has.empty()) return end(Kind::kNoContact, both.into);
  const auto become_one = std::count_if(
      both.merges.begin(), both.merges.end(),
      [&](const auto& merge) { return merge.second == both.from || merge.second == both.into; });
  ContactMerge merge{.survivor = both.into};
  bool fits = become_one < kMostMerged &&
              both.from_has.size() <= static_cast<std::size_t>(kMostConversationsMerged);
  for (const auto& [sender, from] : both.from_has) {
    const auto there = both.into_has.find(sender);
    const bool moves = there == both.into_has.end();
    fits = fits && (moves || from.followers + there->second.followers < kMostMerged);
    merge.conversations.push_back({sender, from.conversation_id,
                                   moves ? from.conversation_id : there->second.conversation_id});
  }
  return fits ? merge : end(Kind::kTooMany, both.into);
}

ShownChange ShownMerge(const TwoContacts& both, const ContactMerge& merge) {
  Metadata before;
  Metadata after = {{"survivor", ShownContact(merge.survivor)}};
  const auto show = [](Metadata& to, std::string_view whose, const BySender& has) {
    for (const auto& [sender, of] : has) {
      to.try_emplace(StrCat(whose, " conversation by ", of.sender), of.conversation_id.ToString());
    }
  };
  show(before, "from's", both.from_has);
  show(before, "into's", both.into_has);
  show(after, "their", both.into_has);
  show(after, "their", both.from_has);
  return {.before = JsonOf(before), .after = JsonOf(after)};
}

void WriteMerge(PgTransaction& transaction, TenantId tenant, const TwoContacts& both,
                const ContactMerge& merge, const OperatorAction& action) {
  std::vector<ContactMerge::Conversations> moved;
  std::vector<ContactMerge::Conversations> merged;
  for (const ContactMerge::Conversations& one : merge.conversations) {
    (one.from == one.into ? moved : merged).push_back(one);
  }
  if (!moved.empty()) {
    PgParams params;
    params.Add(tenant.uuid).Add(std::string_view(both.into));
    AddColumn(params, moved, [](auto& to, const auto& c) { AppendUuid(to, c.from.uuid); });
    transaction.Run(kMoveConversations, params);
  }
  if (!merged.empty()) {
    PgParams params;
    params.Add(tenant.uuid);
    AddColumn(params, merged, [](auto& to, const auto& c) { AppendUuid(to, c.from.uuid); });
    AddColumn(params, merged, [](auto& to, const auto& c) { AppendUuid(to, c.into.uuid); });
    transaction.Run(kMergeFollowers, params);
    transaction.Run(kMergeConversations, params);
  }
  PgParams keys;
  keys.Add(tenant.uuid).Add(std::string_view(both.from)).Add(std::string_view(both.into));
  transaction.Run(kLeadOn, keys);
  transaction.Run(kPutMerge, keys.Add(action.action_id));
  RecordAction(transaction, tenant, action, "MERGE_CONTACTS",
               StrCat(ShownContact(both.from), " into ", ShownContact(both.into)),
               ShownMerge(both, merge));
}

}  // namespace

absl::StatusOr<ContactMerge> PgStore::MergeContacts(TenantId tenant, const std::string& from,
                                                    const std::string& into,
                                                    const OperatorAction& action) {
  ContactMerge merge;
  PR_RETURN_IF_ERROR(pool_.Transact("merge_contacts", [&](PgTransaction& transaction) {
    transaction.RunOnce(kContactLockWait);
    transaction.RunOnce(kLockConversations);
    const TwoContacts both = ReadBoth(transaction, tenant, from, into);
    merge = PlanMerge(both);
    if (merge.kind == ContactMerge::Kind::kMerged) {
      WriteMerge(transaction, tenant, both, merge, action);
    }
    return absl::OkStatus();
  }));
  return merge;
}

std::vector<Query> ContactQueries() {
  return {kMergesOf,       kConversationsOf, kMoveConversations, kMergeConversations,
          kMergeFollowers, kLeadOn,          kPutMerge};
}

}  // namespace postrider
