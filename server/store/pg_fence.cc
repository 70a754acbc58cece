#include "server/store/pg_fence.h"

#include "server/base/strings.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// FOR KEY SHARE: a take-over, which changes the key (slot, epoch), waits for this transaction;
// an owner's own renewal, which does not, is not held up.
constexpr Query kHoldLeases{"hold_leases",
                            "SELECT l.slot, l.epoch FROM unnest($2::smallint[], $3::bigint[]) AS "
                            "r(slot, epoch) JOIN slot_lease l ON l.slot = r.slot "
                            "AND l.epoch = r.epoch WHERE l.owner = $1::uuid FOR KEY SHARE OF l"};

}  // namespace

std::map<int, Lease> HoldLeases(PgTransaction& transaction, ReplicaId replica,
                                std::span<const Lease> wanted) {
  PgParams params;
  params.Add(replica.uuid);
  AddColumn(params, wanted, [](auto& to, const Lease& l) { StrAppend(to, l.slot); });
  AddColumn(params, wanted, [](auto& to, const Lease& l) { StrAppend(to, l.epoch); });
  const PgRows rows = transaction.Run(kHoldLeases, params);
  std::map<int, Lease> held;
  for (int row = 0; row < rows.size(); ++row) {
    const int slot = static_cast<int>(rows.Int(row, 0));
    held[slot] = {slot, rows.Int(row, 1)};
  }
  return held;
}

std::vector<Query> FenceQueries() { return {kHoldLeases}; }

}  // namespace postrider
