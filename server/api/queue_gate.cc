#include "server/api/queue_gate.h"

#include <algorithm>
#include <utility>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/policy/sender_rate.h"

namespace postrider {

namespace {

/// The pause is up to a quarter longer, by chance: callers that were refused together do not
/// return together.
constexpr double kJitter = 0.25;

std::chrono::nanoseconds SecondsToDrain(double messages, double per_s) {
  const std::chrono::duration<double> longest = kQueueRetryLongest;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(std::min(messages / per_s, longest.count())));
}

}  // namespace

QueueBound QueueBoundOf(const TenantRow& tenant, bool held) {
  // What its carriers take from its senders together, when that is less than its licence.
  double senders_per_s = 0;
  for (const SenderRow& sender : tenant.senders) {
    if (senders_per_s >= tenant.rate_per_s) break;
    senders_per_s += sender.segments_per_s.value_or(SegmentsPerSecondOf(sender.address));
  }
  const double drained_per_s =
      senders_per_s > 0 ? std::min(senders_per_s, tenant.rate_per_s) : tenant.rate_per_s;
  const std::int64_t limit = QueueLimitOf(tenant);
  return {tenant.tenant_id, held ? std::max<std::int64_t>(1, limit / 2) : limit, drained_per_s};
}

std::optional<ApiError> QueueGate::TryRefuse(const QueueBound& queue) {
  const MonotonicTime now = clock_.Now();
  if (now >= shut_until_.load(std::memory_order_acquire)) return std::nullopt;
  MutexLock lock(mu_);
  const auto found = lines_.find(queue.tenant_id);
  if (found == lines_.end() || now >= found->second.refused_until) return std::nullopt;
  Line& line = found->second;
  if (now >= line.probes_until) {
    line.probes_until = now + kQueueRefusedUnasked;
    line.probes = kQueueProbes;
  }
  if (line.probes > 0) {
    --line.probes;
    return std::nullopt;
  }
  return ErrorFor(queue, line);
}

ApiError QueueGate::Refuse(const QueueBound& queue, std::int64_t depth) {
  const MonotonicTime now = clock_.Now();
  MutexLock lock(mu_);
  Line& line = lines_[queue.tenant_id];
  line.depth = depth;
  line.refused_until = now + kQueueRefusedUnasked;
  shut_until_.store(std::max(shut_until_.load(std::memory_order_relaxed), line.refused_until),
                    std::memory_order_release);
  return ErrorFor(queue, line);
}

void QueueGate::Open(TenantId tenant) {
  const MonotonicTime now = clock_.Now();
  if (now >= shut_until_.load(std::memory_order_acquire)) return;
  MutexLock lock(mu_);
  const auto found = lines_.find(tenant);
  if (found != lines_.end()) found->second.refused_until = now;
}

ApiError QueueGate::ErrorFor(const QueueBound& queue, Line& line) {
  const MonotonicTime now = clock_.Now();
  const auto excess = static_cast<double>(std::max<std::int64_t>(line.depth + 1 - queue.limit, 1));
  const MonotonicTime place = std::max(line.end + SecondsToDrain(1, queue.drained_per_s),
                                       now + SecondsToDrain(excess, queue.drained_per_s));
  line.end = std::min<MonotonicTime>(place, now + kQueueRetryLongest);
  const std::chrono::duration<double, std::milli> longest = kQueueRetryLongest;
  const std::chrono::duration<double, std::milli> wait =
      std::clamp<decltype(wait)>(place - now, kQueueRetryShortest, longest / (1 + kJitter));

  ApiError error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "QUEUE_FULL";
  error.message = StrCat("the tenant's queue is full: ", line.depth, " messages wait, ",
                         queue.limit, " may; repeat the call later");
  error.metadata["limit"] = StrCat(queue.limit);
  error.metadata["depth"] = StrCat(line.depth);
  error.retry_after =
      std::chrono::ceil<std::chrono::milliseconds>(wait * (1 + kJitter * random_.Fraction()));
  return error;
}

ApiError QuotaExceeded(const std::string& subject, std::int64_t quota, std::int64_t used,
                       WallTime now) {
  ApiError error;
  error.code = absl::StatusCode::kResourceExhausted;
  error.reason = "QUOTA_EXCEEDED";
  error.message = StrCat("the daily quota of ", subject, " is used up");
  error.quotas.push_back({subject, StrCat(used, " of ", quota, " messages of this day (UTC)")});
  error.metadata["quota"] = StrCat(quota);
  error.metadata["used"] = StrCat(used);
  error.metadata["subject"] = subject;
  const WallTime next_day = std::chrono::ceil<std::chrono::days>(now + std::chrono::nanoseconds(1));
  error.retry_after = std::chrono::ceil<std::chrono::milliseconds>(next_day - now);
  error.never_retry = true;
  return error;
}

}  // namespace postrider
