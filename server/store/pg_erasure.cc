// Texts and numbers that their tenants want kept for a shorter time than their messages.
#include <algorithm>
#include <map>

#include "server/base/status_macros.h"
#include "server/model/limits.h"
#include "server/model/retention_limits.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_partitions.h"
#include "server/store/pg_queries.h"
#include "server/store/pg_store.h"

namespace postrider {

namespace {

// The cursors of tenants that want something of this kind erased, and after how many days. least()
// takes no notice of NULL.
constexpr Query kErasureCursors{"erasure_cursors", R"(
SELECT t.tenant_id, coalesce(c.passed, '00000000-0000-0000-0000-000000000000'), t.days, )" PR_US(
                                                       "now()") R"( FROM (
  SELECT t.tenant_id, CASE WHEN $1::smallint IN (1, 3) THEN t.keep_texts_days
    WHEN $1::smallint IN (2, 4) THEN t.keep_numbers_days
    ELSE least(t.keep_texts_days, t.keep_numbers_days) END AS days FROM tenant t) t
LEFT JOIN erasure_cursor c ON c.tenant_id = t.tenant_id AND c.kind = $1::smallint
WHERE t.days IS NOT NULL ORDER BY t.tenant_id)"};

constexpr Query kMoveErasureCursors{
    "erasure_move_cursors",
    "INSERT INTO erasure_cursor (tenant_id, kind, passed) SELECT r.tenant_id, $3::smallint, "
    "r.passed FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, passed) ORDER BY 1 "
    "ON CONFLICT (tenant_id, kind) DO UPDATE SET passed = excluded.passed"};

constexpr Query kErasureWait{
    "erasure_wait",
    "INSERT INTO erasure_waiting (tenant_id, kind, id) SELECT r.tenant_id, $3::smallint, r.id "
    "FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, id) ORDER BY 1, 3 "
    "ON CONFLICT (tenant_id, kind, id) DO UPDATE SET next_try_at = excluded.next_try_at"};

constexpr Query kErasureDue{
    "erasure_due",
    "SELECT w.tenant_id, w.id FROM erasure_waiting w WHERE w.kind = $1::smallint "
    "AND w.next_try_at <= now() ORDER BY w.kind, w.next_try_at LIMIT $2::integer"};

constexpr Query kErasureWaitedFor{
    "erasure_waited_for",
    "DELETE FROM erasure_waiting w WHERE w.ctid = ANY(ARRAY(SELECT k.ctid FROM "
    "unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, id), LATERAL (SELECT k.ctid "
    "FROM erasure_waiting k WHERE k.tenant_id = r.tenant_id AND k.kind = $3::smallint "
    "AND k.id >= r.id AND k.id <= r.id ORDER BY k.id LIMIT 1) k))"};

// As quiet_pass: each row once.
#define PR_PASS(table, id)                                                                 \
  "SELECT r.ord, x.id FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS " \
  "r(tenant_id, passed, before, ord), LATERAL (SELECT x." id " AS id FROM " table          \
  " x "                                                                                    \
  "WHERE x.tenant_id = r.tenant_id AND x." id " > r.passed AND x." id                      \
  " < r.before "                                                                           \
  "ORDER BY x.tenant_id, x." id " LIMIT $4::integer) x LIMIT $4::integer"

// As lock_messages: locks in the order of the keys.
#define PR_LOOK(table, id, at_rest)                                                            \
  "WITH r AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, id)) " \
  "SELECT x.tenant_id, x." id ", " at_rest " FROM r JOIN " table                               \
  " x "                                                                                        \
  "ON x.tenant_id = r.tenant_id AND x." id " = r.id ORDER BY 1, 2 FOR UPDATE OF x"

#define PR_ERASE(table, id, set)                                                               \
  "WITH r AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, id)) " \
  "UPDATE " table " x SET " set " FROM r WHERE x.tenant_id = r.tenant_id AND x." id " = r.id"

#define PR_APPLIED                                                         \
  "EXISTS (SELECT FROM receipt_applied a WHERE a.tenant_id = x.tenant_id " \
  "AND a.inbox_id = x.inbox_id OFFSET 0)"
#define PR_NOT_PARKED                                                         \
  "NOT EXISTS (SELECT FROM receipt_parked p WHERE p.tenant_id = x.tenant_id " \
  "AND p.inbox_id = x.dead_letter_id OFFSET 0)"

constexpr Query kPassMessages{"erasure_pass_messages", PR_PASS("message", "message_id")};
constexpr Query kPassInbound{"erasure_pass_inbound", PR_PASS("inbound_message", "inbound_id")};
constexpr Query kPassWebhooks{"erasure_pass_webhooks", PR_PASS("webhook_inbox", "inbox_id")};
constexpr Query kPassLetters{"erasure_pass_letters", PR_PASS("dead_letter", "dead_letter_id")};

// What may still be sent is not at rest: states up to 3, also under `final` after a replay.
constexpr Query kLookMessages{"erasure_look_messages",
                              PR_LOOK("message", "message_id", "x.final AND x.state > 3")};
constexpr Query kLookWebhooks{"erasure_look_webhooks",
                              PR_LOOK("webhook_inbox", "inbox_id", PR_APPLIED)};
constexpr Query kLookLetters{"erasure_look_letters",
                             PR_LOOK("dead_letter", "dead_letter_id", PR_NOT_PARKED)};

constexpr Query kEraseTexts{"erase_texts",
                            PR_ERASE("message", "message_id", "body = '', metadata = '{}'")};
constexpr Query kEraseNumbers{
    "erase_numbers", PR_ERASE("message", "message_id", "recipient = '', recipient_key = ''")};
// Found as receipts_complete finds its rows: the conversation's index begins with the tenant, too.
#define PR_ERASE_INBOUND(set)                                                        \
  "UPDATE inbound_message x SET " set                                                \
  " WHERE x.ctid = ANY(ARRAY(SELECT k.ctid FROM "                                    \
  "unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, id), LATERAL (SELECT k.ctid "      \
  "FROM inbound_message k WHERE k.tenant_id = r.tenant_id AND k.inbound_id >= r.id " \
  "AND k.inbound_id <= r.id ORDER BY k.inbound_id LIMIT 1) k))"

constexpr Query kEraseInboundTexts{"erase_inbound_texts", PR_ERASE_INBOUND("body = ''")};
constexpr Query kEraseInboundNumbers{"erase_inbound_numbers",
                                     PR_ERASE_INBOUND("recipient = '', recipient_key = ''")};
constexpr Query kEraseWebhooks{"erase_webhooks",
                               PR_ERASE("webhook_inbox", "inbox_id", "body = ''")};
constexpr Query kEraseLetters{
    "erase_dead_letters",
    PR_ERASE("dead_letter", "dead_letter_id",
             "body = '', state = CASE WHEN x.state = 1 THEN 3 ELSE x.state END")};

/// One kind of what is erased; its number is stored: never renumber.
struct Erasing {
  int kind;
  Query pass;
  const Query* look;  ///< Null: always at rest.
  Query erase;
  int ErasedRows::* count;
};
constexpr int kWebhooksKind = 5;
constexpr int kLettersKind = 6;
constexpr Erasing kErasings[] = {
    {1, kPassMessages, &kLookMessages, kEraseTexts, &ErasedRows::texts},
    {2, kPassMessages, &kLookMessages, kEraseNumbers, &ErasedRows::numbers},
    {3, kPassInbound, nullptr, kEraseInboundTexts, &ErasedRows::texts},
    {4, kPassInbound, nullptr, kEraseInboundNumbers, &ErasedRows::numbers},
    {kWebhooksKind, kPassWebhooks, &kLookWebhooks, kEraseWebhooks, &ErasedRows::webhooks},
    {kLettersKind, kPassLetters, &kLookLetters, kEraseLetters, &ErasedRows::webhooks}};

using RowKey = std::pair<TenantId, Uuid>;
using RowKeys = std::vector<RowKey>;

/// How far the rows of a tenant were passed, and up to where they are old enough.
struct ErasureCursor {
  TenantId tenant_id;
  Uuid passed;
  Uuid before;
  bool moved = false;
};

PgParams ParamsOf(const RowKeys& keys) {
  PgParams params;
  AddColumn(params, keys, [](auto& to, const RowKey& k) { AppendUuid(to, k.first.uuid); });
  AddColumn(params, keys, [](auto& to, const RowKey& k) { AppendUuid(to, k.second); });
  return params;
}

/// Erases those of `keys` that are at rest. Returns those that are not; what is gone is neither.
RowKeys Erase(PgTransaction& transaction, const Erasing& erasing, const RowKeys& keys,
              ErasedRows& erased) {
  RowKeys at_rest;
  RowKeys needed;
  if (keys.empty()) return needed;
  if (erasing.look == nullptr) {
    erased.*erasing.count += transaction.Run(erasing.erase, ParamsOf(keys)).affected();
    return needed;
  }
  const PgRows rows = transaction.Run(*erasing.look, ParamsOf(keys));
  for (int row = 0; row < rows.size(); ++row) {
    (rows.Bool(row, 2) ? at_rest : needed).push_back({{rows.UuidAt(row, 0)}, rows.UuidAt(row, 1)});
  }
  if (!at_rest.empty()) transaction.Run(erasing.erase, ParamsOf(at_rest));
  erased.*erasing.count += static_cast<int>(at_rest.size());
  return needed;
}

void Await(PgTransaction& transaction, const Erasing& erasing, const RowKeys& keys) {
  if (keys.empty()) return;
  transaction.Run(kErasureWait, ParamsOf(keys).Add(std::int64_t{erasing.kind}));
}

std::vector<ErasureCursor> ReadErasureCursors(PgTransaction& transaction, const Erasing& erasing,
                                              WallTime here) {
  std::vector<ErasureCursor> cursors;
  PgParams params;
  params.Add(std::int64_t{erasing.kind});
  const PgRows rows = transaction.Run(kErasureCursors, params);
  for (int row = 0; row < rows.size(); ++row) {
    // A clock that is ahead must not erase anything.
    const WallTime agreed = std::min(here, rows.Time(row, 3));
    cursors.push_back({{rows.UuidAt(row, 0)},
                       rows.UuidAt(row, 1),
                       LeastUuidV7(agreed - std::chrono::days(rows.Int(row, 2)))});
  }
  return cursors;
}

void MoveErasureCursors(PgTransaction& transaction, const Erasing& erasing,
                        const std::vector<ErasureCursor>& cursors) {
  RowKeys moved;
  for (const ErasureCursor& cursor : cursors) {
    if (cursor.moved) moved.emplace_back(cursor.tenant_id, cursor.passed);
  }
  if (moved.empty()) return;
  transaction.Run(kMoveErasureCursors, ParamsOf(moved).Add(std::int64_t{erasing.kind}));
}

/// What has come of age since. Returns how many were passed.
int EraseNext(PgTransaction& transaction, const Erasing& erasing,
              std::vector<ErasureCursor>& cursors, ErasedRows& erased) {
  PgParams params;
  using Cursor = const ErasureCursor&;
  AddColumn(params, cursors, [](auto& to, Cursor c) { AppendUuid(to, c.tenant_id.uuid); });
  AddColumn(params, cursors, [](auto& to, Cursor c) { AppendUuid(to, c.passed); });
  AddColumn(params, cursors, [](auto& to, Cursor c) { AppendUuid(to, c.before); });
  params.Add(std::int64_t{kErasedAtOnce});
  const PgRows rows = transaction.Run(erasing.pass, params);
  RowKeys keys;
  for (int row = 0; row < rows.size(); ++row) {
    ErasureCursor& cursor = cursors[static_cast<std::size_t>(rows.Int(row, 0) - 1)];
    cursor.passed = std::max(cursor.passed, rows.UuidAt(row, 1));
    cursor.moved = true;
    keys.emplace_back(cursor.tenant_id, rows.UuidAt(row, 1));
  }
  // Where nothing was found, now and then, as quiet messages' cursors.
  for (ErasureCursor& cursor : cursors) {
    const bool far_behind =
        cursor.passed < LeastUuidV7(TimeOfUuidV7(cursor.before) - kErasureCursorBehind);
    if (rows.size() == kErasedAtOnce || cursor.moved || !far_behind) continue;
    cursor.passed = cursor.before;
    cursor.moved = true;
  }
  Await(transaction, erasing, Erase(transaction, erasing, keys, erased));
  MoveErasureCursors(transaction, erasing, cursors);
  return rows.size();
}

/// What was needed when it came of age. Returns how many were looked at.
int EraseAwaited(PgTransaction& transaction, const Erasing& erasing,
                 const std::vector<ErasureCursor>& cursors, ErasedRows& erased) {
  std::map<TenantId, Uuid> before;
  for (const ErasureCursor& cursor : cursors) before[cursor.tenant_id] = cursor.before;
  PgParams params;
  params.Add(std::int64_t{erasing.kind}).Add(std::int64_t{kErasedAtOnce});
  const PgRows rows = transaction.Run(kErasureDue, params);
  RowKeys old;
  RowKeys later;
  for (int row = 0; row < rows.size(); ++row) {
    const RowKey key{{rows.UuidAt(row, 0)}, rows.UuidAt(row, 1)};
    // Its tenant may want it kept after all, or longer.
    const auto wanted = before.find(key.first);
    (wanted != before.end() && key.second < wanted->second ? old : later).push_back(key);
  }
  const RowKeys needed = Erase(transaction, erasing, old, erased);
  later.insert(later.end(), needed.begin(), needed.end());
  // One that ended as a dead letter did so behind the letters' cursor.
  if (erasing.kind == kWebhooksKind) {
    const Erasing& letters = kErasings[kLettersKind - 1];
    Await(transaction, letters, Erase(transaction, letters, old, erased));
  }
  if (!old.empty()) {
    transaction.Run(kErasureWaitedFor, ParamsOf(old).Add(std::int64_t{erasing.kind}));
  }
  Await(transaction, erasing, later);
  return rows.size();
}

}  // namespace

absl::StatusOr<ErasedRows> PgStore::EraseSome() {
  ErasedRows all;
  for (const Erasing& erasing : kErasings) {
    ErasedRows erased;
    PR_RETURN_IF_ERROR(pool_.Transact("erase_some", [&](PgTransaction& transaction) {
      erased = {};
      if (!TakeRetentionTurn(transaction)) return absl::OkStatus();
      std::vector<ErasureCursor> cursors = ReadErasureCursors(transaction, erasing, clock_.Wall());
      const int awaited = EraseAwaited(transaction, erasing, cursors, erased);
      const int passed = cursors.empty() ? 0 : EraseNext(transaction, erasing, cursors, erased);
      erased.has_more = std::max(awaited, passed) == kErasedAtOnce;
      return absl::OkStatus();
    }));
    all.texts += erased.texts;
    all.numbers += erased.numbers;
    all.webhooks += erased.webhooks;
    all.has_more = all.has_more || erased.has_more;
  }
  return all;
}

std::vector<Query> ErasureQueries() {
  std::vector<Query> queries = {kErasureCursors, kMoveErasureCursors, kErasureWait,
                                kErasureDue,     kErasureWaitedFor,   kPassMessages,
                                kPassInbound,    kPassWebhooks,       kPassLetters,
                                kLookMessages,   kLookWebhooks,       kLookLetters};
  for (const Erasing& erasing : kErasings) queries.push_back(erasing.erase);
  return queries;
}

}  // namespace postrider
