// Partitions that are past their time. DETACH CONCURRENTLY would spare traffic the parent's lock,
// but is refused while there is a default partition (PostgreSQL manual, ALTER TABLE).
#include <algorithm>
#include <functional>
#include <span>

#include "absl/strings/numbers.h"

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/model/retention_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_partitions.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// A message without its end is in one of these three, in any snapshot.
constexpr Query kRangeWaits{"range_waits", R"(
SELECT EXISTS (SELECT FROM tenant t, LATERAL (SELECT FROM dispatch_queue q
    WHERE q.tenant_id = t.tenant_id AND q.message_id >= $1::uuid AND q.message_id < $2::uuid
    LIMIT 1) w)
  OR EXISTS (SELECT FROM tenant t, LATERAL (SELECT FROM reconcile_queue q
    WHERE q.tenant_id = t.tenant_id AND q.message_id >= $1::uuid AND q.message_id < $2::uuid
    LIMIT 1) w)
  OR EXISTS (SELECT FROM (SELECT n::smallint AS slot FROM generate_series(0, 15) n) s, LATERAL (
    SELECT FROM attempt a WHERE a.slot = s.slot AND a.outcome IS NULL
    AND a.message_id >= $1::uuid AND a.message_id < $2::uuid LIMIT 1) w))"};

constexpr Query kInboxHas{"inbox_has", R"(
SELECT EXISTS (SELECT FROM tenant t, LATERAL (SELECT FROM webhook_inbox i
  WHERE i.tenant_id = t.tenant_id AND i.inbox_id >= $1::uuid AND i.inbox_id < $2::uuid LIMIT 1) w))"};

constexpr Query kOldestByDefault{"oldest_by_default", R"(
SELECT o.message_id FROM tenant t, LATERAL (SELECT m.message_id FROM message_default m
  WHERE m.tenant_id = t.tenant_id ORDER BY m.tenant_id, m.message_id LIMIT 1) o ORDER BY 1 LIMIT 1)"};

// Of each slot the one of the latest transaction: they end within kLongestTransaction.
constexpr Query kNewestEvent{"newest_event", "SELECT " PR_US("max(e.at)") R"(
FROM (SELECT n::smallint AS slot FROM generate_series(0, 15) n) s, LATERAL (SELECT e.at FROM status_event e
  WHERE e.slot = s.slot AND e.xid >= $1::text::xid8 AND e.xid < $2::text::xid8
  ORDER BY e.slot DESC, e.xid DESC LIMIT 1) e)"};

// All that stands in events before it was visible to every tick that is kept.
constexpr Query kTicksBegin{"ticks_begin",
                            "SELECT pg_snapshot_xmin(t.snap)::text::bigint FROM tick t "
                            "ORDER BY t.tick_no LIMIT 1"};

/// What became of one partition.
enum class Fate { kDropped, kKept, kLeft };  ///< kLeft: another replica is at it, or was.

bool RangeHas(PgTransaction& transaction, const Query& query, const KnownPartition& partition) {
  PgParams params;
  params.Add(partition.from).Add(partition.to);
  return transaction.Run(query, params).Bool(0, 0);
}

/// Looked at before, so that no lock is taken in vain, and again under the lock.
absl::Status DropUnlessWaiting(PgTransaction& transaction, const KnownPartition& partition,
                               const Query& waits, Fate& fate) {
  fate = Fate::kKept;
  if (RangeHas(transaction, waits, partition)) return absl::OkStatus();
  WaitBriefly(transaction);
  transaction.RunOnce(StrCat("DROP TABLE ", partition.name));
  if (RangeHas(transaction, waits, partition)) return absl::CancelledError("it waits again");
  fate = Fate::kDropped;
  return absl::OkStatus();
}

/// Takes the turn and sees that `partition` is there; kLeft when not.
bool MayDrop(PgTransaction& transaction, const KnownPartition& partition, Fate& fate) {
  fate = Fate::kLeft;
  return TakeRetentionTurn(transaction) &&
         IsPartition(transaction, partition.parent, partition.name);
}

/// Nothing that is kept can have events from before this.
WallTime OldestKept(PgTransaction& transaction) {
  const std::vector<KnownPartition> partitions = PartitionsOf(transaction, "message");
  WallTime oldest = WallTime::max();
  if (!partitions.empty()) {
    const absl::StatusOr<Uuid> from = ParseUuid(partitions.front().from);
    oldest = from.ok() ? TimeOfUuidV7(*from) : WallTime{};
  }
  const PgRows rows = transaction.Run(kOldestByDefault, {});
  if (rows.size() > 0) oldest = std::min(oldest, TimeOfUuidV7(rows.UuidAt(0, 0)));
  return oldest;
}

/// Whether every event of `partition` is older than `before`, of a message that is gone, and told
/// by every tick.
bool EventsAreOver(PgTransaction& transaction, const KnownPartition& partition, WallTime before) {
  std::int64_t to = 0;
  if (!absl::SimpleAtoi(partition.to, &to)) return false;
  const PgRows ticks = transaction.Run(kTicksBegin, {});
  if (ticks.size() == 0 || to > ticks.Int(0, 0)) return false;
  PgParams params;
  params.Add(partition.from).Add(partition.to);
  const WallTime newest = transaction.Run(kNewestEvent, params).Time(0, 0);
  return newest + kEventSlack < std::min(before, OldestKept(transaction));
}

/// The next webhooks of a detached day after `after`: those without an end go back to where they
/// are found. True when there are more.
bool PutBackSome(PgTransaction& transaction, const std::string& name,
                 std::pair<Uuid, Uuid>& after) {
  const PgRows last = transaction.RunOnce(StrCat(
      "WITH next AS MATERIALIZED (SELECT i.* FROM ", name,
      " i WHERE (i.tenant_id, i.inbox_id) > ('", after.first.ToString(), "', '",
      after.second.ToString(), "') ORDER BY i.tenant_id, i.inbox_id LIMIT ", kWalkedAtOnce,
      "), back AS (INSERT INTO webhook_inbox (tenant_id, inbox_id, profile, body, received_at) "
      "SELECT i.tenant_id, i.inbox_id, i.profile, i.body, i.received_at FROM next i "
      "WHERE NOT EXISTS (SELECT FROM receipt_applied a WHERE a.tenant_id = i.tenant_id "
      "AND a.inbox_id = i.inbox_id OFFSET 0) ON CONFLICT DO NOTHING) "
      "SELECT i.tenant_id, i.inbox_id FROM next i ORDER BY 1 DESC, 2 DESC LIMIT 1"));
  if (last.size() == 0) return false;
  after = {last.UuidAt(0, 0), last.UuidAt(0, 1)};
  return true;
}

/// One look of DropOld, over all tables.
class PgRetention {
 public:
  PgRetention(PgPool& pool, WallTime here, const KeepTimes& keep, std::stop_token stop)
      : pool_(pool), here_(here), keep_(keep), stop_(std::move(stop)) {}

  absl::StatusOr<PartitionDrops> Run();

 private:
  absl::Status Find();
  void Keep(std::vector<KnownPartition> all, const std::string& before,
            std::vector<KnownPartition>& old);
  using Body =
      std::function<absl::Status(PgTransaction&, const KnownPartition& partition, Fate& fate)>;
  /// `body` for each in a transaction of its own, and what became of it noted. Ends with one that
  /// fails: somebody holds a lock, and who waited behind this should not wait again at once.
  void DropEach(std::span<const KnownPartition> partitions, const Body& body);
  void DropMessages();
  void DropWebhooks();
  void DropDetached(const std::string& name);
  void DropEvents();
  bool Note(const std::string& name, const absl::Status& status, Fate fate);

  PgPool& pool_;
  const WallTime here_;
  const KeepTimes keep_;
  const std::stop_token stop_;

  WallTime messages_before_{};  ///< Older ones go.
  WallTime webhooks_before_{};
  std::vector<KnownPartition> messages_;
  std::vector<KnownPartition> attempts_;
  std::vector<KnownPartition> webhooks_;
  std::vector<KnownPartition> applied_;
  std::vector<KnownPartition> events_;
  PartitionDrops drops_;
};

void PgRetention::Keep(std::vector<KnownPartition> all, const std::string& before,
                       std::vector<KnownPartition>& old) {
  old.clear();
  for (KnownPartition& partition : all) {
    if (old.size() == kDropsAtOnce) break;
    if (partition.to <= before) old.push_back(std::move(partition));
  }
}

absl::Status PgRetention::Find() {
  return pool_.Transact("find_old_partitions", [&](PgTransaction& transaction) {
    // A clock that is ahead, the database's or this machine's, must not drop anything.
    const PgRows now = transaction.RunOnce("SELECT " PR_US("now()"));
    const WallTime agreed = std::min(here_, now.Time(0, 0));
    messages_before_ = agreed - keep_.messages;
    const std::string messages = LeastUuidV7(messages_before_).ToString();
    webhooks_before_ = agreed - keep_.webhooks;
    const std::string webhooks = LeastUuidV7(webhooks_before_).ToString();
    Keep(PartitionsOf(transaction, "message"), messages, messages_);
    Keep(PartitionsOf(transaction, "attempt"), messages, attempts_);
    Keep(PartitionsOf(transaction, "webhook_inbox"), webhooks, webhooks_);
    Keep(PartitionsOf(transaction, "receipt_applied"), webhooks, applied_);
    events_ = PartitionsOf(transaction, "status_event");
    if (events_.size() > kDropsAtOnce) events_.resize(kDropsAtOnce);
    return absl::OkStatus();
  });
}

bool PgRetention::Note(const std::string& name, const absl::Status& status, Fate fate) {
  if (absl::IsCancelled(status)) {
    drops_.kept.push_back(name);
  } else if (!status.ok()) {
    if (drops_.failed.empty()) drops_.why = std::string(ToStd(status.message()));
    drops_.failed.push_back(name);
    return false;
  } else if (fate != Fate::kLeft) {
    (fate == Fate::kDropped ? drops_.dropped : drops_.kept).push_back(name);
  }
  return true;
}

void PgRetention::DropEach(std::span<const KnownPartition> partitions, const Body& body) {
  for (const KnownPartition& partition : partitions) {
    if (stop_.stop_requested()) return;
    Fate fate = Fate::kLeft;
    const absl::Status done = pool_.Transact("drop_partition", [&](PgTransaction& transaction) {
      if (!MayDrop(transaction, partition, fate)) return absl::OkStatus();
      return body(transaction, partition, fate);
    });
    if (!Note(partition.name, done, fate)) return;
  }
}

void PgRetention::DropMessages() {
  DropEach(messages_, [](PgTransaction& transaction, const KnownPartition& partition, Fate& fate) {
    return DropUnlessWaiting(transaction, partition, kRangeWaits, fate);
  });
  // After their messages: what is shown has its attempts.
  DropEach(attempts_, [](PgTransaction& transaction, const KnownPartition& partition, Fate& fate) {
    const std::vector<KnownPartition> left = PartitionsOf(transaction, "message");
    fate = Fate::kKept;
    const bool needed =
        std::any_of(left.begin(), left.end(), [&](const KnownPartition& of_messages) {
          return of_messages.from < partition.to && partition.from < of_messages.to;
        });
    if (needed) return absl::OkStatus();
    return DropUnlessWaiting(transaction, partition, kRangeWaits, fate);
  });
}

void PgRetention::DropDetached(const std::string& name) {
  std::pair<Uuid, Uuid> after;
  bool more = true;
  absl::Status done;
  Fate fate = Fate::kLeft;
  while (done.ok() && more && !stop_.stop_requested()) {
    more = false;
    done = pool_.Transact("put_back_webhooks", [&](PgTransaction& transaction) {
      if (!TakeRetentionTurn(transaction) || !IsTable(transaction, name)) return absl::OkStatus();
      more = PutBackSome(transaction, name, after);
      if (more) return absl::OkStatus();
      WaitBriefly(transaction);
      transaction.RunOnce(StrCat("DROP TABLE ", name));
      fate = Fate::kDropped;
      return absl::OkStatus();
    });
  }
  Note(name, done, fate);
}

/// Detached first, so that no late one can come in behind the look for those without an end.
void PgRetention::DropWebhooks() {
  DropEach(webhooks_, [](PgTransaction& transaction, const KnownPartition& partition, Fate&) {
    WaitBriefly(transaction);
    transaction.RunOnce(StrCat("ALTER TABLE webhook_inbox DETACH PARTITION ", partition.name));
    return absl::OkStatus();
  });
  std::vector<std::string> detached;
  const absl::Status found = pool_.Transact("find_detached", [&](PgTransaction& transaction) {
    detached = DetachedOf(transaction, "webhook_inbox", webhooks_before_);
    return absl::OkStatus();
  });
  if (!found.ok()) Note("webhook_inbox", found, Fate::kLeft);
  for (const std::string& name : detached) DropDetached(name);

  // What an inbox row ended in stays as long as the row.
  DropEach(applied_, [&](PgTransaction& transaction, const KnownPartition& partition, Fate& fate) {
    if (!DetachedOf(transaction, "webhook_inbox", webhooks_before_).empty()) {
      return absl::OkStatus();
    }
    return DropUnlessWaiting(transaction, partition, kInboxHas, fate);
  });
}

void PgRetention::DropEvents() {
  bool over = true;  // Those after one that is not are younger.
  DropEach(events_, [&](PgTransaction& transaction, const KnownPartition& partition, Fate& fate) {
    over = over && EventsAreOver(transaction, partition, messages_before_);
    if (!over) return absl::OkStatus();
    WaitBriefly(transaction);
    transaction.RunOnce(StrCat("DROP TABLE ", partition.name));
    fate = Fate::kDropped;
    return absl::OkStatus();
  });
}

absl::StatusOr<PartitionDrops> PgRetention::Run() {
  PR_RETURN_IF_ERROR(Find());
  DropMessages();
  DropWebhooks();
  DropEvents();
  return std::move(drops_);
}

}  // namespace

absl::StatusOr<PartitionDrops> PgStore::DropOld(const KeepTimes& keep, std::stop_token stop) {
  return PgRetention(pool_, clock_.Wall(), keep, std::move(stop)).Run();
}

std::vector<Query> RetentionQueries() {
  return {kRangeWaits, kInboxHas, kOldestByDefault, kNewestEvent, kTicksBegin};
}

}  // namespace postrider
