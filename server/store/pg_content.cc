#include "server/store/pg_content.h"

#include <algorithm>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/campaign_limits.h"
#include "server/model/content_limits.h"
#include "server/policy/content_cluster.h"
#include "server/policy/content_fingerprint.h"
#include "server/policy/plain_punctuation.h"
#include "server/store/pg_pauses.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

// What carriers reject for its content.
namespace postrider {

namespace {

// One that was replayed and is rejected again is judged again.
constexpr Query kKeep{"content_keep_rejections", R"(
INSERT INTO content_rejection (tenant_id, message_id, slot, campaign_id, failure, provider_code)
SELECT m.tenant_id, m.message_id, m.slot, m.campaign_id, r.failure, r.provider_code
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[])
  AS r(tenant_id, message_id, failure, provider_code)
JOIN message m ON m.tenant_id = r.tenant_id AND m.message_id = r.message_id
ORDER BY m.tenant_id, m.message_id
ON CONFLICT (tenant_id, message_id) DO UPDATE SET failure = excluded.failure,
  provider_code = excluded.provider_code, rejected_at = excluded.rejected_at, judged_at = NULL,
  cluster_id = NULL)"};

// Of the campaign whose rejection has waited longest, those that wait among the first of its slot.
constexpr Query kNext{"content_next", R"(
WITH c AS MATERIALIZED (
  SELECT c.* FROM unnest($1::smallint[]) AS s(slot), LATERAL (
    SELECT r.tenant_id, r.campaign_id, r.message_id, r.rejected_at FROM content_rejection r
    WHERE r.slot >= s.slot AND r.slot <= s.slot AND r.judged_at IS NULL
    ORDER BY r.slot, r.rejected_at LIMIT $2::integer) c),
f AS (
  SELECT c.tenant_id, c.campaign_id FROM c
  ORDER BY c.rejected_at, c.tenant_id, c.campaign_id LIMIT 1)
SELECT c.tenant_id, c.campaign_id, c.message_id, )" PR_US("now()") R"( FROM c, f
WHERE c.tenant_id = f.tenant_id AND c.campaign_id = f.campaign_id
ORDER BY c.tenant_id, c.message_id)"};

constexpr Query kLast{"content_last_cluster",
                      "SELECT " PR_US("c.found_at") " FROM content_cluster c "
                      "WHERE c.tenant_id = $1::uuid AND c.campaign_id = $2::text "
                      "ORDER BY c.found_at DESC LIMIT 1"};

// Messages of a campaign leave about in the order of their ids, so those before the latest one that
// was rejected have mostly been answered, too; those after it, as a rule, wait in the queue.
#define PR_ANSWERED(messages) \
  "WITH n AS MATERIALIZED (SELECT r.message_id FROM (SELECT r.message_id FROM content_rejection " \
  "r WHERE r.tenant_id = $1::uuid AND r.campaign_id = $2::text AND r.rejected_at > now() - "      \
  "$3::bigint * interval '1 second' ORDER BY r.rejected_at DESC LIMIT $4::integer) r "            \
  "ORDER BY r.message_id DESC LIMIT 1) "                                                          \
  "SELECT m.message_id, m.body, m.failure IN (3, 7) AND m.state = $6::smallint, " PR_US(          \
      "a.intended_at") ", " PR_US("m.updated_at") " FROM n, LATERAL (SELECT m.tenant_id, "        \
                                                  "m.message_id, m.campaign_id, m.body, "         \
                                                  "m.state, m.failure, m.attempt, m.updated_at "  \
                                                  "FROM message m WHERE " messages                \
                                                  " AND m.message_id <= n.message_id "            \
                                                  "ORDER BY m.message_id DESC "                   \
                                                  "LIMIT $4::integer) m, "                        \
  "LATERAL (SELECT a.intended_at FROM attempt a WHERE a.tenant_id = m.tenant_id "                 \
  "AND a.message_id = m.message_id AND a.attempt = m.attempt OFFSET 0) a "                        \
  "WHERE m.campaign_id = $2::text AND m.state IN ($6::smallint, $7::smallint) AND m.body <> '' "  \
  "ORDER BY m.message_id DESC LIMIT $5::integer"
constexpr Query kAnswered{
    "content_answered",
    PR_ANSWERED("m.tenant_id = $1::uuid AND m.campaign_id = $2::text AND m.campaign_id <> ''")};
constexpr Query kAnsweredOfNone{"content_answered_of_none", PR_ANSWERED("m.tenant_id = $1::uuid")};

// Those that it names; when it names none, those that its messages may be sent by.
constexpr Query kTemplatesOf{"content_templates", R"(
SELECT p.body FROM template p LEFT JOIN campaign c
  ON c.tenant_id = p.tenant_id AND c.campaign_id = $2::text
WHERE p.tenant_id = $1::uuid
  AND (c.templates IS NULL OR c.templates = '{}' OR p.name = ANY(c.templates))
ORDER BY p.name LIMIT $3::integer)"};

// Found as dead_sends_settle finds its rows; coalesce: not by the index of all that wait.
#define PR_REJECTIONS                                                             \
  "r.ctid = ANY(ARRAY(SELECT k.ctid FROM unnest($1::uuid[], $2::uuid[]) "         \
  "AS w(tenant_id, message_id), LATERAL (SELECT k.ctid FROM content_rejection k " \
  "WHERE k.tenant_id = w.tenant_id AND k.message_id >= w.message_id "             \
  "AND k.message_id <= w.message_id ORDER BY k.message_id LIMIT 1) k))"
constexpr Query kMark{"content_mark_judged",
                      "UPDATE content_rejection r SET judged_at = now() WHERE " PR_REJECTIONS
                      " AND coalesce(r.judged_at, 'epoch') = 'epoch'"};
constexpr Query kMarkCluster{"content_mark_cluster",
                             "UPDATE content_rejection r SET cluster_id = $3::uuid "
                             "WHERE " PR_REJECTIONS};

// The clock, not the beginning: intents that went before the pause count to what was sent before.
constexpr Query kPutCluster{
    "content_put_cluster",
    "INSERT INTO content_cluster (tenant_id, cluster_id, campaign_id, rejections, answered, "
    "paused, found_at) VALUES ($1::uuid, $2::uuid, $3::text, $4::integer, $5::integer, "
    "$6::boolean, "
    "clock_timestamp())"};

constexpr Query kVoidVerdicts{"content_void_verdicts",
                              "UPDATE campaign c SET verdict_epoch = c.verdict_epoch + 1 "
                              "WHERE c.tenant_id = $1::uuid AND c.campaign_id = $2::text"};
constexpr Query kVoidUnregistered{"content_void_unregistered",
                                  "UPDATE tenant t SET verdict_epoch = t.verdict_epoch + 1 "
                                  "WHERE t.tenant_id = $1::uuid"};

PgParams CampaignKey(const ContentLook& look) {
  PgParams params;
  params.Add(look.tenant_id.uuid).Add(look.campaign_id);
  return params;
}

std::vector<MessageTemplate> TemplatesOf(PgTransaction& transaction, const ContentLook& look) {
  std::vector<MessageTemplate> templates;
  PgParams params = CampaignKey(look);
  params.Add(static_cast<std::int64_t>(kMaxTemplatesOfCampaign));
  const PgRows rows = transaction.Run(kTemplatesOf, params);
  for (int row = 0; row < rows.size(); ++row) {
    templates.push_back({.name = "", .text = WithPlainPunctuation(rows.Text(row, 0))});
  }
  return templates;
}

/// The cluster among what the campaign's messages were answered until now.
std::optional<ContentCluster> ClusterOf(PgTransaction& transaction, const ContentLook& look,
                                        WallTime now) {
  const PgRows last = transaction.Run(kLast, CampaignKey(look));
  const WallTime since = last.size() == 0 ? WallTime{} : last.Time(0, 0);
  PgParams params = CampaignKey(look);
  params.Add(std::int64_t{kClusterWindow / std::chrono::seconds(1)});
  params.Add(std::int64_t{kClusterLooked}).Add(std::int64_t{kClusterAnswers});
  params.Add(static_cast<std::int64_t>(MessageState::kFailed));
  params.Add(static_cast<std::int64_t>(MessageState::kDelivered));
  const PgRows rows =
      transaction.Run(look.campaign_id.empty() ? kAnsweredOfNone : kAnswered, params);
  const std::vector<MessageTemplate> templates = TemplatesOf(transaction, look);
  std::vector<AnsweredMessage> answered;
  for (int row = 0; row < rows.size(); ++row) {
    answered.push_back(
        {.message_id = {rows.UuidAt(row, 0)},
         .content_key = ContentKeyOf(WithPlainPunctuation(rows.Text(row, 1)), templates),
         .rejected = rows.Bool(row, 2),
         .sent_at = rows.Time(row, 3),
         .answered_at = rows.Time(row, 4)});
  }
  return FindCluster(answered, since, now);
}

/// Returns how many were not marked before.
int Mark(PgTransaction& transaction, const Query& query, TenantId tenant,
         std::vector<MessageId> messages, std::optional<Uuid> cluster = std::nullopt) {
  std::sort(messages.begin(), messages.end());
  messages.erase(std::unique(messages.begin(), messages.end()), messages.end());
  PgParams params;
  AddColumn(params, messages, [&](auto& to, MessageId) { AppendUuid(to, tenant.uuid); });
  AddColumn(params, messages, [](auto& to, MessageId id) { AppendUuid(to, id.uuid); });
  if (cluster) params.Add(*cluster);
  return transaction.Run(query, params).affected();
}

/// What follows from a cluster, under the lock of the slot's lease.
void EndCampaign(PgTransaction& transaction, const ContentCluster& cluster,
                 const OperatorAction& action, ContentLook& look) {
  look.is_cluster = true;
  look.rejected = static_cast<int>(cluster.rejected.size());
  look.answered = cluster.answered;
  if (!look.campaign_id.empty()) {
    const bool registered = transaction.Run(kVoidVerdicts, CampaignKey(look)).affected() > 0;
    if (!registered) transaction.Run(kVoidUnregistered, PgParams().Add(look.tenant_id.uuid));
    const PauseTarget of{look.tenant_id, PauseScope::kCampaign, look.campaign_id};
    look.paused = !HasEndlessPause(transaction, of);
    if (look.paused) {
      PutPause(transaction, of, WallTime{}, action);
    } else {
      RecordAction(transaction, look.tenant_id, action, "VOID_VERDICTS",
                   StrCat("campaign ", look.campaign_id));
    }
  }
  PgParams put;
  put.Add(look.tenant_id.uuid).Add(action.action_id).Add(look.campaign_id);
  put.Add(std::int64_t{look.rejected}).Add(std::int64_t{look.answered});
  put.Add(look.paused ? "true" : "false");
  transaction.Run(kPutCluster, put);
}

}  // namespace

void KeepContentRejections(PgTransaction& transaction, std::span<const MessageChange> changes) {
  std::vector<const MessageChange*> rejected;
  for (const MessageChange& change : changes) {
    const bool before = IsRejectedForContent(change.before.state, change.before.failure);
    if (change.visible && !before && IsRejectedForContent(change.after.state, change.after.failure))
      rejected.push_back(&change);
  }
  if (rejected.empty()) return;
  PgParams params;
  AddColumn(params, rejected, [](auto& to, auto* c) { AppendUuid(to, c->key.tenant_id.uuid); });
  AddColumn(params, rejected, [](auto& to, auto* c) { AppendUuid(to, c->key.message_id.uuid); });
  AddColumn(params, rejected,
            [](auto& to, auto* c) { StrAppend(to, static_cast<int>(c->after.failure)); });
  AddColumn(params, rejected, [](auto& to, auto* c) { AppendText(to, c->after.provider_code); });
  transaction.Run(kKeep, params);
}

absl::StatusOr<std::optional<ContentLook>> PgStore::JudgeContent(std::span<const int> slots) {
  std::optional<ContentLook> look;
  PgParams params;
  AddColumn(params, slots, [](auto& to, int slot) { StrAppend(to, slot); });
  params.Add(std::int64_t{kRejectionsAtOnce});
  PR_RETURN_IF_ERROR(pool_.Transact("judge_content", [&](PgTransaction& transaction) {
    look.reset();
    const PgRows next = transaction.Run(kNext, params);
    if (next.size() == 0) return absl::OkStatus();
    look =
        ContentLook{.tenant_id = {next.UuidAt(0, 0)}, .campaign_id = std::string(next.Text(0, 1))};
    std::vector<MessageId> waited;
    for (int row = 0; row < next.size(); ++row) waited.push_back({next.UuidAt(row, 2)});
    const WallTime now = next.Time(0, 3);
    std::optional<ContentCluster> cluster = ClusterOf(transaction, *look, now);
    if (cluster) {
      // Another replica may have found it meanwhile: it held this lock until its commit.
      HoldSlot(transaction, look->tenant_id);
      cluster = ClusterOf(transaction, *look, now);
    }
    if (cluster) waited.insert(waited.end(), cluster->rejected.begin(), cluster->rejected.end());
    look->rejections = Mark(transaction, kMark, look->tenant_id, std::move(waited));
    if (cluster) {
      const OperatorAction action{.action_id = MakeUuidV7(clock_.Wall(), random_),
                                  .actor = std::string(kOwnActor),
                                  .reason = PauseReasonOf(*cluster)};
      EndCampaign(transaction, *cluster, action, *look);
      Mark(transaction, kMarkCluster, look->tenant_id, cluster->rejected, action.action_id);
    }
    return absl::OkStatus();
  }));
  return look;
}

std::vector<Query> ContentQueries() {
  return {kKeep, kNext,        kLast,       kAnswered,     kAnsweredOfNone,  kTemplatesOf,
          kMark, kMarkCluster, kPutCluster, kVoidVerdicts, kVoidUnregistered};
}

}  // namespace postrider
