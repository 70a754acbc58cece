#include "server/store/pg_quotas.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "server/model/campaign_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// Shared: counted beside each other. Alone: after all of those, and none beside. Locks are shared
// by many, as those of consent_lock_recipients and for the same reasons.
constexpr Query kLockQuotas{"lock_quotas", R"(
SELECT CASE WHEN k.alone THEN pg_advisory_xact_lock(k.key)
  ELSE pg_advisory_xact_lock_shared(k.key) END
FROM (SELECT hashtextextended('quota', 0) + (hashtextextended(r.tenant_id::text
      || r.subject::text, 0) & 1023) AS key, bool_or(r.alone) AS alone
  FROM unnest($1::uuid[], $2::bytea[], $3::boolean[]) AS r(tenant_id, subject, alone)
  GROUP BY 1 ORDER BY 1) k)"};

// A statement of its own: it sees what others committed before the lock was had.
constexpr Query kReadQuotas{"read_quotas", R"(
SELECT r.tenant_id, r.subject, (SELECT coalesce(sum(u.used), 0)::bigint FROM quota_used u
  WHERE u.tenant_id = r.tenant_id AND u.day = (now() AT TIME ZONE 'UTC')::date
  AND u.subject = r.subject)
FROM unnest($1::uuid[], $2::bytea[]) AS r(tenant_id, subject))"};

constexpr Query kCountQuotas{"count_quotas", R"(
INSERT INTO quota_used AS u (tenant_id, day, subject, writer, used)
SELECT r.tenant_id, (now() AT TIME ZONE 'UTC')::date, r.subject, $4::smallint, r.accepted
FROM unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS r(tenant_id, subject, accepted)
ORDER BY 1, 3 ON CONFLICT (tenant_id, day, subject, writer)
DO UPDATE SET used = u.used + excluded.used)"};

constexpr Query kAcceptedBefore{
    "quota_accepted_before",
    "SELECT r.ord FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS r(tenant_id, request_id, "
    "ord) WHERE EXISTS (SELECT FROM request_key k WHERE k.tenant_id = r.tenant_id "
    "AND k.request_id = r.request_id OFFSET 0)"};

using Key = QuotaUse::key_type;

Key TenantKey(const NewMessage& message) { return {message.request.tenant_id, {}}; }
Key TokenKey(const NewMessage& message) {
  return {message.request.tenant_id, message.bounds.token_sha256};
}
Key CapKey(const NewMessage& message, const DailyCap& cap) {
  return {message.request.tenant_id, cap.key};
}

bool SameCaps(const AcceptBounds& a, const AcceptBounds& b) {
  return std::equal(
      a.caps.begin(), a.caps.end(), b.caps.begin(), b.caps.end(),
      [](const DailyCap& x, const DailyCap& y) { return x.key == y.key && x.most == y.most; });
}

/// Whether a cap could be reached within `batch`.
bool NearACap(const QuotaUse& use, std::span<const NewMessage> batch) {
  const auto within = static_cast<std::int64_t>(batch.size());
  for (const NewMessage& message : batch) {
    for (const DailyCap& cap : message.bounds.caps) {
      if (use.at(CapKey(message, cap)) + within > cap.most) return true;
    }
  }
  return false;
}

/// Rows of requests that were accepted before: they take no place. Asked only when it matters.
std::set<std::size_t> RepeatsNearACap(PgTransaction& transaction, const QuotaUse& use,
                                      std::span<const NewMessage> batch) {
  std::set<std::size_t> repeats;
  if (use.empty() || !NearACap(use, batch)) return repeats;
  PgParams params;
  AddColumn(params, batch,
            [](auto& to, const auto& m) { AppendUuid(to, m.request.tenant_id.uuid); });
  AddColumn(params, batch, [](auto& to, const auto& m) { AppendText(to, m.request.request_id); });
  const PgRows rows = transaction.Run(kAcceptedBefore, params);
  for (int row = 0; row < rows.size(); ++row) {
    repeats.insert(static_cast<std::size_t>(rows.Int(row, 0) - 1));
  }
  return repeats;
}

/// Each counter's bound; of several that were asked for the least.
QuotaUse BoundsOf(std::span<const NewMessage> batch) {
  QuotaUse most;
  const auto add = [&](const Key& key, std::int64_t bound) {
    const auto [found, is_new] = most.try_emplace(key, bound);
    if (!is_new) found->second = std::min(found->second, bound);
  };
  for (const NewMessage& message : batch) {
    const AcceptBounds& bounds = message.bounds;
    if (bounds.tenant_quota) add(TenantKey(message), *bounds.tenant_quota);
    if (bounds.token_quota) add(TokenKey(message), *bounds.token_quota);
    for (const DailyCap& cap : bounds.caps) add(CapKey(message, cap), cap.most);
  }
  return most;
}

PgParams KeyParams(const QuotaUse& rows) {
  std::vector<Key> keys;
  for (const auto& [key, number] : rows) keys.push_back(key);
  PgParams params;
  AddColumn(params, keys, [](auto& to, const Key& key) { AppendUuid(to, key.first.uuid); });
  AddColumn(params, keys, [](auto& to, const Key& key) { AppendBytes(to, key.second); });
  return params;
}

}  // namespace

std::optional<QuotaUse> LockQuotas(PgTransaction& transaction, std::span<const NewMessage> batch,
                                   NearQuotas& near) {
  const QuotaUse most = BoundsOf(batch);
  if (most.empty()) return QuotaUse();
  for (const auto& [key, bound] : most) {
    if (bound < kFarFromQuota) near.insert(key);
  }
  PgParams locks = KeyParams(most);
  std::vector<bool> alone;
  for (const auto& [key, bound] : most) alone.push_back(near.contains(key));
  AddColumn(locks, alone, [](auto& to, bool one) { to += one ? "true" : "false"; });
  transaction.Run(kLockQuotas, locks);
  QuotaUse use;
  bool too_near = false;
  const PgRows rows = transaction.Run(kReadQuotas, KeyParams(most));
  for (int row = 0; row < rows.size(); ++row) {
    const Key key{{rows.UuidAt(row, 0)}, rows.Bytes(row, 1)};
    use[key] = rows.Int(row, 2);
    if (use[key] + kFarFromQuota > most.at(key)) too_near |= near.insert(key).second;
  }
  if (too_near) return std::nullopt;
  return use;
}

std::vector<QuotaRoom> RoomsOf(PgTransaction& transaction, const QuotaUse& use,
                               std::span<const NewMessage> batch) {
  std::vector<QuotaRoom> rooms(use.empty() ? 0 : batch.size());
  QuotaUse with_batch = use;  // Of caps: with those of the batch that come before.
  const std::set<std::size_t> repeats = RepeatsNearACap(transaction, use, batch);
  std::map<std::pair<TenantId, std::string_view>, std::size_t> first_of;
  for (std::size_t i = 0; i < rooms.size(); ++i) {
    const AcceptBounds& bounds = batch[i].bounds;
    if (bounds.tenant_quota) rooms[i].tenant = *bounds.tenant_quota - use.at(TenantKey(batch[i]));
    if (bounds.token_quota) rooms[i].token = *bounds.token_quota - use.at(TokenKey(batch[i]));
    if (bounds.caps.empty() || repeats.contains(i)) continue;
    // One that is the same again takes no second place. What differs is counted for itself: which
    // of them is the first is for the statement to say.
    const MessageRequest& request = batch[i].request;
    const auto [first, is_first] = first_of.try_emplace({request.tenant_id, request.request_id}, i);
    if (!is_first && SameCaps(batch[first->second].bounds, bounds)) {
      rooms[i].cap_reached = rooms[first->second].cap_reached;
      continue;
    }
    for (std::size_t c = 0; c < bounds.caps.size() && !rooms[i].cap_reached; ++c) {
      const bool full = with_batch.at(CapKey(batch[i], bounds.caps[c])) >= bounds.caps[c].most;
      if (full) rooms[i].cap_reached = c;
    }
    if (rooms[i].cap_reached) continue;
    for (const DailyCap& cap : bounds.caps) ++with_batch.at(CapKey(batch[i], cap));
  }
  return rooms;
}

void CountQuotas(PgTransaction& transaction, const QuotaUse& use, std::span<const NewMessage> batch,
                 std::span<Acceptance> verdicts) {
  if (use.empty()) return;
  QuotaUse accepted;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (verdicts[i].kind != Acceptance::Kind::kNew) continue;
    if (batch[i].bounds.tenant_quota) ++accepted[TenantKey(batch[i])];
    if (batch[i].bounds.token_quota) ++accepted[TokenKey(batch[i])];
    for (const DailyCap& cap : batch[i].bounds.caps) ++accepted[CapKey(batch[i], cap)];
  }
  const auto used_now = [&](const Key& key) {
    const auto found = accepted.find(key);
    return use.at(key) + (found == accepted.end() ? 0 : found->second);
  };
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (verdicts[i].kind == Acceptance::Kind::kTenantQuotaExceeded) {
      verdicts[i].count = used_now(TenantKey(batch[i]));
    } else if (verdicts[i].kind == Acceptance::Kind::kTokenQuotaExceeded) {
      verdicts[i].count = used_now(TokenKey(batch[i]));
    } else if (verdicts[i].kind == Acceptance::Kind::kCapReached) {
      verdicts[i].count = used_now(CapKey(batch[i], batch[i].bounds.caps[verdicts[i].cap]));
    }
  }
  if (accepted.empty()) return;
  PgParams params = KeyParams(accepted);
  std::vector<std::int64_t> counts;
  for (const auto& [key, count] : accepted) counts.push_back(count);
  AddColumn(params, counts, [](auto& to, std::int64_t count) { to += std::to_string(count); });
  params.Add(std::int64_t{transaction.session()});
  transaction.Run(kCountQuotas, params);
}

std::vector<Query> QuotaQueries() {
  return {kLockQuotas, kReadQuotas, kCountQuotas, kAcceptedBefore};
}

}  // namespace postrider
