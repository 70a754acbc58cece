#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

#include "server/store/operator_action.h"
#include "server/store/pg_session.h"

namespace postrider {

/// A hash chain that has just begun.
struct BegunChain {
  int chain_no = 0;
  std::int64_t links = 0;  ///< Over where it begins: one for each tenant that had a chain.
};

/// Begins a new hash chain for all tenants, each over the last link that it has (audit_chain.h):
/// where the old one cannot go on, as in a database that was made from a dump, or after its
/// position was lost. It hides nothing: the old links stay and are verified as before, and where
/// and why the new one begins is in a link of each tenant's, and on record as BEGIN_CHAIN. What was
/// recorded before is put into the new chain by the sealer, in parts.
///
/// One transaction of `pool`, whose database user must own the tables that the chain is over. It
/// waits kDropLockWait for what others have open on them, kBeginTries times. Blocks. `action`: its
/// actor is not read, the database user is put on record. Errors are those of Store, and
///   FAILED_PRECONDITION  the database user is not the owner, or a chain cannot follow the last one
///   UNAVAILABLE          somebody reads or writes what is on record all the time
absl::StatusOr<BegunChain> BeginChain(PgPool& pool, const OperatorAction& action);

}  // namespace postrider
