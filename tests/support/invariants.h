#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "tests/support/sql.h"

/// What must hold after any fault, each as a checker that looks at the database and at what the
/// world outside saw, and gives one line a breach: no lines, it holds. The letters are those of
/// the project's list of invariants. They look at all tenants, and hold at any time unless a
/// comment says after what.
namespace postrider {

using Breaches = std::vector<std::string>;

/// A SendMessage that was answered OK, as the caller saw it.
struct AcknowledgedSend {
  std::string request_id;
  std::string message_id;
  std::string recipient;
  std::string sender;
  std::string text;
};

/// A POST as the sandbox's ledger has it. One of profile `platform` carries no metadata: its
/// message is the one of its sender and recipient, so each message of a test that looks at such
/// POSTs has a recipient of its own.
struct LedgerPost {
  std::string message_id;  ///< Empty without metadata.
  int attempt = 0;         ///< 0 without metadata.
  bool processed = false;
  std::string client_id;
  std::string sender;
  std::string recipient;
  WallTime at{};  ///< When it came.
};
/// The ledger's file; a last line that was cut short by a kill is left out.
std::vector<LedgerPost> ReadLedger(const std::string& file);
/// The same with the message_id of every POST whose message the database holds; of those without
/// metadata, as numbered by their order, the attempt too.
std::vector<LedgerPost> WithMessageIds(const Sql& sql, std::vector<LedgerPost> ledger);

/// A change as a stream told it. Ordered, so that sets of them compare.
struct StreamedChange {
  std::string message_id;
  int revision = 0;
  int state = 0;
  bool operator<(const StreamedChange& other) const;
};

/// S1: every acknowledged SendMessage exists with the same request.
Breaches AcknowledgedSendsExist(const Sql& sql, const std::vector<AcknowledgedSend>& sends);
/// S2: one message per (tenant, request_id), and the kept key names it.
Breaches OneMessagePerRequest(const Sql& sql, const std::vector<AcknowledgedSend>& sends);
/// S3: at most one attempt without a definite outcome per message under AT_MOST_ONCE, two under
/// AT_LEAST_ONCE.
Breaches IndefiniteAttemptsAreFew(const Sql& sql);
/// S4: under AT_MOST_ONCE at most one POST of a message was processed outside.
Breaches AtMostOnceIsProcessedOnce(const Sql& sql, const std::vector<LedgerPost>& ledger);
/// S6: no POST without a committed attempt row; without metadata: no more POSTs than such rows.
Breaches EveryPostWasIntended(const Sql& sql, const std::vector<LedgerPost>& ledger);
/// S8: every inbox row is applied, a duplicate, parked or a dead letter; and never two of them.
/// After the inbox has been worked off.
Breaches InboxIsAccountedFor(const Sql& sql);
/// S10: revisions count 1, 2, 3 ... up to the message's own, each begins where the last ended, the
/// rank never falls within an attempt, and `final` never goes back.
Breaches HistoriesAreWhole(const Sql& sql);
/// S11: a subscriber without filters, who resumed with its last token, got every event.
Breaches NothingWasMissed(const Sql& sql, const std::vector<StreamedChange>& streamed);
/// S12: nothing was streamed that the database does not hold.
Breaches NothingWasInvented(const Sql& sql, const std::vector<StreamedChange>& streamed);
/// S13: in no window of time T more POSTs than burst + rate x (T + 0.2 s + `hung`) and `in_flight`:
/// those that were on their way when a process was stopped, which nobody can hold back. `hung`: as
/// HangWatch has it; what left in good order meanwhile comes at once. Of one tenant.
Breaches RateWasKept(const std::vector<LedgerPost>& ledger, double rate_per_s, double burst,
                     std::int64_t in_flight, std::chrono::nanoseconds hung);
/// S16: the intents of one lease epoch are of one replica.
Breaches EpochsHaveOneReplica(const Sql& sql);
/// The queue holds the QUEUED messages and nothing else, and its depth is exact.
Breaches QueueIsExact(const Sql& sql);

/// Counts of sends (send_count) are those of the messages.
Breaches SendCountsAreExact(const Sql& sql);

/// All of the above, each line with the name of what it breaks.
Breaches CheckInvariants(const Sql& sql, const std::vector<LedgerPost>& ledger,
                         const std::vector<AcknowledgedSend>& sends,
                         const std::vector<StreamedChange>& streamed);

}  // namespace postrider
