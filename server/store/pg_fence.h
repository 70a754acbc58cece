#pragma once

#include <map>
#include <span>

#include "server/store/pg_session.h"
#include "server/store/store.h"

namespace postrider {

/// The leases of `wanted` that are still held, by slot. They stay so until the transaction ends: a
/// new owner waits for it. What a replica does for a slot that is not among them changes nothing.
std::map<int, Lease> HoldLeases(PgTransaction& transaction, ReplicaId replica,
                                std::span<const Lease> wanted);

}  // namespace postrider
