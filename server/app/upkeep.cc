#include "server/app/upkeep.h"

#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"

namespace postrider {

namespace {
using namespace std::chrono_literals;

constexpr auto kWatchCluster = 1s;
constexpr int kForgetTries = 1000;  // a round; 5000 request keys each: 8,000 a second
}  // namespace

Upkeep::Upkeep(PgStore& store, PrivateCluster* cluster,
               std::function<std::vector<TenantId>()> tenants, const Clock& clock, Metrics& metrics)
    : store_(store),
      cluster_(cluster),
      tenants_(std::move(tenants)),
      clock_(clock),
      parked_(metrics.GaugeOf("postrider_inbox_parked",
                              "Webhooks of the tenants dispatched here whose turn comes later.")),
      dead_letters_(metrics.GaugeOf("postrider_dead_letters",
                                    "Webhooks of the tenants dispatched here that were given up.")),
      dead_sends_(metrics.GaugeOf(
          "postrider_dead_sends",
          "Sends of the tenants dispatched here that failed, neither replayed nor discarded.")),
      foreign_seconds_(metrics.GaugeOf(
          "postrider_foreign_transaction_seconds",
          "Age of the oldest transaction in the database that is no gateway's; 0: none.")),
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
  const absl::StatusOr<StoreFacts> facts = store_.ReadFacts(tenants_());
  if (!facts.ok()) {
    LogFailure(facts_failures_, "what waits in the database not counted", facts.status());
    return;
  }
  LogWorksAgain(facts_failures_, "what waits in the database is counted again");
  parked_.Set(static_cast<double>(facts->parked));
  dead_letters_.Set(static_cast<double>(facts->dead_letters));
  dead_sends_.Set(static_cast<double>(facts->dead_sends));
  foreign_seconds_.Set(SecondsOf(facts->foreign_transaction));
}

void Upkeep::Maintain(std::stop_token stop) {
  maintain_at_ = clock_.Now() + kUpkeepEvery;
  absl::Status done = store_.Maintain();
  for (int i = 0; done.ok() && i < kForgetTries && !stop.stop_requested(); ++i) {
    const absl::StatusOr<bool> more = store_.ForgetSome();
    done = more.status();
    if (!more.ok() || !*more) break;
  }
  if (!done.ok()) {
    PR_LOG(kWarning, "upkeep of the database failed", {"error", ToStd(done.message())});
  }
}

}  // namespace postrider
