#include "tests/sim/sim_replica.h"

#include <utility>

#include "server/base/strings.h"

namespace postrider {

namespace {
constexpr std::size_t kStreamHolds = 8;  // Few, so that readers fall behind.
}  // namespace

SimReplica::SimReplica(int index, int life, const std::string& spool_dir, FakeStore& store,
                       FakeClock& clock, Random& random, SimGenesys& genesys,
                       std::vector<TenantId> tenants, SettingsOf settings, DoubtTimes doubt,
                       NextAllowedTime next_allowed)
    : index_(index),
      life_(life),
      tenants_(std::move(tenants)),
      providers_(genesys.FactoryOf(index)),
      owner_(store, clock, random, metrics_, {.name = StrCat("replica-", index)}),
      dispatcher_(store, *providers_, owner_, clock, random, metrics_,
                  {.posters_min = 2,
                   .posters_max = 2,
                   .doubt = doubt,
                   .settings = std::move(settings),
                   .breakers = kBreakers,
                   .next_allowed = std::move(next_allowed)}),
      expiry_(store, owner_, metrics_),
      opt_outs_(store, owner_, metrics_),
      hub_(metrics_, {.buffer = kStreamHolds, .recent_batches = 4}),
      feed_(clock, metrics_, store, hub_),
      processor_(store, clock, random, metrics_, {.tenants = [this] { return OwnedTenants(); }}),
      spool_(Spool::Open({.dir = spool_dir}, metrics_).value()),
      inbox_commit_(clock, metrics_, {.name = "inbox"},
                    [&store](std::span<const InboxRow> rows) -> absl::StatusOr<std::vector<bool>> {
                      PR_RETURN_IF_ERROR(store.AppendInbox(rows));
                      return std::vector<bool>(rows.size(), true);
                    }),
      intake_(store, inbox_commit_, spool_.get(), clock, random,
              {.on_stored = [this](InboxRow row) { processor_.Offer(std::move(row)); }}),
      accept_(clock, metrics_, {.name = "accept"},
              [&store](std::span<const NewMessage> rows) { return store.Accept(rows); }) {}

std::vector<TenantId> SimReplica::OwnedTenants() const {
  std::vector<TenantId> owned;
  for (const TenantId tenant : tenants_) {
    if (owner_.Current()->Find(SlotOf(tenant)) != nullptr) owned.push_back(tenant);
  }
  return owned;
}

bool SimReplica::Step(Work work) {
  if (!busy_.insert(work).second) return false;
  Do(work);
  busy_.erase(work);
  return true;
}

bool SimReplica::IsSeldom(Work work) {
  return work == Work::kReconcile || work == Work::kCollect || work == Work::kClose ||
         work == Work::kExpire || work == Work::kUnspool || work == Work::kSweep ||
         work == Work::kParked;
}

void SimReplica::Do(Work work) {
  switch (work) {
    case Work::kOwn:
      owner_.Step();
      return;
    case Work::kChoose:
      dispatcher_.ChooseStep();
      return;
    case Work::kPost:
      dispatcher_.PostStep(0);
      return;
    case Work::kPostToo:
      dispatcher_.PostStep(1);
      return;
    case Work::kRecord:
      dispatcher_.RecordStep();
      return;
    case Work::kReconcile:
      dispatcher_.ReconcileStep();
      return;
    case Work::kCollect:
      dispatcher_.CollectStep();
      return;
    case Work::kClose:
      dispatcher_.CloseStep();
      return;
    case Work::kExpire:
      expiry_.Step();
      opt_outs_.Step();
      return;
    case Work::kAccept:
      accept_.Step({});
      return;
    case Work::kStoreInbox:
      inbox_commit_.Step({});
      return;
    case Work::kSpool:
      intake_.SpoolStep();
      return;
    case Work::kUnspool:
      intake_.UnspoolStep();
      return;
    case Work::kApply:
      processor_.Step();
      return;
    case Work::kSweep:
      processor_.SweepStep();
      return;
    case Work::kParked:
      processor_.ParkedStep();
      return;
    case Work::kFeed:
      // Away: it goes on from its last tick with the next step.
      (void)feed_.Step({}).ok();
      return;
  }
}

bool SimReplica::Drain() {
  // Its workers have ended.
  for (int work = 0; work < kWorks; ++work) busy_.insert(static_cast<Work>(work));
  accept_.Drain({});
  inbox_commit_.Drain({});
  intake_.Drain();
  const bool whole = dispatcher_.Drain({});
  processor_.Drain({});
  (void)owner_.Drain().ok();
  return whole;
}

}  // namespace postrider
