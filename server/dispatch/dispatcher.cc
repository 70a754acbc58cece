#include "server/dispatch/dispatcher.h"

#include <utility>

#include "server/base/check.h"
#include "server/base/log.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

Dispatcher::Dispatcher(Store& store, ProviderFactory& providers, const SlotOwner& owner,
                       const Clock& clock, Random& random, Metrics& metrics, Options options)
    : clock_(clock),
      options_(std::move(options)),
      lanes_(clock, metrics, options_.posters_max),
      recorder_(store, clock, random, metrics, options_.doubt.QuietAfter()),
      gate_(store, owner, clock, metrics, options_.breakers),
      quiet_(clock, options_.next_allowed),
      chooser_(store, owner, lanes_, gate_, quiet_, recorder_, options_.settings, clock, random,
               metrics),
      reconciler_(
          store, providers, owner, clock, random, metrics,
          {.times = options_.doubt,
           .settings = options_.settings,
           .try_take_read =
               [this](TenantId tenant, const OwnedSlot& slot, const TenantSettings& of,
                      int requests) { return lanes_.TryTakeRead(tenant, slot, of, requests); },
           .return_reads = [this](TenantId tenant,
                                  int count) { lanes_.ReturnReads(tenant, count); },
           .on_throttled =
               [this](TenantId tenant, std::chrono::nanoseconds pause) {
                 TakeBack(lanes_.Pause(tenant, pause), HoldReason::kRetryAfter, pause,
                          "a read of its tenant was throttled before the POST");
               }}),
      post_metrics_(metrics),
      scale_(clock, metrics, options_.posters_min, options_.posters_max) {
  PR_CHECK(options_.settings != nullptr);
  PR_CHECK(options_.posters_max <= kMostPosters);
  for (int i = 0; i < options_.posters_max; ++i) {
    posters_.push_back(std::make_unique<Poster>(providers, owner, lanes_, gate_, quiet_, recorder_,
                                                options_.settings, clock, random, post_metrics_,
                                                scale_));
  }
}

void Dispatcher::Start() {
  record_worker_ =
      std::make_unique<Worker>("record", [this](std::stop_token stop) { RecordStep(stop); });
  ScalePosters();
  choose_worker_ =
      std::make_unique<Worker>("choose", [this](std::stop_token stop) { ChooseStep(stop); });
  reconcile_worker_ = std::make_unique<Worker>("reconcile", [this](std::stop_token stop) {
    if (reconciler_.Step() == 0) WaitOrStop(stop, kLookEvery);
  });
  close_worker_ = std::make_unique<Worker>("close", [this](std::stop_token stop) {
    const bool more = CollectStep() == static_cast<std::size_t>(kQuietRows);
    if (CloseStep() < kIntentRows && !more) WaitOrStop(stop, kCloseWindowsEvery);
  });
}

void Dispatcher::ScalePosters() {
  const int needed = scale_.Update(lanes_.AnyDue());
  while (static_cast<int>(post_workers_.size()) < needed) {
    const int i = static_cast<int>(post_workers_.size());
    post_workers_.push_back(std::make_unique<Worker>(
        StrCat("post-", i), [this, i](std::stop_token stop) { PostStep(i, stop); }));
  }
}

std::size_t Dispatcher::ChooseStep(std::stop_token stop) {
  std::chrono::nanoseconds idle{};
  gate_.Step();
  const std::size_t intended = chooser_.Step(idle);
  if (!post_workers_.empty()) ScalePosters();
  if (idle > 0ns && stop.stop_possible()) chooser_.AwaitWake(stop, idle);
  return intended;
}

std::size_t Dispatcher::PostStep(int poster, std::stop_token stop) {
  Poster& worker = *posters_.at(static_cast<std::size_t>(poster));
  if (stop.stop_possible() && !scale_.AwaitNeed(poster, stop)) {
    worker.Forget();
    return 0;
  }
  return worker.Step(stop);
}

std::size_t Dispatcher::RecordStep(std::stop_token stop) { return recorder_.Step(stop); }

void Dispatcher::TakeBack(const std::vector<QueuedIntent>& intents, HoldReason hold,
                          std::chrono::nanoseconds again_in, const char* why) {
  for (const QueuedIntent& intent : intents) {
    AttemptOutcome row = TakenBack(intent, why, hold, again_in);
    gate_.Ended(row.key, row.outcome);
    recorder_.Push(intent.replica, std::move(row));
  }
}

void Dispatcher::TakeBackAll() {
  TakeBack(lanes_.TakeAll(), HoldReason::kNone, {}, "this replica was stopped before the POST");
}

bool Dispatcher::Drain(std::chrono::nanoseconds at_most) {
  const MonotonicTime deadline = clock_.Now() + at_most;
  choose_worker_.reset();
  reconcile_worker_.reset();
  close_worker_.reset();
  TakeBackAll();
  for (auto& worker : post_workers_) worker->RequestStop();
  post_workers_.clear();
  record_worker_.reset();
  while (!recorder_.Empty()) {
    const bool settled = chooser_.Settle();
    TakeBackAll();  // What a doubt gave is not posted any more.
    const bool recorded = recorder_.Step({}) > 0;
    if (clock_.Now() >= deadline) break;
    if (!settled || !recorded) WaitOrStop({}, 20ms);
  }
  if (recorder_.Empty()) return true;
  PR_LOG(kError, "stopped before all outcomes were recorded",
         {"left", kIntentsOutstanding - recorder_.Room()});
  return false;
}

}  // namespace postrider
