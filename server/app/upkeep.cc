#include "server/app/upkeep.h"

#include <utility>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider {

namespace {
using namespace std::chrono_literals;

constexpr auto kWatchCluster = 1s;
constexpr std::size_t kFreeMemoryLeast = std::size_t{8} << 20;  // Less is soon used again.
constexpr int kForgetTries = 1000;  // a round; 5000 request keys each: 8,000 a second

Counter& ErasedOf(Metrics& metrics, const char* kind) {
  return metrics.CounterOf("postrider_rows_erased_total",
                           "Rows that lost their text, their number or their raw bytes.",
                           {{"kind", kind}});
}

}  // namespace

Upkeep::Upkeep(PgStore& store, PrivateCluster* cluster,
               std::function<std::vector<TenantId>()> tenants, const KeepTimes& keep,
               const Clock& clock, Metrics& metrics)
    : store_(store),
      cluster_(cluster),
      tenants_(std::move(tenants)),
      keep_(keep),
      clock_(clock),
      parked_(metrics.GaugeOf("postrider_inbox_parked",
                              "Webhooks of the tenants dispatched here whose turn comes later.")),
      dead_letters_(metrics.GaugeOf("postrider_dead_letters",
                                    "Webhooks of the tenants dispatched here that were given up.")),
      dead_sends_(metrics.GaugeOf(
          "postrider_dead_sends",
          "Sends of the tenants dispatched here that failed, neither replayed nor discarded.")),
      unaccounted_(metrics.GaugeOf(
          "postrider_inbox_unaccounted",
          "Webhooks of the tenants dispatched here, one minute to one hour old, that are neither "
          "applied nor copies nor parked nor dead letters; 0 unless something is wrong.")),
      foreign_seconds_(metrics.GaugeOf(
          "postrider_foreign_transaction_seconds",
          "Age of the oldest transaction in the database that is no gateway's; 0: none.")),
      partitions_kept_(metrics.GaugeOf(
          "postrider_partitions_kept",
          "Partitions that are past their time and kept: something in them still waits.")),
      free_bytes_(metrics.GaugeOf("postrider_free_memory_bytes",
                                  "Memory that the allocator has and nobody uses; given back to "
                                  "the system when it grows.")),
      partitions_dropped_(metrics.CounterOf("postrider_partitions_dropped_total",
                                            "Partitions dropped by this replica.")),
      texts_erased_(ErasedOf(metrics, "text")),
      numbers_erased_(ErasedOf(metrics, "number")),
      webhooks_erased_(ErasedOf(metrics, "webhook")),
      maintain_at_(clock.Now() + kUpkeepEvery) {}

void Upkeep::Start() {
  worker_ = std::make_unique<Worker>("upkeep", [this](std::stop_token stop) { Step(stop); });
}

void Upkeep::Stop() { worker_.reset(); }

void Upkeep::Step(std::stop_token stop) {
  if (WaitOrStop(stop, kWatchCluster)) return;
  if (cluster_ != nullptr) WatchCluster();
  if (clock_.Now() >= facts_at_) ShowFacts();
  if (clock_.Now() >= maintain_at_) Maintain(stop);
}

void Upkeep::WatchCluster() {
  if (const absl::Status running = cluster_->EnsureRunning(); running.ok()) {
    LogWorksAgain(cluster_failures_, "the private Postgres runs again");
  } else {
    LogFailure(cluster_failures_, "the private Postgres is down", running);
  }
}

void Upkeep::ShowFacts() {
  facts_at_ = clock_.Now() + kFactsEvery;
  free_bytes_.Set(static_cast<double>(free_memory_.Return(kFreeMemoryLeast)));
  const absl::StatusOr<StoreFacts> facts = store_.ReadFacts(tenants_());
  if (!facts.ok()) {
    LogFailure(facts_failures_, "what waits in the database not counted", facts.status());
    return;
  }
  LogWorksAgain(facts_failures_, "what waits in the database is counted again");
  parked_.Set(static_cast<double>(facts->parked));
  dead_letters_.Set(static_cast<double>(facts->dead_letters));
  dead_sends_.Set(static_cast<double>(facts->dead_sends));
  unaccounted_.Set(static_cast<double>(facts->unaccounted));
  foreign_seconds_.Set(SecondsOf(facts->foreign_transaction));
}

void Upkeep::Maintain(std::stop_token stop) {
  maintain_at_ = clock_.Now() + kUpkeepEvery;
  // Each for itself: what cannot be dropped is no reason not to erase.
  absl::Status done[] = {store_.Maintain(), ForgetRows(stop), DropPartitions(stop),
                         EraseRows(stop)};
  for (const absl::Status& part : done) {
    if (part.ok()) continue;
    PR_LOG(kWarning, "upkeep of the database failed", {"error", ToStd(part.message())});
  }
}

absl::Status Upkeep::ForgetRows(std::stop_token stop) {
  bool more = true;
  for (int i = 0; more && i < kForgetTries && !stop.stop_requested(); ++i) {
    PR_ASSIGN_OR_RETURN(more, store_.ForgetSome());
  }
  more = true;
  for (int i = 0; more && i < kForgetTries && !stop.stop_requested(); ++i) {
    PR_ASSIGN_OR_RETURN(more, store_.ForgetOld(keep_));
  }
  return absl::OkStatus();
}

absl::Status Upkeep::DropPartitions(std::stop_token stop) {
  PR_ASSIGN_OR_RETURN(PartitionDrops drops, store_.DropOld(keep_, stop));
  for (const std::string& name : drops.dropped) {
    PR_LOG(kInfo, "a partition was past its time and is dropped", {"partition", name});
  }
  partitions_dropped_.Add(static_cast<double>(drops.dropped.size()));
  partitions_kept_.Set(static_cast<double>(drops.kept.size()));
  if (drops.kept != kept_) {
    for (const std::string& name : drops.kept) {
      PR_LOG(kInfo, "a partition is past its time and kept: something in it still waits",
             {"partition", name});
    }
    kept_ = std::move(drops.kept);
  }
  if (drops.failed.empty()) {
    LogWorksAgain(drop_failures_, "old partitions are dropped again");
  } else {
    LogFailure(drop_failures_, "old partitions not dropped, tried again later",
               absl::UnavailableError(StrCat(drops.failed.front(), ": ", drops.why)));
  }
  return absl::OkStatus();
}

absl::Status Upkeep::EraseRows(std::stop_token stop) {
  ErasedRows erased;
  erased.has_more = true;
  for (int i = 0; erased.has_more && i < kForgetTries && !stop.stop_requested(); ++i) {
    PR_ASSIGN_OR_RETURN(const ErasedRows some, store_.EraseSome());
    erased.texts += some.texts;
    erased.numbers += some.numbers;
    erased.webhooks += some.webhooks;
    erased.has_more = some.has_more;
  }
  texts_erased_.Add(erased.texts);
  numbers_erased_.Add(erased.numbers);
  webhooks_erased_.Add(erased.webhooks);
  if (erased.texts + erased.numbers + erased.webhooks > 0) {
    PR_LOG(kInfo, "erased as tenants want it", {"texts", erased.texts}, {"numbers", erased.numbers},
           {"webhooks", erased.webhooks});
  }
  return absl::OkStatus();
}

}  // namespace postrider
