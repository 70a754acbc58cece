#include "server/store/pg_session.h"

#include <algorithm>
#include <libpq-fe.h>
#include <sys/socket.h>
#include <utility>

#include "absl/container/flat_hash_set.h"

#include "server/base/check.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/store/pg_ping.h"
#include "server/store/pg_rows.h"

namespace postrider {

namespace {

constexpr auto kReconnectFirst = 50ms;
constexpr auto kReconnectLongest = 2000ms;

/// Of the hot path's statements every plan is known (sql_plans_test): by key, nested loops.
constexpr const char* kSettings =
    "SET search_path = postrider; SET enable_seqscan = off; SET enable_hashjoin = off; "
    "SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; SET jit = off; "
    "SET client_min_messages = warning; SET idle_in_transaction_session_timeout = '5s'; "
    "SET timezone = 'UTC'; ";

absl::Status StatusOfSqlError(std::string_view name, const pqxx::sql_error& error) {
  const std::string state = SqlstateOf(error);
  const std::string_view kind = std::string_view(state).substr(0, 2);
  // The text of a data error can quote the data.
  if (kind == "22" || kind == "23") {
    return absl::InvalidArgumentError(StrCat(name, ": the data was refused, SQLSTATE ", state));
  }
  const bool away = kind == "08" || kind == "53" || kind == "57" || kind == "58" ||
                    state == "25006" || state == "55P03";
  const std::string text = StrCat(name, ": ", FirstLine(error.what()), " (SQLSTATE ", state, ")");
  return away ? absl::UnavailableError(text) : absl::InternalError(text);
}

}  // namespace

struct PgPool::Session {
  int index = 0;
  std::unique_ptr<pqxx::connection> connection;
  std::unique_ptr<NoticeFlag> notices;  // before the connection it listens to goes
  absl::flat_hash_set<std::string> prepared;
  MonotonicTime busy_since{};
  int socket = -1;  // guarded by the pool's mu_
};

class PgPool::Transaction final : public PgTransaction {
 public:
  Transaction(Session& session, pqxx::transaction_base& work) : session_(session), work_(work) {}

  PgRows Run(const Query& query, const PgParams& params) override {
    if (!session_.prepared.contains(query.name)) {
      session_.connection->prepare(query.name, query.sql);
      session_.prepared.insert(query.name);
    }
    std::vector<const char*> values;
    values.reserve(params.values().size());
    for (const auto& value : params.values()) values.push_back(value ? value->c_str() : nullptr);
    auto data = std::make_shared<PgRows::Data>();
    data->result = ExecPrepared(work_, query.name, values);
    return PgRows(std::move(data));
  }

  PgRows RunOnce(const std::string& sql) override {
    auto data = std::make_shared<PgRows::Data>();
    data->result = work_.exec(sql);
    return PgRows(std::move(data));
  }

  int session() const override { return session_.index; }

 private:
  Session& session_;
  pqxx::transaction_base& work_;
};

PgPool::PgPool(const Clock& clock, Random& random, Options options)
    : clock_(clock),
      random_(random),
      options_(std::move(options)),
      watchdog_("pg-watchdog", [this](std::stop_token stop) { Watch(stop); }) {
  MutexLock lock(mu_);
  for (int i = options_.max_sessions; i-- > 0;) {
    free_.push_back(std::make_unique<Session>());
    free_.back()->index = i;
  }
}

PgPool::~PgPool() {
  watchdog_.Stop();
  MutexLock lock(mu_);
  PR_CHECK(busy_.empty());
}

absl::Status PgPool::Transact(std::string_view name, const Body& body) {
  return Run(Kind::kTransaction, name, body);
}

absl::Status PgPool::Read(std::string_view name, const Body& body) {
  return Run(Kind::kReads, name, body);
}

absl::Status PgPool::Run(Kind kind, std::string_view name, const Body& body) {
  std::unique_ptr<Session> session = Take();
  absl::Status status;
  for (int tries = 0; tries < kMaxTransactionTries; ++tries) {
    bool repeat = false;
    status = Attempt(*session, kind, name, body, &repeat);
    if (!repeat) break;
  }
  Give(std::move(session));
  return status;
}

absl::Status PgPool::Ping() {
  return Read("ping", [](PgTransaction& transaction) {
    transaction.RunOnce("SELECT 1");
    return absl::OkStatus();
  });
}

absl::Status PgPool::Commit(Session& session, std::string_view name, const Body& body) {
  pqxx::work work(*session.connection);
  Transaction transaction(session, work);
  if (absl::Status status = body(transaction); !status.ok()) {
    work.abort();
    return status;
  }
  session.notices->Lower();  // those of the statements say nothing about the COMMIT
  work.commit();
  // One that arrives while a COMMIT is under way says that it is not yet on the standby.
  if (session.notices->raised()) {
    return absl::UnavailableError(
        StrCat(name, ": committed, but perhaps not on the synchronous standby"));
  }
  return absl::OkStatus();
}

absl::Status PgPool::Attempt(Session& session, Kind kind, std::string_view name, const Body& body,
                             bool* repeat) {
  if (session.connection == nullptr) {
    if (absl::Status opened = Open(session); !opened.ok()) return opened;
  }
  try {
    if (kind == Kind::kTransaction) return Commit(session, name, body);
    pqxx::nontransaction reads(*session.connection);
    Transaction statements(session, reads);
    return body(statements);
  } catch (const pqxx::in_doubt_error&) {
    Close(session);
    return absl::UnavailableError(StrCat(name, ": connection lost during COMMIT, in doubt"));
  } catch (const pqxx::broken_connection& error) {
    Close(session);
    return absl::UnavailableError(StrCat(name, ": ", FirstLine(error.what())));
  } catch (const std::exception& error) {
    // A connection that breaks within a statement is reported as an error of that statement.
    const bool lost = !session.connection->is_open();
    *repeat = !lost && IsWorthRepeating(error);
    if (*repeat)
      return absl::AbortedError(StrCat(name, ": repeated too often: ", FirstLine(error.what())));
    const auto* const refused = dynamic_cast<const pqxx::sql_error*>(&error);
    if (refused != nullptr && !lost) return StatusOfSqlError(name, *refused);
    Close(session);
    const std::string text = StrCat(name, ": ", FirstLine(error.what()));
    return lost ? absl::UnavailableError(text) : absl::InternalError(text);
  }
}

absl::Status PgPool::Open(Session& session) {
  {
    MutexLock lock(mu_);
    if (clock_.Now() < next_connect_) {
      return absl::UnavailableError(StrCat("database away: ", last_error_));
    }
  }
  const absl::Status connected = Connect(session);
  if (!connected.ok()) Close(session);
  MutexLock lock(mu_);
  if (connected.ok()) {
    failed_connects_ = 0;
    return absl::OkStatus();
  }
  last_error_ = ToStd(connected.message());
  // Full jitter, so that replicas do not come back in step.
  const auto longest = std::min<std::chrono::nanoseconds>(
      kReconnectLongest, kReconnectFirst * (1 << std::min(failed_connects_, 10)));
  ++failed_connects_;
  next_connect_ = clock_.Now() + std::chrono::nanoseconds(static_cast<std::int64_t>(
                                     static_cast<double>(longest.count()) * random_.Fraction()));
  return absl::UnavailableError(StrCat("cannot connect to the database: ", last_error_));
}

absl::Status PgPool::Connect(Session& session) {
  try {
    session.connection = std::make_unique<pqxx::connection>(WithNetworkLimits(options_.conninfo));
    {
      MutexLock lock(mu_);
      session.socket = session.connection->sock();
    }
    NeverReconnectSilently(*session.connection);
    session.notices = std::make_unique<NoticeFlag>(*session.connection);
    pqxx::nontransaction settings(*session.connection);
    settings.exec(
        StrCat(kSettings, "SET statement_timeout = ", options_.statement_timeout.count()));
    Transaction reads(session, settings);
    return options_.admit(reads);
  } catch (const std::exception& error) {
    return absl::UnavailableError(FirstLine(error.what()));
  }
}

void PgPool::Close(Session& session) {
  {
    MutexLock lock(mu_);
    session.socket = -1;
  }
  session.notices.reset();
  session.connection.reset();
  session.prepared.clear();
}

std::unique_ptr<PgPool::Session> PgPool::Take() {
  MutexLock lock(mu_);
  free_session_.Wait(mu_, std::stop_token(),
                     [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !free_.empty(); });
  std::unique_ptr<Session> session = std::move(free_.back());
  free_.pop_back();
  session->busy_since = clock_.Now();
  busy_.push_back(session.get());
  return session;
}

void PgPool::Give(std::unique_ptr<Session> session) {
  MutexLock lock(mu_);
  std::erase(busy_, session.get());
  free_.push_back(std::move(session));
  free_session_.NotifyOne();
}

void PgPool::Watch(std::stop_token stop) {
  if (WaitOrStop(stop, 1s)) return;
  MutexLock lock(mu_);
  for (Session* session : busy_) {
    if (session->socket < 0 || clock_.Now() - session->busy_since < options_.watchdog) continue;
    PR_LOG(kWarning, "database did not answer; its connection is dropped",
           {"session", session->index});
    ::shutdown(session->socket, SHUT_RDWR);
    session->socket = -1;
  }
}

}  // namespace postrider
