#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "server/model/message.h"
#include "server/store/pg_session.h"
#include "server/store/store.h"

namespace postrider {

// Daily quotas of tenants and tokens, and caps of campaigns and destinations, counted within the
// transaction that accepts. Only rows with one cost anything: a batch without any makes no
// statement here.

/// What was used today, by tenant and subject: a token, a cap's key; empty: all of the tenant's.
using QuotaUse = std::map<std::pair<TenantId, std::string>, std::int64_t>;

/// How many more messages of a row's tenant and token may be accepted; none: no quota. And which of
/// its caps is reached, counting the rows before it.
struct QuotaRoom {
  std::optional<std::int64_t> tenant;
  std::optional<std::int64_t> token;
  std::optional<std::size_t> cap_reached;
};

/// Counters so near to their bound that nothing may be counted beside.
using NearQuotas = std::set<QuotaUse::key_type>;

/// Locks the counters of `batch`'s quotas until the transaction ends, in the order of their keys,
/// and reads them. The day is that of the transaction, UTC. Those in `near` are locked alone, the
/// others beside other transactions. Nothing when one of the others proved too near: it is in
/// `near` now, and the transaction is to be begun anew, since a lock cannot be made stronger
/// without two waiting for each other.
std::optional<QuotaUse> LockQuotas(PgTransaction& transaction, std::span<const NewMessage> batch,
                                   NearQuotas& near);
/// By row; empty when `use` is.
std::vector<QuotaRoom> RoomsOf(PgTransaction& transaction, const QuotaUse& use,
                               std::span<const NewMessage> batch);
/// Counts what was accepted, and tells verdicts that a quota refused how much of it is used.
void CountQuotas(PgTransaction& transaction, const QuotaUse& use, std::span<const NewMessage> batch,
                 std::span<Acceptance> verdicts);

}  // namespace postrider
