#include "server/dispatch/tenant_buckets.h"

#include <algorithm>
#include <cmath>

#include "server/base/mutant.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

struct Rate {
  double per_s;
  double burst;
};

Rate Requests(const TenantSettings& settings) {
  if (settings.requests_per_s <= 0) return {settings.rate_per_s, settings.burst};
  return {settings.requests_per_s, std::max(1.0, settings.requests_burst)};
}
Rate Messages(const TenantSettings& settings) { return {settings.rate_per_s, settings.burst}; }
Rate Reads(const TenantSettings& settings, double share) {
  return {Requests(settings).per_s * share, std::max(1.0, Requests(settings).burst * share)};
}
Rate Segments(double per_s) { return {per_s, std::max(1.0, per_s)}; }

/// With what has come between `since` and now.
TokenBucket::Options Filled(const Clock& clock, Rate rate, MonotonicTime since) {
  const double owned_s = std::chrono::duration<double>(clock.Now() - since).count();
  return {.rate_per_s = rate.per_s,
          .burst = rate.burst,
          .initial = Mutated(Mutant::kBucketFullAtTakeOver)
                         ? rate.burst
                         : std::clamp(owned_s * rate.per_s, 0.0, rate.burst)};
}

}  // namespace

TenantBuckets::TenantBuckets(const Clock& clock, const TenantSettings& settings,
                             MonotonicTime since)
    : clock_(clock),
      since_(since),
      settings_(settings),
      credential_(clock, Filled(clock, Requests(settings), since)),
      tenant_(clock, Filled(clock, Messages(settings), since)),
      reads_(clock, Filled(clock, Reads(settings, kReadShare), since)),
      kept_reads_(clock, Filled(clock, Reads(settings, kKeptReadShare), since)) {}

void TenantBuckets::SetRates() {
  const Rate requests = Requests(settings_);
  const Rate messages = Messages(settings_);
  credential_.SetRate(requests.per_s * applied_, requests.burst);
  tenant_.SetRate(messages.per_s * applied_, messages.burst);
  const Rate reads = Reads(settings_, kReadShare);
  const Rate kept = Reads(settings_, kKeptReadShare);
  reads_.SetRate(reads.per_s * applied_, reads.burst);
  kept_reads_.SetRate(kept.per_s * applied_, kept.burst);
}

bool TenantBuckets::Follow(const TenantSettings& settings) {
  const bool rates = settings.rate_per_s != settings_.rate_per_s ||
                     settings.burst != settings_.burst ||
                     settings.requests_per_s != settings_.requests_per_s ||
                     settings.requests_burst != settings_.requests_burst;
  const bool senders = settings.senders != settings_.senders ||
                       settings.other_senders_per_s != settings_.other_senders_per_s;
  if (!rates && !senders) return false;
  settings_ = settings;
  if (rates) SetRates();
  for (auto at = senders_.begin(); senders && at != senders_.end();) {
    const auto found = settings_.senders.find(at->first);
    const double per_s =
        found == settings_.senders.end() ? settings_.other_senders_per_s : found->second;
    if (per_s > 0) at->second->SetRate(per_s, Segments(per_s).burst);
    at = per_s > 0 ? std::next(at) : senders_.erase(at);
  }
  return true;
}

TokenBucket* TenantBuckets::BucketOf(SenderId sender) {
  const auto known = senders_.find(sender);
  if (known != senders_.end()) return known->second.get();
  const auto set = settings_.senders.find(sender);
  const double per_s = set == settings_.senders.end() ? settings_.other_senders_per_s : set->second;
  if (per_s <= 0) return nullptr;
  auto made = std::make_unique<TokenBucket>(clock_, Filled(clock_, Segments(per_s), since_));
  return senders_.emplace(sender, std::move(made)).first->second.get();
}

double TenantBuckets::MessagesWithin(std::chrono::nanoseconds ahead) {
  Recover();
  return std::min(credential_.TokensWithin(ahead), tenant_.TokensWithin(ahead));
}

double TenantBuckets::SegmentsWithin(SenderId sender, std::chrono::nanoseconds ahead) {
  TokenBucket* const bucket = BucketOf(sender);
  return bucket == nullptr ? static_cast<double>(kIntentRows) : bucket->TokensWithin(ahead);
}

std::chrono::nanoseconds TenantBuckets::Wait() {
  Recover();
  const bool leaves_some = clock_.Now() < read_waits_until_;
  return std::max(credential_.Wait(leaves_some ? 1 + read_waits_for_ : 1), tenant_.Wait(1));
}

std::chrono::nanoseconds TenantBuckets::WaitOf(SenderId sender) {
  TokenBucket* const bucket = BucketOf(sender);
  return bucket == nullptr ? 0ns : bucket->Wait(1);
}

void TenantBuckets::Take(SenderId sender, int segments) {
  credential_.Spend(1);
  tenant_.Spend(1);
  TokenBucket* const bucket = BucketOf(sender);
  if (bucket != nullptr) bucket->Spend(segments);
}

void TenantBuckets::SpendRequests(int count) { credential_.Spend(count); }

int TenantBuckets::TryTakeRead(int requests, bool sends_wait) {
  Recover();
  TokenBucket& share = sends_wait ? kept_reads_ : reads_;
  if (tenant_.PauseLeft() > 0ns || share.Wait(1) > 0ns) return 0;
  const int paid = std::min(requests, static_cast<int>(Requests(settings_).burst));
  if (credential_.Wait(paid) > 0ns) {
    read_waits_for_ = paid;
    if (sends_wait) read_waits_until_ = clock_.Now() + kReadTokenKept;
    return 0;
  }
  read_waits_until_ = {};
  credential_.Spend(paid);
  reads_.Spend(paid);
  read_was_kept_ = sends_wait;
  if (read_was_kept_) kept_reads_.Spend(paid);
  return paid;
}

void TenantBuckets::ReturnReads(int count) {
  credential_.Spend(-count);
  reads_.Spend(-count);
  if (read_was_kept_) kept_reads_.Spend(-count);
}

void TenantBuckets::Pause(std::chrono::nanoseconds pause, bool slower) {
  if (slower) {
    if (PauseLeft() == 0ns) share_ = std::max(kLeastShare, Share() / 2);
    recovers_from_ = std::max(recovers_from_, clock_.Now() + pause);
  }
  for (TokenBucket* bucket : {&credential_, &tenant_, &reads_, &kept_reads_}) bucket->Pause(pause);
  Recover();
}

double TenantBuckets::Share() const {
  if (share_ >= 1) return 1;
  const auto steps = std::max<std::int64_t>(0, (clock_.Now() - recovers_from_) / kRecoveryStep);
  return std::min(1.0, share_ + kRecoveryGain * static_cast<double>(steps));
}

void TenantBuckets::Recover() {
  const double share = Share();
  if (share == applied_) return;
  if (share >= 1) share_ = 1;
  applied_ = share;
  SetRates();
}

double TenantBuckets::EffectiveRate() { return PauseLeft() > 0ns ? 0 : RateAfterPause(); }

double TenantBuckets::RateAfterPause() {
  Recover();
  return settings_.rate_per_s * applied_;
}

}  // namespace postrider
