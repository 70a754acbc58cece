#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_dead_sends.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

/// $2 to $5: a DeadLetterFilter, of `tenant`. Ranges where equality would do: of what is equal no
/// order is asked, and then a plan could go by another index.
#define PR_MATCHES(tenant)                                                                       \
  "d.tenant_id >= " tenant " AND d.tenant_id <= " tenant                                         \
  " AND d.state >= 1::smallint AND d.state <= 1::smallint "                                      \
  "AND ($2::text = '' OR d.reason = $2::text) AND ($3::text = '' OR d.source = $3::text) "       \
  "AND d.at >= timestamptz 'epoch' + $4::bigint * interval '1 microsecond' "                     \
  "AND d.at < coalesce(timestamptz 'epoch' + nullif($5::bigint, 0) * interval '1 microsecond', " \
  "'infinity')"
#define PR_NEWEST_FIRST "d.tenant_id DESC, d.state DESC, d.at DESC, d.dead_letter_id DESC"
#define PR_COLUMNS \
  "d.dead_letter_id, d.source, d.reason, d.detail, " PR_US("d.at") ", "    \
  "d.replays, length(d.body), d.only_by_id"

constexpr Query kList{
    "dead_letters_list",
    "SELECT " PR_COLUMNS " FROM dead_letter d WHERE " PR_MATCHES("$1::uuid")
    " AND (d.at, d.dead_letter_id) < (coalesce(timestamptz 'epoch' + nullif($6::bigint, 0) * "
    "interval '1 microsecond', 'infinity'), $7::uuid) "
    "ORDER BY " PR_NEWEST_FIRST " LIMIT $8::integer"};

constexpr Query kGroup{
    "dead_letters_group",
    "SELECT g.tenant_id, g.reason, g.source, count(*), "
    "count(*) FILTER (WHERE g.replays >= $6::integer OR g.only_by_id), " PR_US("min(g.at)") ", "
    PR_US("max(g.at)") " FROM tenant t, LATERAL (SELECT d.tenant_id, d.reason, d.source, "
    "d.replays, d.only_by_id, d.at FROM dead_letter d WHERE " PR_MATCHES("t.tenant_id")
    " ORDER BY " PR_NEWEST_FIRST " LIMIT $8::bigint) g "
    "WHERE $1::uuid IN (t.tenant_id, '00000000-0000-0000-0000-000000000000') "
    "GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT $7::integer"};

// By key alone: with the state the planner may take the other index and read all that are dead.
constexpr Query kFind{"dead_letters_find",
                      "SELECT " PR_COLUMNS
                      ", d.body, d.state FROM dead_letter d WHERE d.tenant_id = $1::uuid "
                      "AND d.dead_letter_id = $2::uuid"};

// Without a lock: messages are locked first, as everywhere.
constexpr Query kChoose{
    "dead_letters_choose",
    "SELECT d.dead_letter_id FROM dead_letter d WHERE " PR_MATCHES("$1::uuid")
    " AND ($6::integer = 0 OR (d.replays < $6::integer AND NOT d.only_by_id)) "
    "ORDER BY d.tenant_id, d.state, d.at, d.dead_letter_id LIMIT $7::integer"};

// Found as intend_take_from_queue finds its rows.
constexpr Query kLock{
    "dead_letters_lock",
    "SELECT d.dead_letter_id, d.state, d.source FROM dead_letter d WHERE d.ctid = ANY(ARRAY("
    "SELECT k.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, dead_letter_id), "
    "LATERAL (SELECT k.ctid FROM dead_letter k WHERE k.tenant_id = r.tenant_id "
    "AND k.dead_letter_id >= r.dead_letter_id AND k.dead_letter_id <= r.dead_letter_id "
    "ORDER BY k.dead_letter_id LIMIT 1) k)) "
    "ORDER BY d.at, d.dead_letter_id FOR UPDATE SKIP LOCKED"};

constexpr Query kCountByIds{
    "dead_letters_count_by_ids",
    "SELECT count(*) FROM (SELECT DISTINCT u.dead_letter_id FROM unnest($2::uuid[]) AS "
    "u(dead_letter_id)) r, LATERAL (SELECT k.state FROM dead_letter k "
    "WHERE k.tenant_id = $1::uuid AND k.dead_letter_id >= r.dead_letter_id "
    "AND k.dead_letter_id <= r.dead_letter_id ORDER BY k.dead_letter_id LIMIT 1) k "
    "WHERE k.state = 1"};

constexpr Query kReopen{"dead_letters_reopen",
                        "DELETE FROM receipt_applied a USING unnest($1::uuid[], $2::uuid[]) AS "
                        "r(tenant_id, inbox_id) WHERE a.tenant_id = r.tenant_id "
                        "AND a.inbox_id = r.inbox_id AND a.verdict = 3"};

// Each is parked from when its turn comes.
constexpr Query kParkAgain{
    "dead_letters_park",
    "INSERT INTO receipt_parked (tenant_id, inbox_id, profile, body, parked_at, next_try_at) "
    "SELECT d.tenant_id, d.dead_letter_id, d.source, d.body, now() + r.wait, now() + r.wait FROM "
    "(SELECT tenant_id, dead_letter_id, wait_us * interval '1 microsecond' AS wait "
    "FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS u(tenant_id, dead_letter_id, wait_us)) r "
    "JOIN dead_letter d ON d.tenant_id = r.tenant_id AND d.dead_letter_id = r.dead_letter_id "
    "ORDER BY 1, 2 ON CONFLICT DO NOTHING"};

bool IsDead(std::int64_t state) { return static_cast<LetterState>(state) == LetterState::kDead; }

PgParams FilterParams(const DeadLetterFilter& filter) {
  PgParams params;
  params.Add(filter.tenant_id.uuid).Add(filter.reason).Add(filter.source);
  params.Add(MicrosecondsOf(filter.since)).Add(MicrosecondsOf(filter.until));
  return params;
}

DeadLetter ReadLetter(TenantId tenant, const PgRows& rows, int row) {
  DeadLetter letter;
  letter.tenant_id = tenant;
  letter.dead_letter_id = {rows.UuidAt(row, 0)};
  letter.source = rows.Text(row, 1);
  letter.reason = rows.Text(row, 2);
  letter.detail = rows.Text(row, 3);
  letter.at = rows.Time(row, 4);
  letter.replays = static_cast<int>(rows.Int(row, 5));
  letter.bytes = rows.Int(row, 6);
  letter.only_by_id = rows.Bool(row, 7);
  return letter;
}

/// With its body; NOT_FOUND.
absl::StatusOr<DeadLetter> FindLetter(PgTransaction& transaction, TenantId tenant,
                                      DeadLetterId id) {
  PgParams params;
  params.Add(tenant.uuid).Add(id.uuid);
  const PgRows rows = transaction.Run(kFind, params);
  if (rows.size() == 0 || !IsDead(rows.Int(0, 9)))
    return absl::NotFoundError("no such dead letter");
  DeadLetter letter = ReadLetter(tenant, rows, 0);
  letter.body = rows.Bytes(0, 8);
  return letter;
}

/// The letters that are meant; without ids the oldest. `most_replays`: of those, the ones that were
/// replayed less often and may be replayed without being named; 0: all.
std::vector<DeadLetterId> Choose(PgTransaction& transaction, const DeadLetterChoice& choice,
                                 int most_replays) {
  if (!choice.ids.empty()) return choice.ids;
  PgParams params = FilterParams(choice.filter);
  params.Add(std::int64_t{most_replays}).Add(std::int64_t{kDeadLettersChanged});
  const PgRows rows = transaction.Run(kChoose, params);
  std::vector<DeadLetterId> ids;
  for (int row = 0; row < rows.size(); ++row) ids.push_back({rows.UuidAt(row, 0)});
  return ids;
}

struct LockedLetter {
  DeadLetterId id;
  bool is_send = false;
};

/// Those of `ids` that are dead, the oldest first. What somebody else changes is left to them.
std::vector<LockedLetter> LockLetters(PgTransaction& transaction, TenantId tenant,
                                      std::span<const DeadLetterId> ids) {
  const PgRows rows = transaction.Run(kLock, LetterKeysOf(tenant, ids));
  std::vector<LockedLetter> locked;
  for (int row = 0; row < rows.size(); ++row) {
    if (!IsDead(rows.Int(row, 1))) continue;
    locked.push_back({{rows.UuidAt(row, 0)}, rows.Text(row, 2) == kSendSource});
  }
  return locked;
}

/// "3 dead letters, reason ORPHAN": what operator_action shows.
std::string LettersText(const DeadLetterChoice& choice, std::span<const DeadLetterId> changed) {
  const std::size_t count = changed.size();
  std::string text = StrCat(count, count == 1 ? " dead letter" : " dead letters");
  if (!choice.ids.empty())
    return StrCat(text, count == 1 ? " " : ", by id, first ", changed.front().ToString());
  if (!choice.filter.reason.empty()) StrAppend(text, ", reason ", choice.filter.reason);
  if (!choice.filter.source.empty()) StrAppend(text, ", source ", choice.filter.source);
  return text;
}

DeadLetterChange ChangeOf(const DeadLetterChoice& choice, std::span<const DeadLetterId> chosen,
                          std::span<const DeadLetterId> changed) {
  return {.changed = static_cast<int>(changed.size()),
          .has_more = choice.ids.empty() && chosen.size() >= kDeadLettersChanged};
}

/// What a replay does to the letters that were chosen, each when its turn comes.
struct LettersReplayed {
  std::vector<DeadLetterId> all;
  std::vector<DeadLetterId> webhooks;
  std::vector<std::chrono::microseconds> waits;  ///< Of `webhooks`.
  std::vector<MessageChange> sends;
  std::vector<std::pair<MessageKey, WallTime>> queued;  ///< `sends`.
  std::vector<DeadLetterId> settled;                    ///< Their message is gone, or erased.
};

LettersReplayed Replayed(std::span<const LockedLetter> letters,
                         std::span<const StoredMessage> messages, std::chrono::microseconds apart) {
  std::map<DeadLetterId, const StoredMessage*> by_id;
  for (const StoredMessage& m : messages) by_id[{m.message.message_id.uuid}] = &m;
  LettersReplayed out;
  for (const LockedLetter& letter : letters) {
    const std::chrono::microseconds wait = apart * static_cast<std::int64_t>(out.all.size());
    if (!letter.is_send) {
      out.webhooks.push_back(letter.id);
      out.waits.push_back(wait);
      out.all.push_back(letter.id);
      continue;
    }
    const auto message = by_id.find(letter.id);
    std::optional<MessageChange> change;
    if (message != by_id.end()) change = ReplayOf(*message->second);
    if (!change) {
      out.settled.push_back(letter.id);
      continue;
    }
    out.queued.emplace_back(change->key, message->second->store_now + wait);
    out.sends.push_back(*std::move(change));
    out.all.push_back(letter.id);
  }
  return out;
}

void ParkAgain(PgTransaction& transaction, TenantId tenant, const LettersReplayed& replayed) {
  if (replayed.webhooks.empty()) return;
  PgParams params = LetterKeysOf(tenant, replayed.webhooks);
  transaction.Run(kReopen, params);
  AddColumn(params, replayed.waits, [](auto& to, auto wait) { StrAppend(to, wait.count()); });
  transaction.Run(kParkAgain, params);
}

}  // namespace

absl::StatusOr<std::vector<DeadLetter>> PgStore::ListDeadLetters(const DeadLetterFilter& filter,
                                                                 const DeadLetterPlace& place,
                                                                 int limit) {
  std::vector<DeadLetter> letters;
  PgParams params = FilterParams(filter);
  params.Add(MicrosecondsOf(place.at)).Add(place.dead_letter_id.uuid).Add(std::int64_t{limit});
  PR_RETURN_IF_ERROR(pool_.Read("list_dead_letters", [&](PgTransaction& transaction) {
    letters.clear();
    const PgRows rows = transaction.Run(kList, params);
    for (int row = 0; row < rows.size(); ++row) {
      letters.push_back(ReadLetter(filter.tenant_id, rows, row));
    }
    return absl::OkStatus();
  }));
  return letters;
}

absl::StatusOr<std::vector<DeadLetterGroup>> PgStore::GroupDeadLetters(
    const DeadLetterFilter& filter) {
  std::vector<DeadLetterGroup> groups;
  PgParams params = FilterParams(filter);
  params.Add(std::int64_t{kMostReplays}).Add(std::int64_t{kDeadLetterGroups});
  params.Add(filter.tenant_id.IsNil() ? std::int64_t{kMostCounted}
                                      : std::numeric_limits<std::int64_t>::max());
  PR_RETURN_IF_ERROR(pool_.Read("group_dead_letters", [&](PgTransaction& transaction) {
    groups.clear();
    const PgRows rows = transaction.Run(kGroup, params);
    for (int row = 0; row < rows.size(); ++row) {
      groups.push_back({.tenant_id = {rows.UuidAt(row, 0)},
                        .reason = std::string(rows.Text(row, 1)),
                        .source = std::string(rows.Text(row, 2)),
                        .count = rows.Int(row, 3),
                        .only_by_id = rows.Int(row, 4),
                        .oldest = rows.Time(row, 5),
                        .newest = rows.Time(row, 6)});
    }
    return absl::OkStatus();
  }));
  return groups;
}

absl::StatusOr<std::int64_t> PgStore::CountDeadLetters(const DeadLetterChoice& choice,
                                                       bool only_by_id) {
  std::int64_t count = 0;
  if (choice.ids.empty()) {
    PR_ASSIGN_OR_RETURN(const std::vector<DeadLetterGroup> groups, GroupDeadLetters(choice.filter));
    for (const DeadLetterGroup& group : groups)
      count += group.count - (only_by_id ? 0 : group.only_by_id);
    return count;
  }
  PgParams params;
  params.Add(choice.filter.tenant_id.uuid);
  AddColumn(params, choice.ids, [](auto& to, DeadLetterId id) { AppendUuid(to, id.uuid); });
  PR_RETURN_IF_ERROR(pool_.Read("count_dead_letters", [&](PgTransaction& transaction) {
    count = transaction.Run(kCountByIds, params).Int(0, 0);
    return absl::OkStatus();
  }));
  return count;
}

absl::StatusOr<DeadLetter> PgStore::FindDeadLetter(TenantId tenant, DeadLetterId id) {
  DeadLetter letter;
  PR_RETURN_IF_ERROR(
      pool_.Read("find_dead_letter", [&](PgTransaction& transaction) -> absl::Status {
        PR_ASSIGN_OR_RETURN(letter, FindLetter(transaction, tenant, id));
        return absl::OkStatus();
      }));
  return letter;
}

absl::StatusOr<DeadLetter> PgStore::UnmaskDeadLetter(TenantId tenant, DeadLetterId id,
                                                     const OperatorAction& action) {
  DeadLetter letter;
  PR_RETURN_IF_ERROR(
      pool_.Transact("unmask_dead_letter", [&](PgTransaction& transaction) -> absl::Status {
        PR_ASSIGN_OR_RETURN(letter, FindLetter(transaction, tenant, id));
        RecordAction(transaction, tenant, action, "UNMASK_DEAD_LETTER", id.ToString());
        return absl::OkStatus();
      }));
  return letter;
}

absl::StatusOr<DeadLetterChange> PgStore::ReplayDeadLetters(const DeadLetterChoice& choice,
                                                            std::chrono::microseconds apart,
                                                            const OperatorAction& action) {
  DeadLetterChange change;
  const TenantId tenant = choice.filter.tenant_id;
  PR_RETURN_IF_ERROR(TransactWithEvents("replay_dead_letters", [&](PgTransaction& transaction) {
    const std::vector<DeadLetterId> chosen = Choose(transaction, choice, kMostReplays);
    // Letters of sends have their messages' ids. Those are locked first: whoever ends a message
    // holds it when its letter is written.
    std::vector<MessageKey> keys;
    for (const DeadLetterId id : chosen) keys.push_back({tenant, {id.uuid}});
    const std::vector<StoredMessage> messages = LockMessages(transaction, std::move(keys));
    const LettersReplayed replayed =
        Replayed(LockLetters(transaction, tenant, chosen), messages, apart);
    change = ChangeOf(choice, chosen, replayed.all);
    MarkLetters(transaction, tenant, replayed.settled, LetterState::kSettled, nullptr);
    if (replayed.all.empty()) return absl::OkStatus();
    MarkLetters(transaction, tenant, replayed.all, LetterState::kReplayed, &action);
    ParkAgain(transaction, tenant, replayed);
    WriteReplays(transaction, replayed.sends, replayed.queued);
    RecordAction(transaction, tenant, action, "REPLAY_DEAD_LETTERS",
                 LettersText(choice, replayed.all));
    return absl::OkStatus();
  }));
  return change;
}

absl::StatusOr<DeadLetterChange> PgStore::DiscardDeadLetters(const DeadLetterChoice& choice,
                                                             const OperatorAction& action) {
  DeadLetterChange change;
  const TenantId tenant = choice.filter.tenant_id;
  PR_RETURN_IF_ERROR(pool_.Transact("discard_dead_letters", [&](PgTransaction& transaction) {
    const std::vector<DeadLetterId> chosen = Choose(transaction, choice, 0);
    std::vector<DeadLetterId> ids;
    for (const LockedLetter& letter : LockLetters(transaction, tenant, chosen)) {
      ids.push_back(letter.id);
    }
    change = ChangeOf(choice, chosen, ids);
    if (ids.empty()) return absl::OkStatus();
    MarkLetters(transaction, tenant, ids, LetterState::kDiscarded, &action);
    RecordAction(transaction, tenant, action, "DISCARD_DEAD_LETTERS", LettersText(choice, ids));
    return absl::OkStatus();
  }));
  return change;
}

std::vector<Query> DeadLetterQueries() {
  return {kList, kGroup, kFind, kChoose, kLock, kCountByIds, kReopen, kParkAgain};
}

}  // namespace postrider
