#include "server/store/pg_store.h"

#include <utility>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

/// A restored backup can have ticks whose snapshots lie ahead of the database's transactions:
/// what they "show" did not happen here. Numbers go on from the last one, so that a token from
/// before the restore is found to be of another nonce, or gone.
constexpr const char* kDropTicksFromTheFuture = R"(
WITH last AS (SELECT t.tick_no, t.snap FROM tick t ORDER BY t.tick_no DESC LIMIT 1),
gone AS (DELETE FROM tick USING last
  WHERE pg_snapshot_xmax(last.snap) > pg_snapshot_xmax(pg_current_snapshot()) RETURNING 1)
INSERT INTO tick (tick_no, snap, nonce)
SELECT last.tick_no + 1, pg_current_snapshot(), gen_random_uuid() FROM last
WHERE EXISTS (SELECT FROM gone))";

PgPool::Options WithAdmission(PgPool::Options options, PgPool::Body admit) {
  options.admit = std::move(admit);
  return options;
}

}  // namespace

PgStore::PgStore(const Clock& clock, Random& random, Options options)
    : clock_(clock),
      random_(random),
      on_events_(std::move(options.on_events)),
      pool_(clock, random,
            WithAdmission(std::move(options.pool),
                          [this](PgTransaction& reads) { return seen_.Admit(reads); })),
      account_(pool_, clock, {}) {}

absl::Status PgStore::Prepare() {
  int dropped = 0;
  PR_RETURN_IF_ERROR(pool_.Transact("drop_ticks_from_the_future", [&](PgTransaction& transaction) {
    dropped = transaction.RunOnce(kDropTicksFromTheFuture).affected();
    return absl::OkStatus();
  }));
  if (dropped > 0) PR_LOG(kWarning, "the database was restored: resume tokens of before are void");
  return Maintain();
}

absl::Status PgStore::TransactWithEvents(std::string_view name, const PgPool::Body& body) {
  absl::Status status = pool_.Transact(name, body);
  // A commit in doubt may have written events too.
  if (status.ok() || absl::IsUnavailable(status)) on_events_();
  return status;
}

std::vector<Query> AllQueries() {
  std::vector<Query> all;
  for (const auto& queries :
       {MessageRowQueries(),   AttemptRowQueries(),  FenceQueries(),        DoubtQueries(),
        WindowQueries(),       QuietQueries(),       AcceptQueries(),       QuotaQueries(),
        MessageQueries(),      LeaseQueries(),       DispatchQueries(),     OutcomeQueries(),
        InboxQueries(),        InboxRowQueries(),    InboundQueries(),      DeadLetterQueries(),
        FactQueries(),         AccountQueries(),     BreakerQueries(),      EventQueries(),
        SeenCommitsQueries(),  TenantQueries(),      MaintenanceQueries(),  ControlQueries(),
        ControlReadQueries(),  DeadSendQueries(),    RetentionQueries(),    ForgetOldQueries(),
        ErasureQueries(),      ConsentQueries(),     ConversationQueries(), ContactQueries(),
        OptOutAnswerQueries(), SuppressionQueries(), AuditorQueries(),      SetupQueries(),
        RefusalQueries(),      ChainBeginQueries(),  ChainLinkQueries(),    ChainSealQueries(),
        ChainVerifyQueries(),  VerdictQueries(),     ContentQueries(),      QueueEndQueries(),
        OpenAttemptQueries(),  RestoreQueries()}) {
    all.insert(all.end(), queries.begin(), queries.end());
  }
  return all;
}

}  // namespace postrider
