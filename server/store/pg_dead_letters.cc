#include <limits>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

/// $1 to $5: a DeadLetterFilter. Ranges where equality would do: of what is equal no order is
/// asked, and then a plan could go by another index.
#define PR_MATCHES                                                                               \
  "d.tenant_id >= $1::uuid AND d.tenant_id <= $1::uuid AND d.state >= 1::smallint "              \
  "AND d.state <= 1::smallint AND ($2::text = '' OR d.reason = $2::text) "                       \
  "AND ($3::text = '' OR d.profile = $3::text) "                                                 \
  "AND d.at >= timestamptz 'epoch' + $4::bigint * interval '1 microsecond' "                     \
  "AND d.at < coalesce(timestamptz 'epoch' + nullif($5::bigint, 0) * interval '1 microsecond', " \
  "'infinity')"
#define PR_IN_ORDER "d.tenant_id, d.state, d.at, d.inbox_id"
#define PR_COLUMNS \
  "d.inbox_id, d.profile, d.reason, d.detail, " PR_US("d.at") ", d.replays, length(d.body)"

constexpr Query kList{
    "dead_letters_list",
    "SELECT " PR_COLUMNS " FROM dead_letter d WHERE " PR_MATCHES
    " AND (d.at, d.inbox_id) < (coalesce(timestamptz 'epoch' + nullif($6::bigint, 0) * "
    "interval '1 microsecond', 'infinity'), $7::uuid) "
    "ORDER BY d.tenant_id DESC, d.state DESC, d.at DESC, d.inbox_id DESC LIMIT $8::integer"};

constexpr Query kGroup{
    "dead_letters_group",
    "SELECT d.reason, d.profile, count(*), count(*) FILTER (WHERE d.replays >= "
    "$6::integer), " PR_US("min(d.at)") ", " PR_US(
        "max(d.at)") " FROM (SELECT * FROM dead_letter d WHERE " PR_MATCHES " ORDER BY " PR_IN_ORDER
                     ") d GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $7::integer"};

// By key alone: with the state the planner may take the other index and read all that are dead.
constexpr Query kFind{"dead_letters_find",
                      "SELECT " PR_COLUMNS
                      ", d.body, d.state FROM dead_letter d WHERE d.tenant_id = $1::uuid "
                      "AND d.inbox_id = $2::uuid"};

constexpr Query kChoose{"dead_letters_choose",
                        "SELECT d.inbox_id, d.state FROM dead_letter d WHERE " PR_MATCHES
                        " AND d.replays < $6::integer ORDER BY " PR_IN_ORDER
                        " LIMIT $7::integer FOR UPDATE SKIP LOCKED"};

// Found as intend_take_from_queue finds its rows.
constexpr Query kChooseByIds{
    "dead_letters_choose_by_ids",
    "SELECT d.inbox_id, d.state FROM dead_letter d WHERE d.ctid = ANY(ARRAY("
    "SELECT k.ctid FROM unnest($2::uuid[]) AS r(inbox_id), LATERAL (SELECT k.ctid "
    "FROM dead_letter k WHERE k.tenant_id = $1::uuid AND k.inbox_id >= r.inbox_id "
    "AND k.inbox_id <= r.inbox_id ORDER BY k.inbox_id LIMIT 1) k)) "
    "ORDER BY d.at, d.inbox_id FOR UPDATE SKIP LOCKED"};

constexpr Query kCountByIds{
    "dead_letters_count_by_ids",
    "SELECT count(*) FROM (SELECT DISTINCT u.inbox_id FROM unnest($2::uuid[]) AS u(inbox_id)) r, "
    "LATERAL (SELECT k.state FROM dead_letter k WHERE k.tenant_id = $1::uuid "
    "AND k.inbox_id >= r.inbox_id AND k.inbox_id <= r.inbox_id ORDER BY k.inbox_id LIMIT 1) k "
    "WHERE k.state = 1"};

constexpr Query kMark{"dead_letters_mark",
                      "UPDATE dead_letter d SET state = $3::smallint, action_id = $5::uuid, "
                      "replays = d.replays + $4::integer FROM unnest($1::uuid[], $2::uuid[]) "
                      "AS r(tenant_id, inbox_id) WHERE d.tenant_id = r.tenant_id "
                      "AND d.inbox_id = r.inbox_id"};

constexpr Query kReopen{"dead_letters_reopen",
                        "DELETE FROM receipt_applied a USING unnest($1::uuid[], $2::uuid[]) AS "
                        "r(tenant_id, inbox_id) WHERE a.tenant_id = r.tenant_id "
                        "AND a.inbox_id = r.inbox_id AND a.verdict = 3"};

// Each is parked from when its turn comes.
constexpr Query kParkAgain{
    "dead_letters_park",
    "INSERT INTO receipt_parked (tenant_id, inbox_id, profile, body, parked_at, next_try_at) "
    "SELECT d.tenant_id, d.inbox_id, d.profile, d.body, now() + r.wait, now() + r.wait FROM "
    "(SELECT tenant_id, inbox_id, (n - 1) * $3::bigint * interval '1 microsecond' AS wait "
    "FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS u(tenant_id, inbox_id, n)) r "
    "JOIN dead_letter d ON d.tenant_id = r.tenant_id AND d.inbox_id = r.inbox_id "
    "ORDER BY 1, 2 ON CONFLICT DO NOTHING"};

enum class LetterState : std::int8_t { kDead = 1, kReplayed = 2, kDiscarded = 3 };

bool IsDead(std::int64_t state) { return static_cast<LetterState>(state) == LetterState::kDead; }

PgParams FilterParams(const DeadLetterFilter& filter) {
  PgParams params;
  params.Add(filter.tenant_id.uuid).Add(filter.reason).Add(filter.profile);
  params.Add(MicrosecondsOf(filter.since)).Add(MicrosecondsOf(filter.until));
  return params;
}

DeadLetter ReadLetter(TenantId tenant, const PgRows& rows, int row) {
  DeadLetter letter;
  letter.row = {.tenant_id = tenant,
                .inbox_id = {rows.UuidAt(row, 0)},
                .profile = std::string(rows.Text(row, 1)),
                .body = {}};
  letter.reason = rows.Text(row, 2);
  letter.detail = rows.Text(row, 3);
  letter.at = rows.Time(row, 4);
  letter.replays = static_cast<int>(rows.Int(row, 5));
  letter.bytes = rows.Int(row, 6);
  return letter;
}

/// Locks the letters that are meant, the oldest first. `most_replays`: without ids, those that were
/// replayed less often.
std::vector<InboxId> Choose(PgTransaction& transaction, const DeadLetterChoice& choice,
                            int most_replays) {
  PgParams params;
  if (choice.ids.empty()) {
    params = FilterParams(choice.filter);
    params.Add(std::int64_t{most_replays}).Add(std::int64_t{kDeadLettersChanged});
  } else {
    params.Add(choice.filter.tenant_id.uuid);
    AddColumn(params, choice.ids, [](auto& to, InboxId id) { AppendUuid(to, id.uuid); });
  }
  const PgRows rows = transaction.Run(choice.ids.empty() ? kChoose : kChooseByIds, params);
  std::vector<InboxId> ids;
  for (int row = 0; row < rows.size(); ++row) {
    if (IsDead(rows.Int(row, 1))) ids.push_back({rows.UuidAt(row, 0)});
  }
  return ids;
}

PgParams KeysOf(TenantId tenant, const std::vector<InboxId>& ids) {
  PgParams params;
  AddColumn(params, ids, [&](auto& to, InboxId) { AppendUuid(to, tenant.uuid); });
  AddColumn(params, ids, [](auto& to, InboxId id) { AppendUuid(to, id.uuid); });
  return params;
}

void Mark(PgTransaction& transaction, TenantId tenant, const std::vector<InboxId>& ids,
          LetterState state, const OperatorAction& action) {
  PgParams params = KeysOf(tenant, ids);
  params.Add(static_cast<std::int64_t>(state));
  params.Add(std::int64_t{state == LetterState::kReplayed ? 1 : 0}).Add(action.action_id);
  transaction.Run(kMark, params);
}

/// "3 dead letters, reason ORPHAN": what operator_action shows.
std::string LettersText(const DeadLetterChoice& choice, const std::vector<InboxId>& changed) {
  const std::size_t count = changed.size();
  std::string text = StrCat(count, count == 1 ? " dead letter" : " dead letters");
  if (!choice.ids.empty())
    return StrCat(text, count == 1 ? " " : ", by id, first ", changed.front().ToString());
  if (!choice.filter.reason.empty()) StrAppend(text, ", reason ", choice.filter.reason);
  if (!choice.filter.profile.empty()) StrAppend(text, ", profile ", choice.filter.profile);
  return text;
}

DeadLetterChange ChangeOf(const DeadLetterChoice& choice, const std::vector<InboxId>& changed) {
  return {.changed = static_cast<int>(changed.size()),
          .has_more = choice.ids.empty() && changed.size() >= kDeadLettersChanged};
}

}  // namespace

absl::StatusOr<std::vector<DeadLetter>> PgStore::ListDeadLetters(const DeadLetterFilter& filter,
                                                                 const DeadLetterPlace& place,
                                                                 int limit) {
  std::vector<DeadLetter> letters;
  PgParams params = FilterParams(filter);
  params.Add(MicrosecondsOf(place.at)).Add(place.inbox_id.uuid).Add(std::int64_t{limit});
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
  PR_RETURN_IF_ERROR(pool_.Read("group_dead_letters", [&](PgTransaction& transaction) {
    groups.clear();
    const PgRows rows = transaction.Run(kGroup, params);
    for (int row = 0; row < rows.size(); ++row) {
      groups.push_back({.reason = std::string(rows.Text(row, 0)),
                        .profile = std::string(rows.Text(row, 1)),
                        .count = rows.Int(row, 2),
                        .spent = rows.Int(row, 3),
                        .oldest = rows.Time(row, 4),
                        .newest = rows.Time(row, 5)});
    }
    return absl::OkStatus();
  }));
  return groups;
}

absl::StatusOr<std::int64_t> PgStore::CountDeadLetters(const DeadLetterChoice& choice, bool spent) {
  std::int64_t count = 0;
  if (choice.ids.empty()) {
    PR_ASSIGN_OR_RETURN(const std::vector<DeadLetterGroup> groups, GroupDeadLetters(choice.filter));
    for (const DeadLetterGroup& group : groups) count += group.count - (spent ? 0 : group.spent);
    return count;
  }
  PgParams params;
  params.Add(choice.filter.tenant_id.uuid);
  AddColumn(params, choice.ids, [](auto& to, InboxId id) { AppendUuid(to, id.uuid); });
  PR_RETURN_IF_ERROR(pool_.Read("count_dead_letters", [&](PgTransaction& transaction) {
    count = transaction.Run(kCountByIds, params).Int(0, 0);
    return absl::OkStatus();
  }));
  return count;
}

absl::StatusOr<DeadLetter> PgStore::FindDeadLetter(TenantId tenant, InboxId id) {
  DeadLetter letter;
  PgParams params;
  params.Add(tenant.uuid).Add(id.uuid);
  PR_RETURN_IF_ERROR(
      pool_.Read("find_dead_letter", [&](PgTransaction& transaction) -> absl::Status {
        const PgRows rows = transaction.Run(kFind, params);
        if (rows.size() == 0 || !IsDead(rows.Int(0, 8)))
          return absl::NotFoundError("no such dead letter");
        letter = ReadLetter(tenant, rows, 0);
        letter.row.body = rows.Bytes(0, 7);
        return absl::OkStatus();
      }));
  return letter;
}

absl::StatusOr<DeadLetterChange> PgStore::ReplayDeadLetters(const DeadLetterChoice& choice,
                                                            std::chrono::microseconds apart,
                                                            const OperatorAction& action) {
  DeadLetterChange change;
  const TenantId tenant = choice.filter.tenant_id;
  PR_RETURN_IF_ERROR(pool_.Transact("replay_dead_letters", [&](PgTransaction& transaction) {
    const std::vector<InboxId> ids = Choose(transaction, choice, kMostReplays);
    change = ChangeOf(choice, ids);
    if (ids.empty()) return absl::OkStatus();
    Mark(transaction, tenant, ids, LetterState::kReplayed, action);
    PgParams params = KeysOf(tenant, ids);
    transaction.Run(kReopen, params);
    params.Add(std::int64_t{apart.count()});
    transaction.Run(kParkAgain, params);
    RecordAction(transaction, tenant, action, "REPLAY_DEAD_LETTERS", LettersText(choice, ids));
    return absl::OkStatus();
  }));
  return change;
}

absl::StatusOr<DeadLetterChange> PgStore::DiscardDeadLetters(const DeadLetterChoice& choice,
                                                             const OperatorAction& action) {
  DeadLetterChange change;
  const TenantId tenant = choice.filter.tenant_id;
  PR_RETURN_IF_ERROR(pool_.Transact("discard_dead_letters", [&](PgTransaction& transaction) {
    const std::vector<InboxId> ids =
        Choose(transaction, choice, std::numeric_limits<std::int32_t>::max());
    change = ChangeOf(choice, ids);
    if (ids.empty()) return absl::OkStatus();
    Mark(transaction, tenant, ids, LetterState::kDiscarded, action);
    RecordAction(transaction, tenant, action, "DISCARD_DEAD_LETTERS", LettersText(choice, ids));
    return absl::OkStatus();
  }));
  return change;
}

std::vector<Query> DeadLetterQueries() {
  return {kList, kGroup, kFind, kChoose, kChooseByIds, kCountByIds, kMark, kReopen, kParkAgain};
}

}  // namespace postrider
