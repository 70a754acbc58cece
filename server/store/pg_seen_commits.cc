#include "server/store/pg_seen_commits.h"

#include <vector>

#include "server/base/strings.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

// An older database lacks the tick, or has another by its number once it has come so far. An intent
// is missing where its message is there without the attempt: what retention has dropped is not.
constexpr Query kHasSeen{"has_seen", R"(
SELECT pg_is_in_recovery(), coalesce(max(t.tick_no) >= $1::bigint, false)
  AND NOT EXISTS (SELECT FROM tick o WHERE o.tick_no = $1::bigint AND o.nonce <> $2::uuid),
  NOT EXISTS (SELECT FROM unnest($3::uuid[], $4::uuid[], $5::integer[])
    AS r(tenant_id, message_id, attempt)
    WHERE EXISTS (SELECT FROM message m WHERE m.tenant_id = r.tenant_id
      AND m.message_id = r.message_id OFFSET 0)
    AND NOT EXISTS (SELECT FROM attempt a WHERE a.tenant_id = r.tenant_id
      AND a.message_id = r.message_id AND a.attempt = r.attempt OFFSET 0))
FROM tick t)"};

absl::Status Replaced() {
  return absl::UnavailableError(
      "it lacks what this gateway has seen committed, as a restored backup does, or a standby that "
      "lagged behind: stop every gateway, then see README.md, Backup");
}

}  // namespace

void SeenCommits::NoteTick(const Tick& tick) {
  MutexLock lock(mu_);
  if (tick.number > tick_.number) tick_ = tick;
}

void SeenCommits::NoteIntent(const MessageKey& key, int attempt) {
  MutexLock lock(mu_);
  intents_[next_++ % kIntentsSeen] = {key, attempt};
}

absl::Status SeenCommits::Admit(PgTransaction& reads) {
  Tick tick;
  std::vector<SeenIntent> intents;
  {
    MutexLock lock(mu_);
    if (replaced_) return Replaced();
    tick = tick_;
    for (const SeenIntent& intent : intents_) {
      if (intent.attempt > 0) intents.push_back(intent);
    }
  }
  if (tick.number == 0 && intents.empty()) return absl::OkStatus();
  PgParams params;
  params.Add(tick.number).Add(tick.nonce);
  AddKeys(params, intents);
  AddColumn(params, intents, [](auto& to, const SeenIntent& i) { StrAppend(to, i.attempt); });
  const PgRows rows = reads.Run(kHasSeen, params);
  const bool has_tick = tick.number == 0 || rows.Bool(0, 1);
  if (has_tick && rows.Bool(0, 2)) return absl::OkStatus();
  if (rows.Bool(0, 0)) {
    return absl::UnavailableError(
        "it is a standby that has not caught up: name the primary, or target_session_attrs, in "
        "--database-url");
  }
  MutexLock lock(mu_);
  replaced_ = replaced_ || !has_tick;
  return Replaced();
}

std::vector<Query> SeenCommitsQueries() { return {kHasSeen}; }

}  // namespace postrider
