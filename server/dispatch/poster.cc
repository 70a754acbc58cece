#include "server/dispatch/poster.h"

#include <algorithm>
#include <utility>

#include "server/base/backoff.h"
#include "server/base/crash_point.h"
#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

SendRequest RequestOf(const QueuedIntent& intent) {
  const MessageRequest& request = intent.request;
  return {.message_id = intent.key.message_id,
          .attempt = intent.attempt,
          .recipient = request.recipient,
          .sender = request.sender,
          .text = request.text,
          .conversation_id = request.conversation_id,
          .external_contact_id = request.external_contact_id,
          .campaign_id = request.campaign_id,
          .metadata = request.metadata};
}

void LogOutcome(const QueuedIntent& intent, const AttemptOutcome& row) {
  const Outcome& outcome = row.outcome;
  const LogLevel level =
      outcome.kind == OutcomeKind::kAccepted ? LogLevel::kDebug : LogLevel::kWarning;
  if (!LogEnabled(level)) return;
  WriteLog(level, "message posted",
           {{"message_id", intent.key.message_id.ToString()},
            {"tenant", intent.key.tenant_id.ToString()},
            {"request_id", intent.request.request_id},
            {"attempt", intent.attempt},
            {"outcome", NameOf(outcome.kind)},
            {"http_status", outcome.http_status},
            {"code", outcome.provider_code},
            {"correlation_id", outcome.correlation_id},
            {"detail", outcome.detail},
            {"recipient", MaskedNumber(intent.request.recipient)},
            {"again_in_ms", row.again_in / 1ms}});
}

}  // namespace

PostMetrics::PostMetrics(Metrics& metrics)
    : in_flight_(metrics.GaugeOf("postrider_posts_in_flight", "POSTs on their way.")),
      seconds_(metrics.HistogramOf("postrider_post_seconds", "How long POSTs took.")),
      taken_back_(metrics.CounterOf("postrider_intents_taken_back_total",
                                    "Intents that were not posted and went back to the queue.")),
      retries_(metrics.CounterOf("postrider_retries_total",
                                 "Messages queued again since they were not sent for certain.")),
      throttled_(metrics.CounterOf("postrider_throttled_total",
                                   "POSTs that the provider answered with 429.")),
      stopped_(metrics.CounterOf("postrider_tenant_stops_total",
                                 "Times that a tenant was stopped for its credentials.")) {
  for (const OutcomeKind kind :
       {OutcomeKind::kAccepted, OutcomeKind::kNotSent, OutcomeKind::kRejected, OutcomeKind::kHeld,
        OutcomeKind::kUnknown, OutcomeKind::kTakenBack}) {
    posts_[kind] = &metrics.CounterOf("postrider_posts_total", "POSTs by how they ended.",
                                      {{"outcome", std::string(NameOf(kind))}});
  }
}

void PostMetrics::Ended(OutcomeKind kind, double seconds) {
  in_flight_.Set(static_cast<double>(--under_way_));
  seconds_.Observe(seconds);
  posts_.at(kind)->Add();
}

Poster::Poster(ProviderFactory& providers, const SlotOwner& owner, TenantLanes& lanes,
               BreakerGate& gate, const QuietWatch& quiet, OutcomeRecorder& recorder,
               const SettingsOf& settings, const Clock& clock, Random& random, PostMetrics& metrics,
               PosterScale& scale)
    : providers_(providers),
      owner_(owner),
      lanes_(lanes),
      gate_(gate),
      quiet_(quiet),
      recorder_(recorder),
      settings_(settings),
      clock_(clock),
      random_(random),
      metrics_(metrics),
      scale_(scale) {}

std::size_t Poster::Step(std::stop_token stop) {
  std::optional<TenantLanes::Turn> turn = lanes_.Pop(stop);
  if (!turn.has_value()) return 0;
  const QueuedIntent& intent = turn->intent;
  int requests = 0;
  // Looked at after the token came: nothing that takes time lies between this and the POST.
  if (turn->stale || clock_.Now() >= intent.start_by) {
    const HoldReason hold = turn->wait > 0ns ? HoldReason::kRetryAfter : HoldReason::kNone;
    TakeBack(intent, hold, turn->wait, "too old when its turn came");
  } else if (!owner_.MayPost(intent.replica, intent.lease) &&
             !Mutated(Mutant::kPostedUnderLostLease)) {
    TakeBack(intent, HoldReason::kNone, {}, "the lease ran out before the POST");
  } else if (!gate_.MayPost(intent.key)) {
    TakeBack(intent, HoldReason::kNone, {}, "a circuit breaker opened before the POST");
  } else if (const auto hold = quiet_.HoldFor(intent.request);
             hold > 0ns && !Mutated(Mutant::kQuietHoursForgotten)) {
    TakeBack(intent, HoldReason::kQuietHours, hold, "quiet hours began before the POST");
  } else {
    Outcome outcome = Post(intent);
    requests = outcome.requests;
    Decide(intent, std::move(outcome));
  }
  if (!turn->stale) lanes_.Done(intent.key.tenant_id, requests);
  return 1;
}

Outcome Poster::Post(const QueuedIntent& intent) {
  Outcome failure;
  Provider* const provider = ProviderOf(intent.key.tenant_id, failure);
  if (provider == nullptr) return failure;
  CrashPoint("before_post");
  const MonotonicTime began = clock_.Now();
  metrics_.Began();
  scale_.Began();
  Outcome outcome = provider->Send(RequestOf(intent));
  scale_.Ended(clock_.Now() - began);
  metrics_.Ended(outcome.kind, std::chrono::duration<double>(clock_.Now() - began).count());
  CrashPoint("after_post");
  return outcome;
}

Provider* Poster::ProviderOf(TenantId tenant, Outcome& failure) {
  Connection& connection = connections_[tenant];
  connection.used = ++posts_;
  std::shared_ptr<const TenantSettings> settings = settings_(tenant);
  absl::Status why = absl::NotFoundError("the tenant has no settings");
  if (settings != nullptr) {
    const bool same =
        connection.provider != nullptr &&
        (settings == connection.settings || settings->account == connection.settings->account);
    connection.settings = settings;
    if (same) return connection.provider.get();
    absl::StatusOr<std::unique_ptr<Provider>> made = providers_.Make(settings->account);
    why = made.status();
    if (made.ok()) {
      connection.provider = *std::move(made);
      if (connections_.size() > kProvidersPerPoster) {
        connections_.erase(std::min_element(
            connections_.begin(), connections_.end(),
            [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
      }
      return connections_.at(tenant).provider.get();
    }
  }
  connections_.erase(tenant);
  failure.kind = OutcomeKind::kNotSent;
  failure.hold = HoldReason::kTenantStopped;
  failure.stops_tenant = true;
  failure.detail = why.ToString();
  return nullptr;
}

void Poster::Decide(const QueuedIntent& intent, Outcome outcome) {
  AttemptOutcome row;
  row.key = intent.key;
  row.attempt = intent.attempt;
  row.outcome = std::move(outcome);
  Outcome& end = row.outcome;
  if (Mutated(Mutant::kRetryOnTimeout) && end.kind == OutcomeKind::kUnknown)
    end.kind = OutcomeKind::kNotSent;
  end.retry_after = std::clamp<std::chrono::nanoseconds>(end.retry_after, 0ns, kMaxRetryAfter);
  const bool comes_again = end.kind == OutcomeKind::kNotSent || end.kind == OutcomeKind::kHeld;
  if (end.kind == OutcomeKind::kAccepted) {
    lanes_.Accepted(intent.key.tenant_id);
  } else if (end.kind == OutcomeKind::kNotSent) {
    metrics_.Retry();
    if (end.hold == HoldReason::kNone) end.hold = HoldReason::kBackoff;
    row.again_in =
        std::max(Backoff(intent.attempt, kBackoffFirst, kBackoffLongest, random_), end.retry_after);
  } else if (end.kind == OutcomeKind::kHeld) {
    if (end.hold == HoldReason::kNone) end.hold = HoldReason::kQuota;
    row.again_in = end.retry_after > 0ns ? end.retry_after : kQuotaHold;
  }
  if (end.pauses_tenant || end.stops_tenant) HoldTenant(intent, row);
  if (!comes_again) row.again_in = {};
  LogOutcome(intent, row);
  gate_.Ended(row.key, row.outcome);
  recorder_.Push(intent.replica, std::move(row));
}

void Poster::HoldTenant(const QueuedIntent& intent, AttemptOutcome& row) {
  const TenantId tenant = intent.key.tenant_id;
  Outcome& end = row.outcome;
  std::vector<QueuedIntent> waiting;
  if (end.stops_tenant) {
    metrics_.Stopped();
    end.hold = HoldReason::kTenantStopped;
    waiting = lanes_.Stop(tenant, row.again_in);
    PR_LOG(kError, "tenant stopped: the provider refuses its credentials or permissions",
           {"tenant", tenant.ToString()}, {"http_status", end.http_status},
           {"code", end.provider_code}, {"detail", end.detail}, {"again_in_s", row.again_in / 1s});
  } else {
    metrics_.Throttled();
    end.hold = HoldReason::kRetryAfter;
    // Without a word how long: as if this message had failed.
    row.again_in = end.retry_after > 0ns
                       ? std::max<std::chrono::nanoseconds>(end.retry_after, kLeastRetryAfter)
                       : row.again_in + kLeastRetryAfter;
    waiting = lanes_.Pause(tenant, row.again_in);
    PR_LOG(kWarning, "tenant paused: the provider said too fast", {"tenant", tenant.ToString()},
           {"again_in_s", row.again_in / 1s});
  }
  for (const QueuedIntent& other : waiting) {
    TakeBack(other, end.hold, row.again_in, "its tenant was paused before the POST");
  }
}

void Poster::TakeBack(const QueuedIntent& intent, HoldReason hold,
                      std::chrono::nanoseconds again_in, const char* why) {
  metrics_.TakenBack();
  AttemptOutcome row = TakenBack(intent, why, hold, again_in);
  PR_LOG(kDebug, "intent taken back", {"message_id", intent.key.message_id.ToString()},
         {"tenant", intent.key.tenant_id.ToString()}, {"request_id", intent.request.request_id},
         {"attempt", intent.attempt}, {"why", why});
  gate_.Ended(row.key, row.outcome);
  recorder_.Push(intent.replica, std::move(row));
}

}  // namespace postrider
