#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/model/chain_limits.h"
#include "server/store/pg_session.h"

namespace postrider {

// A hash chain over what is on record: changes of messages, consent events and operators' actions,
// a chain for each tenant. It is made beside traffic, from tick to tick, so that nothing of it
// stands in the way of a message; what is kept, and how a row becomes a hash, is in
// migrations/0012_chain.sql and 0018_chain_restart.sql, whose views make links and check them by
// the same statement. Where it cannot go on, an operator begins a new one (chain_begin.h).

/// What one step of the sealer did.
struct SealedRows {
  bool at_it = true;  ///< False: another replica is at it, and nothing was done.
  std::int64_t rows = 0;
  std::int64_t links = 0;
  bool more = false;           ///< There is more to go on with.
  std::int64_t held_back = 0;  ///< Transactions since the oldest that the last tick saw open.
};

/// Seals what ticks show and no link has; then, in parts, what was there when the chain began. One
/// at a time over all replicas, by a row's lock; what one leaves the next one takes up. A commit
/// that comes late is sealed by the tick that shows it: one that is open for long holds nothing up.
class ChainSealer {
 public:
  /// All must outlive it; `pool` needs one session.
  ChainSealer(PgPool& pool, const Clock& clock, Metrics& metrics);

  void Start();
  /// Waits for the running step to end. Repeating it does nothing.
  void Stop() { worker_.reset(); }

  /// Two transactions, each over kSealTicks at most. Blocks. Errors are those of Store, and
  /// FAILED_PRECONDITION: the chain is ahead of the database, which was made from a dump, or its
  /// position was lost. For one caller at a time.
  absl::StatusOr<SealedRows> Seal();
  /// Seal(), for the metrics and the log. True when there is more.
  bool Step();

 private:
  absl::Status SealNew(PgTransaction& transaction, SealedRows& sealed);
  absl::Status SealBefore(PgTransaction& transaction, SealedRows& sealed) const;

  PgPool& pool_;
  const Clock& clock_;
  Gauge& lag_seconds_;
  Gauge& failing_;
  Gauge& held_back_;
  Counter& rows_total_;

  // Of Step's caller.
  std::int64_t ticks_ = kSealTicks;
  std::int64_t before_ticks_ = kSealTicks;  ///< The same of what was there.
  WallTime sealed_until_{};                 ///< Epoch: not known yet.
  RepeatedFailure failures_;

  std::unique_ptr<Worker> worker_;
};

/// What is to be checked.
struct ChainQuestion {
  std::string tenant = {};  ///< By name; empty: all chains.
  /// Changes recorded before may be gone with their messages: by the shortest keep time that ever
  /// applied, else what was dropped in its time is ROWS_MISSING.
  WallTime kept_since{};
  /// A head that was noted, 64 hexadecimal digits: a link of `tenant` must have it. Empty: none.
  std::string expect_head = {};
};

/// A chain as it stands.
struct ChainState {
  std::string tenant;  ///< Empty: of actions that are of no tenant. An id, when it has no name.
  std::int64_t links = 0;
  std::int64_t rows = 0;            ///< In links that hold, rows and all.
  std::int64_t past_retention = 0;  ///< Links that hold; their rows are kept no longer.
  std::int64_t before_chain = 0;    ///< Rows of before the chain began that are in no link yet.
  std::int64_t not_sealed = 0;      ///< Rows that are too new to be in one.
  std::int64_t faults = 0;
  WallTime since{};  ///< The first row's time; epoch: there is none.
  WallTime until{};
  std::string head;  ///< Hexadecimal; empty: no link yet.
};

/// A link that does not hold, or (with `why`) seals that do not.
struct ChainFault {
  std::string tenant = {};
  std::string verdict = {};  ///< As audit.chain_verdict(), or chain_fault, has it.
  std::string table = {};
  std::int64_t link_no = 0;    ///< 0: rows that are in no link, or seals.
  std::int64_t seal_no = 0;    ///< With `why`: the later seal.
  std::int64_t rows = 0;       ///< That it was made of ...
  std::int64_t found = 0;      ///< ... and that there are.
  std::int64_t strangers = 0;  ///< Of those, it was not made of so many; 100 at most.
  std::string stranger = {};   ///< The id of one; empty: none.
  WallTime since{};
  WallTime until{};
  std::string why = {};  ///< Of seals, which are of all tenants: what is wrong.
};

/// Where a new chain began.
struct ChainBegin {
  int chain_no = 0;
  WallTime at{};
  std::string actor;
  std::string reason;
};

/// What VerifyChains found.
struct ChainReport {
  std::vector<ChainState> chains;  ///< By tenant.
  std::vector<ChainFault> faults;  ///< The first kMostChainFaults.
  std::int64_t seal_faults = 0;    ///< Those of seals, beside those of chains.
  std::vector<ChainBegin> begins;  ///< But of the first chain.
  std::int64_t expected_link = 0;  ///< The link that has expect_head; 0: none has.
};

/// Reads all rows that are in a link, and says which links do not hold. Reads only; traffic may go
/// on. Blocks for as long as reading takes: `pool` should have time for its statements. Errors are
/// those of Store, and NOT_FOUND: no such tenant.
absl::StatusOr<ChainReport> VerifyChains(PgPool& pool, const ChainQuestion& question);

}  // namespace postrider
