#include "tests/integration/store/pg_fixture.h"

#include <cstdlib>
#include <utility>

#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/base/worker.h"

namespace postrider {

SqlSession::SqlSession(const std::string& url) : connection_(PQconnectdb(url.c_str()), &PQfinish) {
  EXPECT_EQ(PQstatus(get()), CONNECTION_OK) << PQerrorMessage(get());
  Run("SET search_path = postrider; SET client_min_messages = warning");
}

std::vector<SqlSession::Row> SqlSession::Run(const std::string& sql) {
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(get(), sql.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  EXPECT_TRUE(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
      << PQresultErrorMessage(result.get()) << sql;
  std::vector<Row> rows(static_cast<std::size_t>(PQntuples(result.get())));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      rows[row].emplace_back(PQgetvalue(result.get(), static_cast<int>(row), column));
    }
  }
  return rows;
}

std::string SqlSession::Value(const std::string& sql) {
  const std::vector<Row> rows = Run(sql);
  return rows.empty() || rows[0].empty() ? "" : rows[0][0];
}

std::int64_t SqlSession::Number(const std::string& sql) { return std::atoll(Value(sql).c_str()); }

PgFixture::PgFixture(int max_sessions)
    : store(clock, random, {.pool = {.conninfo = database.url(), .max_sessions = max_sessions}}),
      sql(database.url()) {
  const absl::Status prepared = store.Prepare();
  EXPECT_TRUE(prepared.ok()) << prepared;
}

TenantId PgFixture::NewTenant(const std::string& name) {
  TenantRow row;
  row.tenant_id = {UuidV4()};
  row.name = name;
  row.client_id = name + "-client";
  row.webhook_key = name + "-key";
  row.senders = {{sender, "+15559990001"}};
  const absl::StatusOr<TenantRow> put = store.PutTenant(row);
  EXPECT_TRUE(put.ok()) << put.status();
  return row.tenant_id;
}

NewMessage PgFixture::Fresh(TenantId tenant, const std::string& recipient) {
  NewMessage message;
  message.request.tenant_id = tenant;
  message.request.request_id = UuidV4().ToString();
  message.request.recipient = recipient;
  message.request.sender_id = sender;
  message.request.sender = "+15559990001";
  message.request.text = "Your appointment: tomorrow at 10:00 AM.";
  message.message_id = {MakeUuidV7(clock.Wall(), random)};
  message.new_conversation_id = {UuidV4()};
  message.fingerprint = Sha256Bytes(message.request.request_id);
  return message;
}

int PgFixture::KillConnections(const std::string& application_name) {
  return static_cast<int>(sql.Number(
      StrCat("SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
             "WHERE datname = current_database() AND pid <> pg_backend_pid() "
             "AND application_name = '",
             application_name, "') t")));
}

void InParallel(int workers, const std::function<void(int)>& body) {
  Mutex mu;
  CondVar ended;
  int left = workers;
  std::vector<std::unique_ptr<Worker>> running;
  for (int i = 0; i < workers; ++i) {
    running.push_back(std::make_unique<Worker>(StrCat("test-", i),
                                               [&, i, done = false](std::stop_token stop) mutable {
                                                 if (!std::exchange(done, true)) {
                                                   body(i);
                                                   MutexLock lock(mu);
                                                   --left;
                                                   ended.NotifyAll();
                                                 }
                                                 MutexLock lock(mu);
                                                 ended.Wait(mu, stop, [] { return false; });
                                               }));
  }
  MutexLock lock(mu);
  ended.Wait(mu, std::stop_token(), [&] { return left == 0; });
}

}  // namespace postrider
