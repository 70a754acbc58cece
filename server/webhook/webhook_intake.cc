#include "server/webhook/webhook_intake.h"

#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"

namespace postrider {

namespace {
constexpr auto kUnspoolEvery = 200ms;
constexpr auto kUnspoolRetry = 500ms;
}  // namespace

WebhookIntake::WebhookIntake(Store& store, InboxCommit& inbox, Spool* spool, const Clock& clock,
                             Random& random, Options options)
    : store_(store),
      inbox_(inbox),
      spool_(spool),
      clock_(clock),
      random_(random),
      options_(std::move(options)) {}

void WebhookIntake::Start() {
  if (spool_ == nullptr) return;
  spool_worker_ =
      std::make_unique<Worker>("spool", [this](std::stop_token stop) { SpoolStep(stop); });
}

void WebhookIntake::StartUnspooling() {
  if (spool_ == nullptr) return;
  unspool_worker_ = std::make_unique<Worker>("unspool", [this](std::stop_token stop) {
    if (UnspoolStep() == 0) WaitOrStop(stop, spool_->size() == 0 ? kUnspoolEvery : kUnspoolRetry);
  });
}

void WebhookIntake::Answer(Row& row, const absl::Status& status) {
  if (!row.answered.exchange(true)) row.done(status);
}

void WebhookIntake::Stored(const std::shared_ptr<Desk>& desk, const std::shared_ptr<Row>& row,
                           const absl::Status& verdict) {
  if (verdict.ok()) return Answer(*row, verdict);
  {
    MutexLock lock(desk->mu);
    if (!desk->closed) {
      desk->refused.push_back(row);
      desk->changed.NotifyOne();
      return;
    }
  }
  Answer(*row, verdict);
}

void WebhookIntake::Keep(InboxRow row, Done done) {
  const auto kept = std::make_shared<Row>();
  kept->row = row;
  kept->done = std::move(done);
  kept->due = clock_.Now() + options_.store_within;
  if (spool_ != nullptr) {
    MutexLock lock(desk_->mu);
    if (desk_->waiting.empty()) desk_->changed.NotifyOne();
    desk_->waiting.push_back(kept);
  }
  const bool may_spool = spool_ != nullptr;
  auto verdict = [desk = desk_, kept, may_spool,
                  on_stored = options_.on_stored](const absl::StatusOr<bool>& stored) {
    if (stored.ok()) on_stored(kept->row);
    // What the database refuses for its data is refused; all else may be spooled.
    if (stored.ok() || !may_spool || absl::IsInvalidArgument(stored.status())) {
      return Answer(*kept, stored.status());
    }
    Stored(desk, kept, stored.status());
  };
  if (inbox_.TrySubmit(std::move(row), std::move(verdict))) return;
  const absl::Status full = absl::UnavailableError("the inbox is full");
  if (!may_spool) return Answer(*kept, full);
  Stored(desk_, kept, full);
}

std::vector<std::shared_ptr<WebhookIntake::Row>> WebhookIntake::TakeOverdue(std::stop_token stop) {
  std::vector<std::shared_ptr<Row>> overdue;
  MutexLock lock(desk_->mu);
  const auto due = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return !desk_->refused.empty() ||
           (!desk_->waiting.empty() && desk_->waiting.front()->due <= clock_.Now());
  };
  if (stop.stop_possible() && !due()) {
    if (desk_->waiting.empty()) {
      desk_->changed.WaitFor(desk_->mu, stop, 1s, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return !desk_->refused.empty() || !desk_->waiting.empty();
      });
    } else {
      desk_->changed.WaitFor(
          desk_->mu, stop, desk_->waiting.front()->due - clock_.Now(),
          [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !desk_->refused.empty(); });
    }
  }
  const MonotonicTime now = clock_.Now();
  const auto take = [&](std::deque<std::shared_ptr<Row>>& from, bool all) {
    while (!from.empty() && overdue.size() < kGroupCommitRows) {
      const std::shared_ptr<Row>& first = from.front();
      if (!first->answered) {
        if (!all && first->due > now) break;
        overdue.push_back(first);
      }
      from.pop_front();
    }
  };
  take(desk_->refused, true);
  take(desk_->waiting, false);
  return overdue;
}

std::size_t WebhookIntake::SpoolStep(std::stop_token stop) {
  const std::vector<std::shared_ptr<Row>> overdue = TakeOverdue(stop);
  if (overdue.empty()) return 0;
  std::vector<InboxRow> rows;
  rows.reserve(overdue.size());
  for (const auto& row : overdue) rows.push_back(row->row);
  const absl::Status spooled = spool_->Append(rows);
  if (spooled.ok()) {
    LogWorksAgain(spooling_, "webhooks can be spooled again");
  } else {
    LogFailure(spooling_, "webhooks neither stored nor spooled", spooled);
  }
  for (const auto& row : overdue) Answer(*row, spooled);
  return overdue.size();
}

std::size_t WebhookIntake::UnspoolStep() {
  std::vector<InboxRow>& rows = unspooling_rows_;
  if (rows.empty()) rows = spool_->Oldest(kGroupCommitRows);
  if (rows.empty()) return 0;
  // The sweep looks from a minute back: what is older than that gets an id of now. Should the
  // inbox have it under the old one, it is a copy.
  const Uuid swept = LeastUuidV7(clock_.Wall() - kSweepOverlap / 2);
  for (InboxRow& row : rows) {
    if (row.inbox_id.uuid < swept) row.inbox_id = {MakeUuidV7(clock_.Wall(), random_)};
  }
  const absl::Status stored = store_.AppendInbox(rows);
  if (!stored.ok()) {
    LogFailure(unspooling_, "spooled webhooks not stored yet", stored);
    return 0;
  }
  LogWorksAgain(unspooling_, "spooled webhooks are stored again");
  spool_->Forget();
  std::vector<InboxRow> stored_rows = std::exchange(rows, {});
  for (InboxRow& row : stored_rows) options_.on_stored(std::move(row));
  return stored_rows.size();
}

void WebhookIntake::Drain() {
  spool_worker_.reset();
  unspool_worker_.reset();
  if (spool_ == nullptr) return;
  // Those that the inbox has not answered are due now.
  {
    MutexLock lock(desk_->mu);
    for (const auto& row : desk_->waiting) desk_->refused.push_back(row);
    desk_->waiting.clear();
    desk_->closed = true;
  }
  while (SpoolStep() > 0) {
  }
}

}  // namespace postrider
