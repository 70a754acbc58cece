#include "tests/bench/store_load.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/base/worker.h"
#include "server/model/limits.h"
#include "server/store/pg_store.h"
#include "server/store/pqxx_compat.h"
#include "tests/bench/report.h"

namespace postrider::bench {

namespace {

struct Subject {
  SystemClock clock;
  OsRandom random;
  PgStore store;
  PgPool sql;

  Subject(const std::string& url, int sessions)
      : store(clock, random, {.pool = {.conninfo = url, .max_sessions = sessions}}),
        sql(clock, random,
            {.conninfo = url,
             .max_sessions = 1,
             .statement_timeout = std::chrono::minutes(5),
             .watchdog = std::chrono::minutes(5)}) {}

  NewMessage Fresh(const TenantRow& tenant) {
    NewMessage message;
    message.message_id = {MakeUuidV7(clock.Wall(), random)};
    message.new_conversation_id = {MakeUuidV4(random)};
    message.request.tenant_id = tenant.tenant_id;
    message.request.request_id = StrCat("b-", message.message_id.ToString());
    message.request.recipient = StrCat("+1555", 1000000 + random.Next() % 9000000);
    message.request.sender_id = tenant.senders.at(0).sender_id;
    message.request.sender = tenant.senders.at(0).address;
    message.request.text = "Your appointment reminder: Dr. Smith tomorrow at 10:00 AM.";
    message.fingerprint = Sha256Bytes(message.request.request_id);
    return message;
  }

  /// The first column of all rows.
  std::vector<std::string> All(const std::string& statement) {
    std::vector<std::string> first;
    const absl::Status done = sql.Transact("bench", [&](PgTransaction& transaction) {
      const PgRows rows = transaction.RunOnce(statement);
      for (int row = 0; row < rows.size(); ++row) first.emplace_back(rows.Text(row, 0));
      return absl::OkStatus();
    });
    if (!done.ok()) std::fprintf(stderr, "%s\n", std::string(done.message()).c_str());
    PR_CHECK(done.ok());
    return first;
  }
  std::string Run(const std::string& statement) {
    const std::vector<std::string> rows = All(statement);
    return rows.empty() ? std::string() : rows.front();
  }
};

using Seconds = std::chrono::duration<double>;

}  // namespace

double MeasureAcceptRate(const std::string& database_url, const TenantRow& tenant, int writers,
                         double seconds) {
  Subject subject(database_url, writers);
  std::atomic<std::int64_t> accepted = 0;
  const auto begin = std::chrono::steady_clock::now();
  {
    std::vector<std::unique_ptr<Worker>> workers;
    for (int i = 0; i < writers; ++i) {
      workers.push_back(std::make_unique<Worker>(StrCat("accept-", i), [&](std::stop_token) {
        std::vector<NewMessage> batch;
        for (std::size_t row = 0; row < kGroupCommitRows; ++row) {
          batch.push_back(subject.Fresh(tenant));
        }
        PR_CHECK(subject.store.Accept(batch).ok());
        accepted += static_cast<std::int64_t>(batch.size());
      }));
    }
    WaitOrStop(std::stop_token(),
               std::chrono::duration_cast<std::chrono::nanoseconds>(Seconds(seconds)));
  }
  const Seconds took = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(accepted) / took.count();
}

double MeasureAcceptAloneMs(const std::string& database_url, const TenantRow& tenant, int calls) {
  Subject subject(database_url, 1);
  std::vector<double> times;
  for (int i = 0; i < calls; ++i) {
    const NewMessage message = subject.Fresh(tenant);
    const auto begin = std::chrono::steady_clock::now();
    PR_CHECK(subject.store.Accept({&message, 1}).ok());
    times.push_back(Seconds(std::chrono::steady_clock::now() - begin).count() * 1e3);
  }
  return Percentile(times, 50);
}

void FillQueue(const std::string& database_url, const TenantRow& tenant, int count) {
  Subject subject(database_url, 1);
  const std::string columns = StrCat("'", tenant.tenant_id.ToString(), "'::uuid");
  subject.Run(StrCat(
      "INSERT INTO dispatch_queue (tenant_id, message_id, slot, priority, campaign_id, sender_id, "
      "recipient_key, due_at) SELECT ",
      columns, ", gen_random_uuid(), ", SlotOf(tenant.tenant_id), ", 3, 'fill', '",
      tenant.senders.at(0).sender_id.ToString(),
      "'::uuid, convert_to('+1555' || n, 'UTF8'), now() + interval '1 hour' FROM "
      "generate_series(1, ",
      count, ") n"));
  subject.Run(StrCat("INSERT INTO queue_depth (tenant_id, writer, depth) VALUES (", columns,
                     ", 999, ", count, ")"));
  subject.Run("ANALYZE dispatch_queue");
}

std::vector<std::string> RunSql(const std::string& database_url, const std::string& statement) {
  return Subject(database_url, 1).All(statement);
}

struct SqlSession::Connection {
  pqxx::connection connection;
  pqxx::nontransaction outside_transactions{connection};

  explicit Connection(const std::string& url) : connection(url) {
    outside_transactions.exec("SET search_path = postrider");
  }
};

SqlSession::SqlSession(const std::string& database_url)
    : connection_(std::make_unique<Connection>(database_url)) {}

SqlSession::~SqlSession() = default;

std::int64_t SqlSession::Number(const std::string& statement) {
  return connection_->outside_transactions.exec(statement).at(0).at(0).as<std::int64_t>();
}

void SqlSession::Run(const std::string& statement) {
  connection_->outside_transactions.exec(statement);
}

void EmptyQueue(const std::string& database_url) {
  RunSql(database_url, "DELETE FROM dispatch_queue");
  RunSql(database_url, "DELETE FROM queue_depth");
}

OpenTransaction::OpenTransaction(const std::string& database_url) {
  std::atomic<bool> open = false;
  worker_ = std::make_unique<Worker>(
      "foreign", [&open, database_url, done = false](std::stop_token stop) mutable {
        if (std::exchange(done, true)) {
          WaitOrStop(stop, std::chrono::seconds(1));
          return;
        }
        Subject subject(database_url, 1);
        const absl::Status held = subject.sql.Transact("foreign", [&](PgTransaction& transaction) {
          transaction.RunOnce("SET LOCAL idle_in_transaction_session_timeout = 0");
          transaction.RunOnce("SELECT pg_current_xact_id()");
          open = true;
          while (!WaitOrStop(stop, std::chrono::seconds(1))) {
          }
          return absl::OkStatus();
        });
        PR_CHECK(held.ok());
      });
  while (!open) WaitOrStop(std::stop_token(), std::chrono::milliseconds(1));
}

OpenTransaction::~OpenTransaction() { worker_.reset(); }

std::string PostgresVersion(const std::string& database_url) {
  return Subject(database_url, 1).Run("SHOW server_version");
}

}  // namespace postrider::bench
