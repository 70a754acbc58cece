#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/base/free_memory.h"
#include "server/base/metrics.h"
#include "server/base/repeated_failure.h"
#include "server/base/worker.h"
#include "server/store/pg_store.h"
#include "server/store/private_cluster.h"

namespace postrider {

/// Sees that the database lives and does not grow for ever, and shows what is in it: the private
/// Postgres is started again when it has died; each kFactsEvery what waits in the database becomes
/// metrics; each kUpkeepEvery there are partitions ahead, and what is past its time is forgotten:
/// old rows, partitions, texts and numbers.
class Upkeep {
 public:
  static constexpr auto kFactsEvery = std::chrono::seconds(10);
  static constexpr auto kUpkeepEvery = std::chrono::minutes(10);

  /// All must outlive it. `cluster`: null without a private Postgres. `tenants`: those whose facts
  /// this replica shows.
  Upkeep(PgStore& store, PrivateCluster* cluster, std::function<std::vector<TenantId>()> tenants,
         const KeepTimes& keep, const Clock& clock, Metrics& metrics);

  void Start();
  /// Waits for the running step to end. Repeating it does nothing.
  void Stop();

 private:
  /// Waits for a second, then does what is due.
  void Step(std::stop_token stop);
  void WatchCluster();
  void ShowFacts();
  void Maintain(std::stop_token stop);
  /// The parts of Maintain, in order.
  absl::Status ForgetRows(std::stop_token stop);
  absl::Status DropPartitions(std::stop_token stop);
  absl::Status EraseRows(std::stop_token stop);

  PgStore& store_;
  PrivateCluster* const cluster_;
  const std::function<std::vector<TenantId>()> tenants_;
  const KeepTimes keep_;
  const Clock& clock_;
  Gauge& parked_;
  Gauge& dead_letters_;
  Gauge& dead_sends_;
  Gauge& unaccounted_;
  Gauge& foreign_seconds_;
  Gauge& partitions_kept_;
  Gauge& free_bytes_;
  FreeMemory free_memory_;
  Counter& partitions_dropped_;
  Counter& texts_erased_;
  Counter& numbers_erased_;
  Counter& webhooks_erased_;

  // Of the worker.
  MonotonicTime facts_at_{};
  MonotonicTime maintain_at_;
  RepeatedFailure cluster_failures_;
  RepeatedFailure facts_failures_;
  RepeatedFailure drop_failures_;
  std::vector<std::string> kept_;  ///< Partitions that could not be dropped, at the last look.

  std::unique_ptr<Worker> worker_;
};

}  // namespace postrider
