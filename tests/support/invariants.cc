#include "tests/support/invariants.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <tuple>

#include "absl/time/time.h"

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "tests/support/send_counts.h"

namespace postrider {

namespace {

/// Each row is one breach, told in its first column.
Breaches RowsOf(const Sql& sql, const std::string& statement) {
  Breaches breaches;
  for (const Sql::Row& row : sql.Ask(statement)) breaches.push_back(row[0]);
  return breaches;
}

std::set<StreamedChange> EventsOf(const Sql& sql) {
  std::set<StreamedChange> events;
  for (const Sql::Row& row : sql.Ask("SELECT message_id, revision, state FROM status_event")) {
    events.insert({row[0], std::stoi(row[1]), std::stoi(row[2])});
  }
  return events;
}

std::string TextOf(const StreamedChange& change) {
  return StrCat(change.message_id, " revision ", change.revision, " in state ", change.state);
}

}  // namespace

bool StreamedChange::operator<(const StreamedChange& other) const {
  return std::tie(message_id, revision, state) <
         std::tie(other.message_id, other.revision, other.state);
}

namespace {
WallTime TimeOf(const std::string& text) {
  absl::Time at;
  std::string why;
  PR_CHECK(absl::ParseTime(absl::RFC3339_full, text, &at, &why));
  return std::chrono::time_point_cast<WallTime::duration>(absl::ToChronoTime(at));
}
}  // namespace

std::vector<LedgerPost> ReadLedger(const std::string& file) {
  std::vector<LedgerPost> posts;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const absl::StatusOr<Json> json = ParseJson(line);
    if (!json.ok()) continue;
    posts.push_back({.message_id = json->GetString("message_id").value_or(""),
                     .attempt = static_cast<int>(json->GetInt("attempt").value_or(0)),
                     .processed = json->GetBool("processed").value_or(false),
                     .client_id = json->GetString("client_id").value_or(""),
                     .sender = json->GetString("sender").value_or(""),
                     .recipient = json->GetString("recipient").value_or(""),
                     .at = TimeOf(json->GetString("at").value_or(""))});
  }
  return posts;
}

std::vector<LedgerPost> WithMessageIds(const Sql& sql, std::vector<LedgerPost> ledger) {
  using Way = std::pair<std::string, std::string>;
  std::map<Way, std::vector<std::string>> messages;
  for (const Sql::Row& row : sql.Ask("SELECT sender, recipient, message_id FROM message")) {
    messages[{row[0], row[1]}].push_back(row[2]);
  }
  std::map<std::string, int> attempts;
  for (LedgerPost& post : ledger) {
    if (!post.message_id.empty()) continue;
    const auto found = messages.find({post.sender, post.recipient});
    if (found == messages.end()) continue;
    PR_CHECK(found->second.size() == 1);  // else nobody can say which one it was
    post.message_id = found->second.front();
    post.attempt = ++attempts[post.message_id];
  }
  return ledger;
}

Breaches AcknowledgedSendsExist(const Sql& sql, const std::vector<AcknowledgedSend>& sends) {
  std::map<std::string, Sql::Row> stored;
  for (Sql::Row& row :
       sql.Ask("SELECT message_id, request_id, recipient, sender, body FROM message")) {
    stored[row[0]] = std::move(row);
  }
  Breaches breaches;
  for (const AcknowledgedSend& send : sends) {
    const auto found = stored.find(send.message_id);
    const Sql::Row wants = {send.message_id, send.request_id, send.recipient, send.sender,
                            send.text};
    if (found == stored.end()) {
      breaches.push_back(StrCat(send.message_id, " is lost"));
    } else if (found->second != wants) {
      breaches.push_back(StrCat(send.message_id, " is another request"));
    }
  }
  return breaches;
}

Breaches OneMessagePerRequest(const Sql& sql, const std::vector<AcknowledgedSend>& sends) {
  Breaches breaches = RowsOf(sql, R"(
      SELECT 'request ' || request_id || ' made ' || count(*) || ' messages'
      FROM message GROUP BY tenant_id, request_id HAVING count(*) > 1
      UNION ALL
      SELECT 'message ' || m.message_id || ' has no key of its own'
      FROM message m LEFT JOIN request_key k USING (tenant_id, request_id)
      WHERE k.message_id IS DISTINCT FROM m.message_id)");
  std::map<std::string, std::string> answered;
  for (const AcknowledgedSend& send : sends) {
    const auto [first, is_new] = answered.emplace(send.request_id, send.message_id);
    if (!is_new && first->second != send.message_id) {
      breaches.push_back(StrCat("request ", send.request_id, " was answered with two messages"));
    }
  }
  return breaches;
}

Breaches IndefiniteAttemptsAreFew(const Sql& sql) {
  // Outcome 5: unknown. Cause 13: an operator's replay.
  return RowsOf(sql, R"(
      SELECT 'message ' || message_id || ' has ' || count(*) || ' attempts without an outcome'
      FROM attempt JOIN message m USING (tenant_id, message_id)
      WHERE outcome IS NULL OR outcome = 5
      GROUP BY tenant_id, message_id, m.duplicate_policy
      HAVING count(*) > CASE m.duplicate_policy WHEN 2 THEN 2 ELSE 1 END
        + (SELECT count(*) FROM status_event e WHERE e.cause = 13
           AND (e.tenant_id, e.message_id) = (attempt.tenant_id, attempt.message_id)))");
}

Breaches AtMostOnceIsProcessedOnce(const Sql& sql, const std::vector<LedgerPost>& ledger) {
  std::set<std::string> at_most_once;
  for (const Sql::Row& row : sql.Ask("SELECT message_id FROM message WHERE duplicate_policy = 1")) {
    at_most_once.insert(row[0]);
  }
  std::map<std::string, int> processed;
  for (const LedgerPost& post : WithMessageIds(sql, ledger)) {
    if (post.processed) ++processed[post.message_id];
  }
  Breaches breaches;
  for (const auto& [message_id, count] : processed) {
    if (count > 1 && at_most_once.contains(message_id)) {
      breaches.push_back(StrCat(message_id, " went out ", count, " times"));
    }
  }
  return breaches;
}

Breaches EveryPostWasIntended(const Sql& sql, const std::vector<LedgerPost>& ledger) {
  std::set<std::pair<std::string, int>> attempts;
  for (const Sql::Row& row : sql.Ask("SELECT message_id, attempt FROM attempt")) {
    attempts.emplace(row[0], std::stoi(row[1]));
  }
  Breaches breaches;
  for (const LedgerPost& post : WithMessageIds(sql, ledger)) {
    if (attempts.contains({post.message_id, post.attempt})) continue;
    breaches.push_back(StrCat("POST of ",
                              post.message_id.empty() ? post.recipient : post.message_id,
                              " attempt ", post.attempt, " is not on record"));
  }
  return breaches;
}

Breaches InboxIsAccountedFor(const Sql& sql) {
  return RowsOf(sql, R"(
      SELECT 'inbox row ' || i.inbox_id || ' has ' || n.ends || ' ends'
      FROM webhook_inbox i, LATERAL (SELECT
          (SELECT count(*) FROM receipt_applied a
           WHERE (a.tenant_id, a.inbox_id) = (i.tenant_id, i.inbox_id) AND a.verdict <> 3)
        + (SELECT count(*) FROM receipt_parked p
           WHERE (p.tenant_id, p.inbox_id) = (i.tenant_id, i.inbox_id))
        + (SELECT count(*) FROM dead_letter d
           WHERE (d.tenant_id, d.dead_letter_id) = (i.tenant_id, i.inbox_id) AND d.state <> 2) AS ends) n
      WHERE n.ends <> 1)");
}

Breaches HistoriesAreWhole(const Sql& sql) {
  return RowsOf(sql, R"(
      WITH e AS (SELECT message_id, revision, previous, state, attempt, final,
                        row_number() OVER w AS place, lag(state) OVER w AS state_before,
                        lag(attempt) OVER w AS attempt_before, lag(final) OVER w AS final_before
                 FROM status_event WINDOW w AS (PARTITION BY tenant_id, message_id
                                                ORDER BY revision)),
           latest AS (SELECT DISTINCT ON (tenant_id, message_id)
                             tenant_id, message_id, revision, state, attempt, final
                      FROM status_event ORDER BY tenant_id, message_id, revision DESC)
      SELECT message_id || ' has revision ' || revision || ' at place ' || place
      FROM e WHERE revision <> place
      UNION ALL
      SELECT message_id || ' revision ' || revision || ' does not begin where the last ended'
      FROM e WHERE previous <> state_before
      UNION ALL
      SELECT message_id || ' revision ' || revision || ' falls from ' || state_before || ' to '
             || state
      FROM e WHERE attempt = attempt_before AND state < state_before
      UNION ALL
      SELECT message_id || ' revision ' || revision || ' is final no more'
      FROM e WHERE final_before AND NOT final
      UNION ALL
      SELECT m.message_id || ' and its last event differ'
      FROM message m LEFT JOIN latest l USING (tenant_id, message_id)
      WHERE (m.revision, m.state, m.attempt, m.final)
            IS DISTINCT FROM (l.revision, l.state, l.attempt, l.final))");
}

Breaches NothingWasMissed(const Sql& sql, const std::vector<StreamedChange>& streamed) {
  const std::set<StreamedChange> told(streamed.begin(), streamed.end());
  Breaches breaches;
  for (const StreamedChange& event : EventsOf(sql)) {
    if (!told.contains(event)) breaches.push_back(StrCat(TextOf(event), " was not streamed"));
  }
  return breaches;
}

Breaches NothingWasInvented(const Sql& sql, const std::vector<StreamedChange>& streamed) {
  const std::set<StreamedChange> events = EventsOf(sql);
  Breaches breaches;
  for (const StreamedChange& change : streamed) {
    if (!events.contains(change)) breaches.push_back(StrCat(TextOf(change), " is not stored"));
  }
  return breaches;
}

Breaches RateWasKept(const std::vector<LedgerPost>& ledger, double rate_per_s, double burst,
                     std::int64_t in_flight, std::chrono::nanoseconds hung) {
  std::vector<WallTime> times;
  for (const LedgerPost& post : ledger) times.push_back(post.at);
  std::sort(times.begin(), times.end());
  const double slack_s = 0.2 + SecondsOf(hung);
  for (std::size_t first = 0; first < times.size(); ++first) {
    for (std::size_t last = first; last < times.size(); ++last) {
      const double window_s = std::chrono::duration<double>(times[last] - times[first]).count();
      const auto count = static_cast<double>(last - first + 1);
      const double most =
          burst + rate_per_s * (window_s + slack_s) + static_cast<double>(in_flight);
      if (count <= most) continue;
      return {StrCat("S13: ", count, " POSTs within ", window_s, " s, ", most, " may be")};
    }
  }
  return {};
}

Breaches EpochsHaveOneReplica(const Sql& sql) {
  return RowsOf(sql, R"(
      SELECT 'slot ' || slot || ' epoch ' || epoch || ' was used by ' || count(DISTINCT replica_id)
      FROM attempt GROUP BY slot, epoch HAVING count(DISTINCT replica_id) > 1)");
}

Breaches QueueIsExact(const Sql& sql) {
  // 1: queued.
  return RowsOf(sql, R"(
      SELECT coalesce(m.message_id, q.message_id) || ' is queued in one place only'
      FROM (SELECT tenant_id, message_id FROM message WHERE state = 1) m
      FULL JOIN dispatch_queue q USING (tenant_id, message_id)
      WHERE m.message_id IS NULL OR q.message_id IS NULL
      UNION ALL
      SELECT 'tenant ' || tenant_id || ' has a depth of ' || d.depth || ' and ' || q.rows || ' rows'
      FROM (SELECT tenant_id, sum(depth) AS depth FROM queue_depth GROUP BY 1) d,
           LATERAL (SELECT count(*) AS rows FROM dispatch_queue
                    WHERE tenant_id = d.tenant_id) q
      WHERE d.depth <> q.rows)");
}

Breaches SendCountsAreExact(const Sql& sql) { return RowsOf(sql, kWrongSendCounts); }

Breaches CheckInvariants(const Sql& sql, const std::vector<LedgerPost>& ledger,
                         const std::vector<AcknowledgedSend>& sends,
                         const std::vector<StreamedChange>& streamed) {
  const std::pair<const char*, Breaches> found[] = {
      {"S1", AcknowledgedSendsExist(sql, sends)},
      {"S2", OneMessagePerRequest(sql, sends)},
      {"S3", IndefiniteAttemptsAreFew(sql)},
      {"S4", AtMostOnceIsProcessedOnce(sql, ledger)},
      {"S6", EveryPostWasIntended(sql, ledger)},
      {"S8", InboxIsAccountedFor(sql)},
      {"S10", HistoriesAreWhole(sql)},
      {"S11", NothingWasMissed(sql, streamed)},
      {"S12", NothingWasInvented(sql, streamed)},
      {"S16", EpochsHaveOneReplica(sql)},
      {"queue", QueueIsExact(sql)},
      {"counts", SendCountsAreExact(sql)},
  };
  Breaches all;
  for (const auto& [name, breaches] : found) {
    for (const std::string& breach : breaches) all.push_back(StrCat(name, ": ", breach));
  }
  return all;
}

}  // namespace postrider
