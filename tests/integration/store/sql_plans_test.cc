// Every named statement goes by key, whatever the tables held when its plan was made.
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/store/pg_queries.h"
#include "tests/integration/store/pg_fixture.h"

namespace postrider {
namespace {

/// Tables that grow with traffic. A scan of one without an Index Cond is a fault.
const std::set<std::string> kBigTables = {"message",
                                          "dispatch_queue",
                                          "status_event",
                                          "request_key",
                                          "conversation",
                                          "attempt",
                                          "webhook_inbox",
                                          "receipt_applied",
                                          "receipt_parked",
                                          "dead_letter",
                                          "suppression",
                                          "reconcile_queue",
                                          "tick",
                                          "queue_depth",
                                          "quota_used",
                                          "breaker_count",
                                          "inbound_message",
                                          "erasure_waiting",
                                          "consent_event",
                                          "opt_out_queue",
                                          "send_count",
                                          "refusal",
                                          "operator_action",
                                          "chain_link",
                                          "chain_seal",
                                          "content_rejection",
                                          "content_cluster",
                                          "content_approval",
                                          "contact_merge"};

/// A look-up and its key: the columns that an index begins with, all in the Index Cond.
struct Wanted {
  const char* query;
  const char* table;
  std::vector<const char*> columns;
};

const std::vector<const char*> kMessageKey = {"tenant_id", "message_id"};

const std::vector<const char*> kInboxKey = {"tenant_id", "inbox_id"};

const Wanted kWanted[] = {
    {"accept_take_keys", "suppression", {"tenant_id", "recipient_key"}},
    {"accept_take_keys", "queue_depth", {"tenant_id"}},
    {"accept_take_keys", "conversation", {"tenant_id"}},
    {"accept_take_keys", "contact_merge", {"tenant_id", "contact_key"}},
    {"conversations_find_of_number", "conversation", {"tenant_id", "recipient_key", "sender_id"}},
    {"conversations_merged_into", "conversation", {"tenant_id", "merged_into"}},
    {"contacts_survivor", "contact_merge", {"tenant_id", "contact_key"}},
    {"contacts_conversations", "conversation", {"tenant_id"}},
    {"answer_opt_outs", "inbound_message", {"tenant_id", "inbound_id"}},
    {"answer_opt_outs", "suppression", {"tenant_id", "recipient_key"}},
    {"suppressions_list", "suppression", {"tenant_id"}},
    {"suppressions_list_of_recipient", "suppression", {"tenant_id", "recipient_key"}},
    {"forget_refusals", "refusal", {"tenant_id", "last_at"}},
    {"verdicts_find",
     "content_approval",
     {"tenant_id", "campaign_id", "campaign_version", "fingerprint"}},
    {"forget_verdicts", "content_approval", {"expires_at"}},
    {"forget_content_rejections", "content_rejection", kMessageKey},
    {"forget_content_clusters", "content_cluster", {"tenant_id", "cluster_id"}},
    {"content_keep_rejections", "message", kMessageKey},
    {"content_next", "content_rejection", {"slot"}},
    {"content_last_cluster", "content_cluster", {"tenant_id", "campaign_id"}},
    {"content_answered", "content_rejection", {"tenant_id", "campaign_id", "rejected_at"}},
    {"content_answered", "message", {"tenant_id", "campaign_id", "message_id"}},
    {"content_answered", "attempt", {"tenant_id", "message_id", "attempt"}},
    {"content_answered_of_none", "content_rejection", {"tenant_id", "campaign_id", "rejected_at"}},
    {"content_answered_of_none", "message", kMessageKey},
    {"content_answered_of_none", "attempt", {"tenant_id", "message_id", "attempt"}},
    {"content_mark_judged", "content_rejection", kMessageKey},
    {"content_mark_cluster", "content_rejection", kMessageKey},
    {"accept_take_keys", "request_key", {"tenant_id", "request_id"}},
    {"read_quotas", "quota_used", {"tenant_id", "day", "subject"}},
    {"forget_quotas", "quota_used", {"day"}},
    {"accept_make_messages", "request_key", {"tenant_id", "request_id"}},
    {"accept_make_messages", "message", kMessageKey},
    {"lock_messages", "message", kMessageKey},
    {"end_queued_again", "message", kMessageKey},
    {"write_changes", "message", kMessageKey},
    {"get_message", "message", kMessageKey},
    {"find_request", "request_key", {"tenant_id", "request_id"}},
    {"message_history", "status_event", kMessageKey},
    {"message_attempts", "attempt", kMessageKey},
    {"cancel_take_from_queue", "dispatch_queue", kMessageKey},
    {"flows_with_work", "dispatch_queue", {"slot"}},
    {"choose_due",
     "dispatch_queue",
     {"slot", "tenant_id", "priority", "campaign_id", "sender_id", "due_at"}},
    {"intend_take_from_queue", "dispatch_queue", kMessageKey},
    {"intend_take_from_queue", "suppression", {"tenant_id", "recipient_key"}},
    {"expire_end", "dispatch_queue", {"slot", "expire_at"}},
    {"restore_next_queued", "dispatch_queue", kMessageKey},
    {"restore_take_from_queue", "dispatch_queue", kMessageKey},
    {"expire_end", "message", kMessageKey},
    {"control_tenants", "dispatch_queue", {"slot", "tenant_id"}},
    {"control_slots", "attempt", {"slot"}},
    {"place_queue_row", "dispatch_queue", kMessageKey},
    {"place_ahead_in_flow",
     "dispatch_queue",
     {"slot", "tenant_id", "priority", "campaign_id", "sender_id", "due_at"}},
    {"place_ahead_elsewhere", "dispatch_queue", {"slot", "tenant_id"}},
    {"open_attempts", "attempt", {"slot"}},
    {"close_attempts_unknown", "attempt", {"tenant_id", "message_id", "attempt"}},
    {"record_close_attempts", "attempt", kMessageKey},
    {"add_to_queue", "message", kMessageKey},
    {"add_to_queue", "suppression", {"tenant_id", "recipient_key"}},
    {"receipts_find_by_provider_id", "attempt", {"tenant_id", "provider_message_id"}},
    {"receipts_seen", "receipt_applied", {"message_id", "dedupe_key"}},
    {"receipts_complete", "receipt_parked", {"tenant_id", "inbox_id"}},
    {"receipts_park", "receipt_applied", {"tenant_id", "inbox_id"}},
    {"receipts_parked_too_long", "receipt_parked", {"tenant_id", "inbox_id"}},
    {"inbound_make_conversations", "conversation", {"tenant_id", "recipient_key", "sender_id"}},
    {"inbound_record", "conversation", {"tenant_id"}},
    {"inbound_record", "message", {"tenant_id", "conversation_id"}},
    {"consent_enforce", "consent_event", {"tenant_id", "recipient_key", "sender_id"}},
    {"consent_enforce", "suppression", {"tenant_id", "recipient_key", "sender_id"}},
    {"consent_enforce", "opt_out_queue", {"tenant_id", "recipient_key", "sender_id"}},
    {"consent_history", "consent_event", {"tenant_id", "recipient_key"}},
    {"consent_recipients", "message", kMessageKey},
    {"suppressions_of_a_recipient", "suppression", {"tenant_id", "recipient_key"}},
    {"opt_out_next", "opt_out_queue", {"slot", "look_at"}},
    {"opt_out_end", "dispatch_queue", {"tenant_id", "recipient_key"}},
    {"opt_out_end", "message", kMessageKey},
    {"opt_out_settle", "opt_out_queue", {"tenant_id", "recipient_key", "sender_id"}},
    {"mark_left_before_opt_out", "attempt", {"tenant_id", "message_id", "attempt"}},
    {"mark_left_before_opt_out", "suppression", {"tenant_id", "recipient_key"}},
    {"store_facts", "receipt_parked", {"tenant_id"}},
    {"account_stretches", "webhook_inbox", {"tenant_id", "inbox_id"}},
    {"account_stretches", "receipt_applied", {"tenant_id", "inbox_id"}},
    {"account_stretches", "receipt_parked", {"tenant_id", "inbox_id"}},
    {"account_open", "webhook_inbox", {"tenant_id", "inbox_id"}},
    {"account_open", "receipt_applied", {"tenant_id", "inbox_id"}},
    {"account_open", "receipt_parked", {"tenant_id", "inbox_id"}},
    {"account_open", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"account_still_open", "webhook_inbox", {"tenant_id", "inbox_id"}},
    {"account_still_open", "receipt_applied", {"tenant_id", "inbox_id"}},
    {"account_still_open", "receipt_parked", {"tenant_id", "inbox_id"}},
    {"account_still_open", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"store_facts", "dead_letter", {"tenant_id", "state"}},
    {"dead_letters_list", "dead_letter", {"tenant_id", "state"}},
    {"dead_letters_group", "dead_letter", {"tenant_id", "state"}},
    {"dead_letters_find", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"dead_letters_choose", "dead_letter", {"tenant_id", "state"}},
    {"dead_letters_lock", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"dead_letters_count_by_ids", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"dead_letters_mark", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"dead_letters_reopen", "receipt_applied", {"tenant_id", "inbox_id"}},
    {"dead_letters_park", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"dead_sends_settle", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"remove_from_reconcile", "reconcile_queue", kMessageKey},
    {"windows_old", "reconcile_queue", {"slot", "since"}},
    {"doubt_take", "reconcile_queue", {"slot", "kind", "next_read_at"}},
    {"doubt_messages", "message", kMessageKey},
    {"doubt_messages", "attempt", kMessageKey},
    {"doubt_rows", "reconcile_queue", kMessageKey},
    {"doubt_put_off", "reconcile_queue", kMessageKey},
    {"doubt_assigned", "attempt", {"tenant_id", "provider_message_id"}},
    {"windows_move", "reconcile_queue", kMessageKey},
    {"quiet_pass", "message", kMessageKey},
    {"release_idle_slots", "attempt", {"slot"}},
    {"other_attempts", "attempt", kMessageKey},
    {"write_hidden_attempts", "attempt", {"tenant_id", "message_id", "attempt"}},
    {"name_attempts", "attempt", {"tenant_id", "message_id", "attempt"}},
    {"inbox_sweep", "webhook_inbox", {"tenant_id", "inbox_id"}},
    {"inbox_sweep", "receipt_applied", {"tenant_id", "inbox_id"}},
    {"inbox_sweep", "receipt_parked", {"tenant_id", "inbox_id"}},
    {"breakers_of_tenants", "breaker_count", {"tenant_id", "breaker", "bucket"}},
    {"canary_statuses", "message", kMessageKey},
    {"forget_breaker_counts", "breaker_count", {"tenant_id", "breaker", "bucket"}},
    {"range_waits", "dispatch_queue", kMessageKey},
    {"range_waits", "reconcile_queue", kMessageKey},
    {"range_waits", "attempt", {"slot"}},
    {"inbox_has", "webhook_inbox", kInboxKey},
    {"newest_event", "status_event", {"slot", "xid"}},
    {"forget_messages", "message", kMessageKey},
    {"forget_attempts", "attempt", kMessageKey},
    {"forget_attempts", "message", kMessageKey},
    {"forget_events", "status_event", kMessageKey},
    {"forget_inbound", "inbound_message", {"tenant_id", "inbound_id"}},
    {"forget_dead_letters", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"forget_dead_letters", "receipt_parked", kInboxKey},
    {"forget_webhooks", "webhook_inbox", kInboxKey},
    {"forget_webhooks", "receipt_applied", kInboxKey},
    {"forget_applied", "receipt_applied", kInboxKey},
    {"forget_send_counts", "send_count", {"tenant_id", "day"}},
    {"erasure_pass_messages", "message", kMessageKey},
    {"erasure_pass_inbound", "inbound_message", {"tenant_id", "inbound_id"}},
    {"erasure_pass_webhooks", "webhook_inbox", kInboxKey},
    {"erasure_pass_letters", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"erasure_look_messages", "message", kMessageKey},
    {"erasure_look_webhooks", "webhook_inbox", kInboxKey},
    {"erasure_look_webhooks", "receipt_applied", kInboxKey},
    {"erasure_look_letters", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"erasure_look_letters", "receipt_parked", kInboxKey},
    {"erase_texts", "message", kMessageKey},
    {"erase_numbers", "message", kMessageKey},
    {"erase_inbound_texts", "inbound_message", {"tenant_id", "inbound_id"}},
    {"erase_webhooks", "webhook_inbox", kInboxKey},
    {"erase_dead_letters", "dead_letter", {"tenant_id", "dead_letter_id"}},
    {"erasure_due", "erasure_waiting", {"kind", "next_try_at"}},
    {"erasure_waited_for", "erasure_waiting", {"tenant_id", "kind", "id"}},
    {"conversations_find", "conversation", {"tenant_id", "conversation_id"}},
    {"conversations_find_of_contact", "conversation", {"tenant_id", "contact_key", "sender_id"}},
    {"conversations_list", "conversation", {"tenant_id", "conversation_id"}},
    {"conversations_list_of_recipient",
     "conversation",
     {"tenant_id", "recipient_key", "sender_id"}},
    {"conversations_list_of_contact", "conversation", {"tenant_id", "contact_key", "sender_id"}},
    {"timeline_sent", "message", {"tenant_id", "conversation_id", "message_id"}},
    {"timeline_received", "inbound_message", {"tenant_id", "conversation_id", "inbound_id"}},
    {"find_tick", "tick", {"tick_no"}},
    {"ticks_gone", "tick", {"tick_no"}},
    {"chain_seal_up_to", "tick", {"tick_no"}},
    {"chain_move_position", "tick", {"tick_no"}},
    {"chain_make_links", "status_event", {"slot", "xid"}},
    {"chain_make_links", "consent_event", {"xid"}},
    {"chain_make_links", "operator_action", {"xid"}},
    {"chain_make_links", "chain_head", {"tenant_id"}},
    {"chain_link_begin", "chain_link", {"tenant_id"}},
    {"chain_next_before", "status_event", {"slot", "xid"}},
    {"chain_next_before", "consent_event", {"xid"}},
    {"chain_next_before", "operator_action", {"xid"}},
    {"chain_put_begin", "status_event", {"slot"}},
    {"chain_seal_faults", "chain_seal", {"seal_no"}},
    {"chain_seal_faults", "chain_link", {"seal_no"}},
    {"chain_check_all", "status_event", {"slot", "xid"}},
    {"chain_check_all", "chain_seal", {"seal_no"}},
    {"chain_link_of_hash", "chain_link", {"tenant_id"}},
    {"forget_request_keys", "request_key", {"created_at"}},
    {"events_between", "status_event", {"slot", "xid"}},
    {"events_between", "tick", {"tick_no"}},
    {"current_states_by_id", "message", kMessageKey},
    {"current_states_by_id", "status_event", {"tenant_id", "message_id", "revision"}},
    {"current_states_by_conversation", "message", {"tenant_id", "conversation_id", "message_id"}},
    {"current_states_by_contact", "conversation", {"tenant_id", "contact_key"}},
    {"current_states_by_contact", "message", {"tenant_id", "conversation_id", "message_id"}},
    {"current_states_by_campaign", "message", {"tenant_id", "campaign_id", "message_id"}},
    {"current_states_of_tenant", "message", kMessageKey},
};

/// A scan of a table in a plan, and what it is looked up by.
struct Scan {
  std::string table;  ///< Without the partition's suffix.
  std::string kind;   ///< "Seq Scan", "Index Scan" ...
  std::string index;
  std::string index_cond;
};

std::string TableOf(std::string relation) {
  const std::size_t end = relation.find_last_not_of("0123456789");
  relation.resize(end + 1);
  constexpr std::string_view kDefault = "_default";
  if (relation.ends_with(kDefault)) relation.resize(relation.size() - kDefault.size());
  return relation;
}

/// The scans of a plan in EXPLAIN's text.
std::vector<Scan> ScansOf(const PgRows& lines) {
  std::vector<Scan> scans;
  for (int row = 0; row < lines.size(); ++row) {
    const std::string line(lines.Text(row, 0));
    const std::size_t scan = line.find("Scan");
    const std::size_t on = line.find(" on ");
    const std::size_t cond = line.find("Index Cond: ");
    const auto word_after = [&](std::string_view mark) {
      const std::size_t at = line.find(mark);
      if (at == std::string::npos) return std::string();
      std::istringstream words(line.substr(at + mark.size()));
      std::string word;
      words >> word;
      return word;
    };
    if (cond != std::string::npos && !scans.empty()) {
      scans.back().index_cond += line.substr(cond + 12);
    } else if (line.find("Bitmap Index Scan") != std::string::npos) {
      scans.back().index = word_after(" on ");  // of the heap scan above it
    } else if (scan != std::string::npos && on != std::string::npos) {
      const std::size_t begin = line.find_first_not_of(" ->");
      scans.push_back({TableOf(word_after(" on ")), line.substr(begin, scan + 4 - begin),
                       word_after(" using "), ""});
    }
  }
  return scans;
}

/// Literals for a statement's parameters: present, so that partitions are not all pruned.
std::string ArgumentsOf(PgTransaction& transaction, const std::string& name) {
  const PgRows types = transaction.RunOnce(
      StrCat("SELECT unnest(parameter_types)::text FROM pg_prepared_statements WHERE name = '",
             name, "'"));
  std::string arguments;
  for (int row = 0; row < types.size(); ++row) {
    const std::string_view type = types.Text(row, 0);
    arguments += row == 0 ? "(" : ", ";
    if (type.ends_with("[]")) {
      arguments += "'{}'";
    } else if (type == "uuid") {
      arguments += "'0190a000-0000-7000-8000-000000000001'";
    } else if (type == "boolean") {
      arguments += "true";
    } else {
      arguments += type == "bytea" ? "''" : "'1'";
    }
  }
  return arguments.empty() ? "" : arguments + ")";
}

/// The scans of every statement, planned by a session of the store.
std::map<std::string, std::vector<Scan>> AllScans(PgFixture& pg) {
  std::map<std::string, std::vector<Scan>> scans;
  PgPool pool(pg.clock, pg.random, {.conninfo = pg.database.url(), .max_sessions = 1});
  const absl::Status explained = pool.Transact("explain", [&](PgTransaction& transaction) {
    for (const Query& query : AllQueries()) {
      transaction.RunOnce(StrCat("PREPARE ", query.name, " AS ", query.sql));
      const PgRows plan = transaction.RunOnce(
          StrCat("EXPLAIN (COSTS OFF) EXECUTE ", query.name, ArgumentsOf(transaction, query.name)));
      scans[query.name] = ScansOf(plan);
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(explained.ok()) << explained;
  return scans;
}

/// The first `count` columns of an index.
std::set<std::string> FirstColumns(SqlSession& sql, const std::string& index, std::size_t count) {
  std::set<std::string> columns;
  for (const auto& row : sql.Run(StrCat("SELECT attname FROM pg_attribute WHERE attrelid = '",
                                        index, "'::regclass AND attnum <= ", count))) {
    columns.insert(row[0]);
  }
  return columns;
}

void ExpectByKey(PgFixture& pg) {
  const std::map<std::string, std::vector<Scan>> all = AllScans(pg);
  for (const auto& [query, scans] : all) {
    for (const Scan& scan : scans) {
      if (!kBigTables.contains(scan.table) || scan.kind == "Tid Scan") continue;
      const bool newest_or_oldest = scan.table == "tick" && scan.kind.starts_with("Index");
      EXPECT_TRUE(newest_or_oldest || !scan.index_cond.empty())
          << query << ": " << scan.kind << " of " << scan.table << " without a condition";
    }
  }
  for (const Wanted& wanted : kWanted) {
    const auto found = all.find(wanted.query);
    ASSERT_NE(found, all.end()) << "no such query: " << wanted.query;
    int scans_of_it = 0;
    for (const Scan& scan : found->second) {
      if (scan.table != wanted.table || scan.kind == "Tid Scan") continue;
      ++scans_of_it;
      const auto key = FirstColumns(pg.sql, scan.index, wanted.columns.size());
      for (const char* column : wanted.columns) {
        EXPECT_TRUE(key.contains(column))
            << wanted.query << ": " << scan.index << " does not begin with the key";
        EXPECT_NE(scan.index_cond.find(column), std::string::npos)
            << wanted.query << ": " << column << " of " << scan.table << " is not in "
            << scan.index_cond;
      }
    }
    EXPECT_GT(scans_of_it, 0) << wanted.query << " does not look at " << wanted.table;
  }
}

/// 40,000 messages of eight tenants, a quarter still queued, with all that belongs to them.
constexpr const char* kFill = R"(
CREATE TEMPORARY TABLE made AS
SELECT ('00000000-0000-4000-8000-00000000000' || n % 8)::uuid AS tenant_id, n % 8 AS slot, n,
  ('0190a000-' || lpad(to_hex(n), 4, '0') || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id,
  ('10000000-0000-4000-8000-' || lpad(to_hex(n / 16 * 8 + n % 8), 12, '0'))::uuid AS conversation_id,
  convert_to('+1555' || n / 16 * 8 + n % 8, 'UTF8') AS recipient_key,
  sha256(int4send(n)) AS hash
FROM generate_series(1, 40000) n ;
INSERT INTO message (tenant_id, message_id, slot, request_id, conversation_id, external_contact_id,
  campaign_id, sender_id, sender, recipient, recipient_key, body, metadata, priority,
  duplicate_policy, time_zone, state, revision, attempt, final, failure, provider_code,
  correlation_id, receipt_hash, hold_reason)
SELECT tenant_id, id, slot, 'request-' || n, conversation_id, '', CASE WHEN n % 3 = 0 THEN 'c' || n % 40 ELSE '' END,
  tenant_id, '+1555', '+1555', recipient_key, 'text', '{}', 2, 1, '', 1, 1, 1, false, 0, '', '', '', 0 FROM made;
INSERT INTO request_key SELECT tenant_id, 'request-' || n, id, hash FROM made;
INSERT INTO conversation SELECT DISTINCT ON (conversation_id) tenant_id, conversation_id, 'n:' || n, tenant_id, recipient_key FROM made;
INSERT INTO contact_merge SELECT tenant_id, 'x:merged-' || n, 'x:into-' || n / 10, id FROM made WHERE n % 4 = 0;
INSERT INTO dispatch_queue SELECT tenant_id, id, slot, 2, '', tenant_id, recipient_key, now(), CASE WHEN n % 8 = 0 THEN now() END FROM made WHERE n % 4 = 0;
INSERT INTO attempt (tenant_id, message_id, attempt, slot, epoch, replica_id, outcome, provider_message_id)
SELECT tenant_id, id, 1, slot, 1, tenant_id, CASE WHEN n % 400 > 0 THEN 1 END, 'p' || n FROM made WHERE n % 4 > 0;
INSERT INTO status_event (slot, tenant_id, message_id, revision, previous, state, cause, attempt, final,
  conversation_id, external_contact_id, campaign_id)
SELECT slot, tenant_id, id, r, 1, 1, 1, 1, false, conversation_id, '', '' FROM made, generate_series(1, 3) r;
INSERT INTO webhook_inbox (tenant_id, inbox_id, profile, body) SELECT tenant_id, id, 'guide', hash FROM made;
INSERT INTO receipt_applied (tenant_id, inbox_id, verdict, message_id, dedupe_key) SELECT tenant_id, id, 1, id, hash FROM made;
INSERT INTO receipt_parked (tenant_id, inbox_id, profile, body) SELECT tenant_id, id, 'guide', hash FROM made WHERE n % 10 = 0;
INSERT INTO dead_letter SELECT tenant_id, id, 'ORPHAN', '', 'guide', hash FROM made WHERE n % 10 = 0;
INSERT INTO inbound_message (tenant_id, inbound_id, conversation_id, sender_id, recipient, recipient_key, body,
  keyword, provider_message_id, provider_conversation_id, dedupe_key)
SELECT tenant_id, id, conversation_id, tenant_id, '+1555', recipient_key, 'text', 0, 'i' || n, '', hash FROM made WHERE n % 4 = 0;
INSERT INTO suppression SELECT DISTINCT ON (recipient_key, tenant_id) tenant_id, recipient_key, tenant_id FROM made;
INSERT INTO consent_event (tenant_id, consent_id, recipient_key, sender_id, recipient, change, source,
  evidence, actor, reason, said_at)
SELECT tenant_id, id, recipient_key, tenant_id, '+1555', 1 + n % 2, 1, '', '', '', now() - n * interval '1 s' FROM made;
INSERT INTO opt_out_queue SELECT tenant_id, recipient_key, sender_id, 0 FROM suppression;
INSERT INTO reconcile_queue SELECT tenant_id, id, slot FROM made WHERE n % 10 = 0;
INSERT INTO queue_depth SELECT tenant_id, n % 50, 100 FROM made WHERE n <= 400 ON CONFLICT DO NOTHING;
INSERT INTO quota_used SELECT tenant_id, current_date - n % 35, hash, 1 FROM made;
INSERT INTO send_count (tenant_id, day, campaign_id, state, writer, messages)
SELECT tenant_id, current_date - n % 500, 'c' || n % 40, 0, n % 8, 1 FROM made ON CONFLICT DO NOTHING;
INSERT INTO refusal SELECT tenant_id, 'refused-' || n, 'CONTENT_NOT_APPROVED', 1, now() - n * interval '1 s',
  now() - n * interval '1 s', '+*55', '+1555', 'c' || n % 40, 'link' FROM made WHERE n % 4 = 0;
INSERT INTO content_approval SELECT tenant_id, 'c' || n % 40, sha256('v'), hash, true, '{}', now() - interval '1 day',
  now() + (20000 - n) * interval '1 s' FROM made WHERE n % 4 = 0;
INSERT INTO tick SELECT 1 + n, pg_current_snapshot(), id FROM made;
INSERT INTO operator_action SELECT tenant_id, id, '', 'PAUSE', '', '', now() FROM made WHERE n % 4 = 0;
INSERT INTO chain_seal SELECT n, pg_current_snapshot(), pg_current_snapshot() FROM made;
INSERT INTO chain_link SELECT tenant_id, n, n, 1, 3, now(), now(), hash, hash, hash, hash FROM made;
INSERT INTO chain_head SELECT DISTINCT ON (tenant_id) tenant_id, n, hash FROM made ORDER BY tenant_id, n DESC;
ANALYZE)";

TEST(SqlPlansTest, EveryStatementGoesByKeyWhenThePlanWasMadeOnEmptyTables) {
  PgFixture pg;
  ExpectByKey(pg);
}

TEST(SqlPlansTest, EveryStatementGoesByKeyWhenThePlanWasMadeOnFullTables) {
  PgFixture pg;
  pg.sql.Run(kFill);
  ExpectByKey(pg);
}

/// The planner remembers queues as VACUUM last saw them, and keeps its plans.
TEST(SqlPlansTest, EveryStatementGoesByKeyWhenThePlanWasMadeAfterTheQueuesRanEmpty) {
  PgFixture pg;
  pg.sql.Run(kFill);
  for (const char* queue : {"dispatch_queue", "reconcile_queue", "receipt_parked"}) {
    pg.sql.Run(StrCat("DELETE FROM ", queue));
    pg.sql.Run(StrCat("VACUUM ANALYZE ", queue));
  }
  ExpectByKey(pg);
}

TEST(SqlPlansTest, EveryStatementHasANameOfItsOwn) {
  std::set<std::string> names;
  for (const Query& query : AllQueries()) {
    EXPECT_TRUE(names.insert(query.name).second) << query.name;
  }
  EXPECT_GT(names.size(), 40U);
}

}  // namespace
}  // namespace postrider
