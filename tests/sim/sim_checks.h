#pragma once

#include <set>
#include <string>
#include <vector>

#include "server/store/store.h"
#include "tests/sim/sim_genesys.h"
#include "tests/support/fake_store.h"
#include "tests/support/invariants.h"

namespace postrider {

/// The checkers of what records and the ledger show, one line a breach.
/// S7 and S10: how a message changed, from the revision after the first `from` on.
Breaches CheckHistory(const MessageRecord& record, std::size_t from);
/// S3: attempts that nobody knows the end of.
Breaches CheckAttempts(const MessageRecord& record);
/// S4 and S5: a message went out once, and once more for each time that it was sent again, on
/// record.
Breaches CheckLedger(const std::vector<MessageRecord>& records,
                     const std::vector<SimGenesys::Post>& ledger);
/// P3: an operator who names no message causes no second delivery, and no replay of what may have
/// arrived.
Breaches CheckUnnamed(const std::vector<MessageRecord>& records,
                      const std::vector<SimGenesys::Post>& ledger,
                      const std::set<MessageId>& named);
/// What failed is a dead letter, and no other message is one.
Breaches CheckLetters(const std::vector<MessageRecord>& records,
                      const std::vector<DeadLetter>& letters);
/// S9: what went out is DELIVERED or FAILED as its receipts say, in whatever order and number they
/// came; or in doubt, when a later attempt of it is; or a replay of it ended before it left. What
/// has no final receipt only went out.
Breaches CheckEnds(const std::vector<MessageRecord>& records,
                   const std::vector<SimGenesys::Post>& ledger);
/// S13: in any window no more than burst + rate x (window + 0.2 s).
Breaches CheckRate(const SimGenesys::Requests& requests, double rate_per_s, double burst);
/// S2 and S17: one message a request, one conversation for each contact and sender of a tenant.
Breaches CheckIdentities(const std::vector<MessageRecord>& records);

/// What no intent may begin for: an operator's pause, or an opt-out.
struct Ban {
  PauseTarget of;         ///< An opt-out: of the tenant ...
  std::string recipient;  ///< ... and this number; empty for a pause.
  std::size_t from = 0;   ///< In changes of the store: after its commit.
  std::size_t to = 0;     ///< The same: when it was about to be ended.
  WallTime until{};       ///< Ends by itself then; epoch: it does not.
};
/// A text that opted out by a keyword.
struct KeywordOptOut {
  TenantId tenant_id;
  std::string recipient;
  std::string request_id;  ///< Of its answer.
  int least = 0;           ///< So many answers; 1: the recipient had not opted out before ...
  int most = 1;            ///< ... and with 0 had.
};
/// S7: of messages that opt-outs do not stop there is one for each that was new, and none else.
Breaches CheckAnswers(const std::vector<MessageRecord>& records,
                      const std::vector<KeywordOptOut>& opt_outs);
/// S7: intents among `events`, the changes after the first `from`, in spite of a ban.
Breaches CheckBans(const std::vector<Ban>& bans, const std::vector<StatusEvent>& events,
                   std::size_t from, const FakeStore& store);

}  // namespace postrider
