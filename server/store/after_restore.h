#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/random.h"
#include "server/store/pg_session.h"

namespace postrider {

/// What a restored backup would have sent once more.
struct RestoredQueue {
  std::int64_t paused = 0;     ///< Tenants whose dispatch this paused.
  std::int64_t unknown = 0;    ///< Messages that this made UNKNOWN.
  std::int64_t scheduled = 0;  ///< Messages that stay QUEUED: their time is still to come.
};

/// Keeps a database that was restored from a backup from sending again what has left since the
/// backup was made: nobody knows what that is. First the dispatch of every tenant is paused, until
/// an operator resumes it: no intent begins from then on. Then every message that is QUEUED since
/// before becomes UNKNOWN, as those do that a replica leaves behind, with an attempt that says so,
/// of the nil replica: a receipt, the duplicate policy or an operator settles it. It is not looked
/// for at Genesys, for nobody knows when it left. What waits for its `not_before`, or for the end
/// of quiet hours, has not left, and waits on. An opt-out that was there before is not asked: its
/// message is UNKNOWN too, and marked `left_before_opt_out`.
///
/// kRestoredAtOnce messages are a transaction of `pool`, in the order of their keys. Until a tenant
/// is resumed it can be repeated: what was cut off goes on, what came since stays. Recorded in
/// operator_action, by the database user and with `reason`: each pause, and AFTER_RESTORE with how
/// many of the tenant's messages a transaction made UNKNOWN. Blocks. Errors are those of Store.
absl::StatusOr<RestoredQueue> SettleRestoredQueue(PgPool& pool, const Clock& clock, Random& random,
                                                  const std::string& reason);

}  // namespace postrider
