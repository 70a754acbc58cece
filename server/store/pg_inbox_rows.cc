#include "server/store/pg_inbox_rows.h"

#include <vector>

#include "server/base/strings.h"
#include "server/store/pg_message_rows.h"
#include "server/store/pg_queries.h"

namespace postrider {

namespace {

constexpr Query kAppend{"inbox_append",
                        "INSERT INTO webhook_inbox (tenant_id, inbox_id, profile, body) "
                        "SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) "
                        "ORDER BY 1, 2 ON CONFLICT DO NOTHING"};

// Found as intend_take_from_queue finds its rows.
constexpr Query kComplete{"receipts_complete", R"(
WITH unparked AS (
  DELETE FROM receipt_parked p WHERE p.ctid = ANY(ARRAY(
    SELECT k.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r(tenant_id, inbox_id), LATERAL (
      SELECT k.ctid FROM receipt_parked k WHERE k.tenant_id = r.tenant_id
      AND k.inbox_id >= r.inbox_id AND k.inbox_id <= r.inbox_id ORDER BY k.inbox_id LIMIT 1) k)))
INSERT INTO receipt_applied (tenant_id, inbox_id, verdict, message_id, dedupe_key)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::bytea[])
ORDER BY 1, 2 ON CONFLICT DO NOTHING)"};

// One that was replayed and fails again is dead again.
constexpr Query kBury{
    "receipts_bury",
    "INSERT INTO dead_letter (tenant_id, dead_letter_id, reason, detail, source, body) "
    "SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[]) "
    "ORDER BY 1, 2 ON CONFLICT (tenant_id, dead_letter_id) DO UPDATE SET reason = excluded.reason, "
    "detail = excluded.detail, at = now(), state = 1 WHERE dead_letter.state = 2"};

template <typename Ends>
void AddRowIds(PgParams& params, const Ends& ends) {
  AddColumn(params, ends, [](auto& to, const auto& e) { AppendUuid(to, e.row->tenant_id.uuid); });
  AddColumn(params, ends, [](auto& to, const auto& e) { AppendUuid(to, e.row->inbox_id.uuid); });
}

void Bury(PgTransaction& transaction, std::span<const InboxEnd> ends) {
  std::vector<InboxEnd> dead;
  for (const InboxEnd& end : ends) {
    if (end.verdict == InboxVerdict::kDeadLetter) dead.push_back(end);
  }
  if (dead.empty()) return;
  PgParams params;
  AddRowIds(params, dead);
  AddColumn(params, dead, [](auto& to, const auto& e) { AppendText(to, e.reason); });
  AddColumn(params, dead, [](auto& to, const auto& e) { AppendText(to, e.detail); });
  AddColumn(params, dead, [](auto& to, const auto& e) { AppendText(to, e.row->profile); });
  AddColumn(params, dead, [](auto& to, const auto& e) { AppendBytes(to, e.row->body); });
  transaction.Run(kBury, params);
}

}  // namespace

void AppendInboxRows(PgTransaction& transaction, std::span<const InboxRow> rows) {
  PgParams params;
  AddColumn(params, rows, [](auto& to, const auto& r) { AppendUuid(to, r.tenant_id.uuid); });
  AddColumn(params, rows, [](auto& to, const auto& r) { AppendUuid(to, r.inbox_id.uuid); });
  AddColumn(params, rows, [](auto& to, const auto& r) { AppendText(to, r.profile); });
  AddColumn(params, rows, [](auto& to, const auto& r) { AppendBytes(to, r.body); });
  transaction.Run(kAppend, params);
}

void EndInboxRows(PgTransaction& transaction, std::span<const InboxEnd> ends) {
  if (ends.empty()) return;
  Bury(transaction, ends);
  PgParams params;
  AddRowIds(params, ends);
  AddColumn(params, ends,
            [](auto& to, const auto& e) { StrAppend(to, static_cast<int>(e.verdict)); });
  AddColumn(params, ends, [](auto& to, const auto& e) {
    if (e.message_id.IsNil()) {
      to += "NULL";
    } else {
      AppendUuid(to, e.message_id.uuid);
    }
  });
  AddColumn(params, ends, [](auto& to, const auto& e) { AppendBytes(to, e.dedupe_key); });
  transaction.Run(kComplete, params);
}

std::vector<Query> InboxRowQueries() { return {kAppend, kComplete, kBury}; }

}  // namespace postrider
