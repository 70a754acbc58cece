#include "server/dispatch/outcome_recorder.h"

#include <algorithm>
#include <utility>

#include "server/base/backoff.h"
#include "server/base/check.h"
#include "server/base/crash_point.h"
#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/base/status_macros.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {
constexpr auto kFirstRecordRetry = 20ms;
constexpr auto kLongestRecordRetry = 1000ms;
}  // namespace

OutcomeRecorder::OutcomeRecorder(Store& store, const Clock& clock, Random& random, Metrics& metrics,
                                 std::chrono::seconds quiet)
    : store_(store),
      clock_(clock),
      random_(random),
      quiet_(quiet),
      retries_(metrics.CounterOf("postrider_outcome_record_retries_total",
                                 "Batches of outcomes that the store did not take at once.")),
      dropped_(metrics.CounterOf("postrider_outcomes_unrecordable_total",
                                 "Outcomes that the store refused for good.")),
      outstanding_(metrics.GaugeOf("postrider_intents_outstanding",
                                   "Messages intended whose outcome is not stored yet.")) {}

bool OutcomeRecorder::Expect(const MessageKey& key) {
  MutexLock lock(mu_);
  const bool is_new = expected_.insert(key).second;
  outstanding_.Set(static_cast<double>(expected_.size()));
  return is_new;
}

void OutcomeRecorder::Forget(const MessageKey& key) {
  MutexLock lock(mu_);
  expected_.erase(key);
  outstanding_.Set(static_cast<double>(expected_.size()));
}

std::size_t OutcomeRecorder::Room() const {
  MutexLock lock(mu_);
  return kIntentsOutstanding - std::min(kIntentsOutstanding, expected_.size());
}

void OutcomeRecorder::Push(ReplicaId replica, AttemptOutcome row) {
  MutexLock lock(mu_);
  PR_CHECK(expected_.contains(row.key));
  if (row.outcome.kind == OutcomeKind::kAccepted) row.again_in = quiet_;
  waiting_.push_back({replica, std::move(row), clock_.Now()});
  pushed_.NotifyOne();
}

bool OutcomeRecorder::AwaitBatch(std::stop_token stop) {
  if (!stop.stop_possible()) return !waiting_.empty();
  const auto pause = retry_at_ - clock_.Now();
  if (pause > pause.zero()) {
    pushed_.WaitFor(mu_, stop, pause, [] { return false; });
    return false;
  }
  return pushed_.WaitFor(mu_, stop, 1s,
                         [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !waiting_.empty(); });
}

std::size_t OutcomeRecorder::Step(std::stop_token stop) {
  ReplicaId replica;
  std::vector<AttemptOutcome> rows;
  {
    MutexLock lock(mu_);
    if (!AwaitBatch(stop)) return 0;
    replica = waiting_.front().replica;
    for (const Waiting& next : waiting_) {
      if (next.replica != replica || rows.size() == kIntentRows) break;
      rows.push_back(next.row);
      // The store counts from when it records; a store that was away must not hold for longer.
      std::chrono::nanoseconds& again_in = rows.back().again_in;
      again_in = std::max<std::chrono::nanoseconds>(again_in - (clock_.Now() - next.at), 0ns);
    }
  }
  const absl::Status recorded = Record(replica, rows);
  MutexLock lock(mu_);
  if (!recorded.ok() && !Mutated(Mutant::kOutcomeDropped)) {
    retries_.Add();
    retry_at_ = clock_.Now() + Backoff(++tries_, kFirstRecordRetry, kLongestRecordRetry, random_);
    PR_LOG(kWarning, "outcomes not recorded yet", {"error", ToStd(recorded.message())},
           {"waiting", waiting_.size()}, {"tries", tries_});
    return 0;
  }
  tries_ = 0;
  for (const AttemptOutcome& row : rows) expected_.erase(row.key);
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(rows.size()));
  outstanding_.Set(static_cast<double>(expected_.size()));
  return rows.size();
}

absl::Status OutcomeRecorder::Record(ReplicaId replica, std::span<AttemptOutcome> rows) {
  CrashPoint("before_outcome");
  const absl::Status recorded = store_.RecordOutcomes(replica, rows);
  if (recorded.ok()) CrashPoint("after_outcome");
  if (!absl::IsInvalidArgument(recorded)) return recorded;
  if (rows.size() == 1) return RecordLone(replica, rows.front());
  const std::size_t half = rows.size() / 2;
  PR_RETURN_IF_ERROR(Record(replica, rows.first(half)));
  return Record(replica, rows.subspan(half));
}

absl::Status OutcomeRecorder::RecordLone(ReplicaId replica, AttemptOutcome& row) {
  // Only what came from outside can be at fault: the outcome itself counts more.
  Outcome& outcome = row.outcome;
  outcome.provider_code.clear();
  outcome.provider_message_id.clear();
  outcome.provider_conversation_id.clear();
  outcome.correlation_id.clear();
  outcome.detail = "the reply's texts could not be stored";
  const absl::Status recorded = store_.RecordOutcomes(replica, {&row, 1});
  if (!absl::IsInvalidArgument(recorded)) return recorded;
  dropped_.Add();
  PR_LOG(kError, "outcome cannot be recorded; the message stays as it is",
         {"message_id", row.key.message_id.ToString()}, {"tenant", row.key.tenant_id.ToString()},
         {"attempt", row.attempt}, {"outcome", NameOf(outcome.kind)},
         {"error", ToStd(recorded.message())});
  return absl::OkStatus();
}

}  // namespace postrider
