#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/base/random.h"
#include "server/base/worker.h"
#include "server/model/ids.h"

namespace postrider {

/// A statement with its name: prepared once a session, shown in errors and the EXPLAIN test.
struct Query {
  const char* name;
  const char* sql;
};

/// Rows of a result, read by position. Values are the server's text.
class PgRows {
 public:
  struct Data;
  explicit PgRows(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

  int size() const;
  int affected() const;  ///< Rows that the statement changed.
  bool IsNull(int row, int column) const;
  std::string_view Text(int row, int column) const;
  std::vector<std::string> Texts(int row, int column) const;  ///< Of a text[] without NULLs.
  std::int64_t Int(int row, int column) const;                ///< 0 when NULL.
  bool Bool(int row, int column) const;
  Uuid UuidAt(int row, int column) const;        ///< Nil when NULL.
  std::string Bytes(int row, int column) const;  ///< Of a bytea.
  WallTime Time(int row, int column) const;  ///< Of microseconds since the epoch; epoch when NULL.

 private:
  std::shared_ptr<const Data> data_;
};

/// The parameters of a statement, in order. Lists become array literals.
class PgParams {
 public:
  PgParams& Add(std::string_view text);
  PgParams& Add(std::int64_t number);
  PgParams& Add(const Uuid& id);
  PgParams& AddNull();
  PgParams& AddBytes(std::string_view bytes);
  /// An array literal from `count` elements; `append` writes element i (quoted when needed).
  PgParams& AddArray(std::size_t count,
                     const std::function<void(std::string&, std::size_t)>& append);

  const std::vector<std::optional<std::string>>& values() const { return values_; }

 private:
  std::vector<std::optional<std::string>> values_;
};

/// Elements of array literals.
void AppendText(std::string& literal, std::string_view text);    ///< Quoted and escaped.
void AppendBytes(std::string& literal, std::string_view bytes);  ///< As bytea.
void AppendUuid(std::string& literal, const Uuid& id);
void AppendTime(std::string& literal, WallTime time);  ///< Microseconds; NULL for the epoch.

/// One transaction, or several reads, on one connection. Made by PgPool only.
class PgTransaction {
 public:
  virtual ~PgTransaction() = default;
  virtual PgRows Run(const Query& query, const PgParams& params) = 0;
  /// Without preparing: for statements that run once.
  virtual PgRows RunOnce(const std::string& sql) = 0;
  /// Which of the pool's sessions this is, from 0.
  virtual int session() const = 0;
};

/// Connections to one database, opened when needed and kept. Safe from any thread.
///
/// Exceptions of libpqxx end here: Transact turns them into the codes of store.h. After a lost
/// connection, new ones are tried with growing, jittered pauses; meanwhile Transact answers
/// UNAVAILABLE at once. A transaction that takes longer than `watchdog` has its socket shut
/// down (a COMMIT can wait for a synchronous standby without any server-side limit).
class PgPool {
 public:
  using Body = std::function<absl::Status(PgTransaction&)>;
  struct Options {
    std::string conninfo;  ///< libpq connection string or URI.
    int max_sessions = 16;
    std::chrono::milliseconds statement_timeout{15000};
    std::chrono::milliseconds watchdog = kLongestTransaction;
    /// Reads on each new connection before it is used, from any thread. An error refuses it, as if
    /// it had not been had.
    Body admit = [](PgTransaction&) { return absl::OkStatus(); };
  };

  PgPool(const Clock& clock, Random& random, Options options);
  ~PgPool();

  /// Runs `body` in a READ COMMITTED transaction and commits when it returns OK. Repeats the
  /// whole on 40001 and 40P01: `body` must be repeatable. Waits for a session when all are busy.
  absl::Status Transact(std::string_view name, const Body& body);
  /// Runs `body`, which only reads, without a transaction: a round trip a statement instead of
  /// three, and each sees what is committed when it begins. Else as Transact.
  absl::Status Read(std::string_view name, const Body& body);
  /// OK when the database answers.
  absl::Status Ping();

 private:
  struct Session;
  class Transaction;

  enum class Kind { kTransaction, kReads };

  absl::Status Run(Kind kind, std::string_view name, const Body& body);
  absl::Status Attempt(Session& session, Kind kind, std::string_view name, const Body& body,
                       bool* repeat);
  static absl::Status Commit(Session& session, std::string_view name, const Body& body);
  absl::Status Open(Session& session);
  absl::Status Connect(Session& session);
  void Close(Session& session);
  std::unique_ptr<Session> Take();
  void Give(std::unique_ptr<Session> session);
  void Watch(std::stop_token stop);

  const Clock& clock_;
  Random& random_;
  const Options options_;

  Mutex mu_;
  CondVar free_session_;
  std::vector<std::unique_ptr<Session>> free_ ABSL_GUARDED_BY(mu_);
  std::vector<Session*> busy_ ABSL_GUARDED_BY(mu_);
  MonotonicTime next_connect_ ABSL_GUARDED_BY(mu_){};
  int failed_connects_ ABSL_GUARDED_BY(mu_) = 0;
  std::string last_error_ ABSL_GUARDED_BY(mu_);

  Worker watchdog_;
};

}  // namespace postrider
