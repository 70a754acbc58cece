#include "server/dispatch/dispatcher.h"

#include <utility>

#include "server/base/check.h"
#include "server/base/log.h"

namespace postrider {

Dispatcher::Dispatcher(Store& store, ProviderFactory& providers, const SlotOwner& owner,
                       const Clock& clock, Random& random, Metrics& metrics, Options options)
    : clock_(clock),
      options_(std::move(options)),
      lanes_(clock, metrics),
      recorder_(store, clock, random, metrics),
      chooser_(store, owner, lanes_, recorder_, options_.settings, clock, random, metrics),
      reconciler_(store, providers, owner, clock, random, metrics,
                  {.times = options_.doubt, .settings = options_.settings}),
      post_metrics_(metrics) {
  PR_CHECK(options_.settings != nullptr);
  PR_CHECK(options_.posters >= 1 && options_.posters <= 1024);
  for (int i = 0; i < options_.posters; ++i) {
    posters_.push_back(std::make_unique<Poster>(providers, owner, lanes_, recorder_,
                                                options_.settings, clock, random, post_metrics_));
  }
}

void Dispatcher::Start() {
  record_worker_ =
      std::make_unique<Worker>("record", [this](std::stop_token stop) { RecordStep(stop); });
  for (int i = 0; i < options_.posters; ++i) {
    post_workers_.push_back(std::make_unique<Worker>(
        StrCat("post-", i), [this, i](std::stop_token stop) { PostStep(i, stop); }));
  }
  choose_worker_ =
      std::make_unique<Worker>("choose", [this](std::stop_token stop) { ChooseStep(stop); });
  reconcile_worker_ = std::make_unique<Worker>("reconcile", [this](std::stop_token stop) {
    if (reconciler_.Step() == 0) WaitOrStop(stop, kLookEvery);
  });
  close_worker_ = std::make_unique<Worker>("close", [this](std::stop_token stop) {
    if (!WaitOrStop(stop, kCloseWindowsEvery)) CloseStep();
  });
}

std::size_t Dispatcher::ChooseStep(std::stop_token stop) {
  std::chrono::nanoseconds idle{};
  const std::size_t intended = chooser_.Step(idle);
  if (intended == 0 && stop.stop_possible()) chooser_.AwaitWake(stop, idle);
  return intended;
}

std::size_t Dispatcher::PostStep(int poster, std::stop_token stop) {
  return posters_.at(static_cast<std::size_t>(poster))->Step(stop);
}

std::size_t Dispatcher::RecordStep(std::stop_token stop) { return recorder_.Step(stop); }

void Dispatcher::TakeBackAll() {
  for (const QueuedIntent& intent : lanes_.TakeAll()) {
    AttemptOutcome row;
    row.key = intent.key;
    row.attempt = intent.attempt;
    row.outcome.kind = OutcomeKind::kTakenBack;
    row.outcome.detail = "this replica was stopped before the POST";
    recorder_.Push(intent.replica, std::move(row));
  }
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
