#include "server/store/pg_seen_tick.h"

#include "server/base/strings.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// An older database lacks it, or has another by its number once it has come so far.
constexpr Query kHasTick{"has_tick",
                         "SELECT coalesce(max(t.tick_no) >= $1::bigint, false) AND NOT EXISTS "
                         "(SELECT FROM tick o WHERE o.tick_no = $1::bigint "
                         "AND o.nonce <> $2::uuid) FROM tick t"};

}  // namespace

void SeenTick::Note(const Tick& tick) {
  MutexLock lock(mu_);
  if (tick.number > newest_.number) newest_ = tick;
}

absl::Status SeenTick::Admit(PgTransaction& reads) {
  Tick seen;
  {
    MutexLock lock(mu_);
    seen = newest_;
  }
  if (seen.number == 0) return absl::OkStatus();
  const PgRows has = reads.Run(kHasTick, PgParams().Add(seen.number).Add(seen.nonce));
  if (has.Bool(0, 0)) return absl::OkStatus();
  return absl::UnavailableError(
      StrCat("it lacks what this gateway has seen of it (tick ", seen.number,
             "), as a restored backup does, or a standby that lagged behind: stop every gateway, "
             "then see README.md, Backup"));
}

std::vector<Query> SeenTickQueries() { return {kHasTick}; }

}  // namespace postrider
