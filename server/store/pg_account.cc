#include "server/store/pg_account.h"

#include <algorithm>

#include "server/base/status_macros.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// No end is without its webhook, so where the counts are equal each has its own.
constexpr Query kStretches{"account_stretches", R"(
SELECT r.ord, w.upto, w.more,
  (SELECT count(*) FROM webhook_inbox i WHERE i.tenant_id = r.tenant_id
    AND i.inbox_id >= r.since AND i.inbox_id < w.upto),
  (SELECT count(*) FROM receipt_applied a WHERE a.tenant_id = r.tenant_id
    AND a.inbox_id >= r.since AND a.inbox_id < w.upto) +
  (SELECT count(*) FROM receipt_parked p WHERE p.tenant_id = r.tenant_id
    AND p.inbox_id >= r.since AND p.inbox_id < w.upto)
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r(tenant_id, since, ord), LATERAL (
  SELECT coalesce(l.inbox_id, $3::uuid) AS upto, l.inbox_id IS NOT NULL AS more
  FROM (SELECT) AS one LEFT JOIN LATERAL (
    SELECT i.inbox_id FROM webhook_inbox i
    WHERE i.tenant_id = r.tenant_id AND i.inbox_id >= r.since AND i.inbox_id < $3::uuid
    ORDER BY i.tenant_id, i.inbox_id OFFSET $4::bigint LIMIT 1) l ON true) w)"};

// OFFSET 0: one look-up by key a row, not a join with all that was applied.
#define PR_NO_END(webhook)                                                 \
  "NOT EXISTS (SELECT FROM receipt_applied a WHERE a.tenant_id = " webhook \
  ".tenant_id "                                                            \
  "AND a.inbox_id = " webhook                                              \
  ".inbox_id OFFSET 0) AND NOT EXISTS (SELECT FROM receipt_parked p "      \
  "WHERE p.tenant_id = " webhook ".tenant_id AND p.inbox_id = " webhook    \
  ".inbox_id OFFSET 0) "                                                   \
  "AND NOT EXISTS (SELECT FROM dead_letter d WHERE d.tenant_id = " webhook \
  ".tenant_id "                                                            \
  "AND d.dead_letter_id = " webhook ".inbox_id AND d.state <> 2 OFFSET 0)"

constexpr Query kWithoutEnd{
    "account_open",
    "SELECT r.ord, o.inbox_id FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS "
    "r(tenant_id, since, upto, ord), LATERAL (SELECT i.inbox_id FROM webhook_inbox i "
    "WHERE i.tenant_id = r.tenant_id AND i.inbox_id >= r.since AND i.inbox_id < r.upto "
    "AND " PR_NO_END("i") " ORDER BY i.tenant_id, i.inbox_id LIMIT $4::bigint) o "
    "ORDER BY 1, 2 LIMIT $4::bigint"};

constexpr Query kStillWithoutEnd{
    "account_still_open",
    "SELECT r.tenant_id, r.inbox_id FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, inbox_id) "
    "WHERE EXISTS (SELECT FROM webhook_inbox i WHERE i.tenant_id = r.tenant_id "
    "AND i.inbox_id = r.inbox_id OFFSET 0) AND " PR_NO_END("r")};

/// The one that follows in their order.
Uuid After(Uuid id) {
  for (auto byte = id.bytes.rbegin(); byte != id.bytes.rend(); ++byte) {
    if (++*byte != 0) break;
  }
  return id;
}

}  // namespace

absl::StatusOr<std::int64_t> InboxAccount::Count(std::span<const TenantId> tenants) {
  Follow(tenants);
  PR_RETURN_IF_ERROR(pool_.Read("account", [&](PgTransaction& transaction) {
    LookAgain(transaction);
    std::vector<TenantId> behind(tenants.begin(), tenants.end());
    std::int64_t left = options_.rows;
    while (!behind.empty() && left > 0 && open_.size() < options_.listed) {
      const auto share = left / static_cast<std::int64_t>(behind.size());
      const std::vector<Stretch> stretches =
          Look(transaction, behind, std::max(share, options_.least));
      behind.clear();
      for (const Stretch& stretch : stretches) {
        left -= stretch.webhooks;
        if (stretch.more) behind.push_back(stretch.tenant_id);
      }
      ListOpen(transaction, stretches);
    }
    return absl::OkStatus();
  }));
  return static_cast<std::int64_t>(open_.size());
}

void InboxAccount::Follow(std::span<const TenantId> tenants) {
  const Uuid oldest = LeastUuidV7(clock_.Wall() - kAccountUntil);
  std::map<TenantId, Uuid> since;
  for (const TenantId tenant : tenants) {
    const auto known = since_.find(tenant);
    since[tenant] = known == since_.end() ? oldest : std::max(known->second, oldest);
  }
  since_ = std::move(since);
  std::erase_if(open_, [&](const Webhook& webhook) {
    return webhook.second.uuid < oldest || !since_.contains(webhook.first);
  });
}

void InboxAccount::LookAgain(PgTransaction& transaction) {
  if (open_.empty()) return;
  const std::vector<Webhook> open(open_.begin(), open_.end());
  PgParams params;
  AddColumn(params, open, [](auto& to, const Webhook& w) { AppendUuid(to, w.first.uuid); });
  AddColumn(params, open, [](auto& to, const Webhook& w) { AppendUuid(to, w.second.uuid); });
  const PgRows rows = transaction.Run(kStillWithoutEnd, params);
  std::set<Webhook> still;
  for (int row = 0; row < rows.size(); ++row) {
    still.emplace(TenantId{rows.UuidAt(row, 0)}, InboxId{rows.UuidAt(row, 1)});
  }
  open_ = std::move(still);
}

std::vector<InboxAccount::Stretch> InboxAccount::Look(PgTransaction& transaction,
                                                      std::span<const TenantId> tenants,
                                                      std::int64_t most) {
  PgParams params;
  AddColumn(params, tenants, [](auto& to, const TenantId& t) { AppendUuid(to, t.uuid); });
  AddColumn(params, tenants, [this](auto& to, const TenantId& t) { AppendUuid(to, since_.at(t)); });
  params.Add(LeastUuidV7(clock_.Wall() - kAccountAfter)).Add(most);
  const PgRows rows = transaction.Run(kStretches, params);
  std::vector<Stretch> stretches;
  for (int row = 0; row < rows.size(); ++row) {
    const TenantId tenant = tenants[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    const Uuid since = since_.at(tenant);
    stretches.push_back({.tenant_id = tenant,
                         .since = since,
                         .upto = std::max(since, rows.UuidAt(row, 1)),
                         .webhooks = rows.Int(row, 3),
                         .differs = rows.Int(row, 3) != rows.Int(row, 4),
                         .more = rows.Bool(row, 2)});
  }
  return stretches;
}

void InboxAccount::ListOpen(PgTransaction& transaction, std::span<const Stretch> stretches) {
  std::vector<const Stretch*> differing;
  for (const Stretch& stretch : stretches) {
    if (stretch.differs) differing.push_back(&stretch);
  }
  const auto pass = [&] {
    for (const Stretch& stretch : stretches) since_[stretch.tenant_id] = stretch.upto;
  };
  if (differing.empty()) return pass();
  const int room = static_cast<int>(options_.listed - open_.size());
  PgParams params;
  AddColumn(params, differing, [](auto& to, auto* s) { AppendUuid(to, s->tenant_id.uuid); });
  AddColumn(params, differing, [](auto& to, auto* s) { AppendUuid(to, s->since); });
  AddColumn(params, differing, [](auto& to, auto* s) { AppendUuid(to, s->upto); });
  params.Add(std::int64_t{room});
  const PgRows rows = transaction.Run(kWithoutEnd, params);
  pass();  // not before: what could not be read is looked at again
  for (int row = 0; row < rows.size(); ++row) {
    const Stretch& of = *differing[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    open_.emplace(of.tenant_id, InboxId{rows.UuidAt(row, 1)});
  }
  if (rows.size() < room) return;
  // There was no room for what may follow: the next look begins behind the last one.
  const auto last = static_cast<std::size_t>(rows.Int(room - 1, 0) - 1);
  since_[differing[last]->tenant_id] = After(rows.UuidAt(room - 1, 1));
  for (std::size_t i = last + 1; i < differing.size(); ++i) {
    since_[differing[i]->tenant_id] = differing[i]->since;
  }
}

std::vector<Query> AccountQueries() { return {kStretches, kWithoutEnd, kStillWithoutEnd}; }

}  // namespace postrider
