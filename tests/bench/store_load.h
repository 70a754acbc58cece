#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/base/worker.h"
#include "server/model/message.h"
#include "server/store/tenants.h"

namespace postrider::bench {

/// Accept() rows per second with `writers` workers and full batches: what the store alone can do.
double MeasureAcceptRate(const std::string& database_url, const TenantRow& tenant, int writers,
                         double seconds);
/// The median of Accept() of one row at a time, in milliseconds.
double MeasureAcceptAloneMs(const std::string& database_url, const TenantRow& tenant, int calls);
/// Queues `count` messages of `tenant` by SQL.
void FillQueue(const std::string& database_url, const TenantRow& tenant, int count);
std::string PostgresVersion(const std::string& database_url);

/// Runs a statement; the first column of what it answers. Dies when it fails.
std::vector<std::string> RunSql(const std::string& database_url, const std::string& statement);

/// A session that stays open: to look at what is measured, or for what may be in no transaction. A
/// new session for each look costs Postgres 15 ms of a core, which are taken from what is measured.
class SqlSession {
 public:
  explicit SqlSession(const std::string& database_url);
  ~SqlSession();

  /// The only value of what `statement` answers. Dies when it fails.
  std::int64_t Number(const std::string& statement);
  void Run(const std::string& statement);

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

/// Takes away what earlier loads queued, without sending it.
void EmptyQueue(const std::string& database_url);

/// A write transaction that stays open, from a session of its own, until this ends.
class OpenTransaction {
 public:
  explicit OpenTransaction(const std::string& database_url);
  ~OpenTransaction();

 private:
  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider::bench
