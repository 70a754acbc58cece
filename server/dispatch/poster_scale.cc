#include "server/dispatch/poster_scale.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "server/base/check.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {
constexpr double kSpare = 1.5;
constexpr double kLatencyWeight = 1.0 / 16;  // Of one POST.
constexpr auto kRateWindow = 2000ms;
constexpr auto kShortestWindow = 100ms;
}  // namespace

PosterScale::PosterScale(const Clock& clock, Metrics& metrics, int least, int most)
    : clock_(clock),
      least_(least),
      most_(most),
      posters_(metrics.GaugeOf("postrider_posters", "Posters that are needed now.")),
      latency_gauge_(metrics.GaugeOf("postrider_post_latency_seconds",
                                     "How long a POST takes of late, for scaling posters.")),
      needed_(least),
      updated_at_(clock.Now()),
      enough_since_(clock.Now()) {
  PR_CHECK(least >= 1 && least <= most);
  posters_.Set(least);
}

void PosterScale::Began() {
  MutexLock lock(mu_);
  ++under_way_;
  ++began_;
}

void PosterScale::Ended(std::chrono::nanoseconds latency) {
  MutexLock lock(mu_);
  --under_way_;
  const double took_s = SecondsOf(latency);
  latency_s_ = latency_s_ == 0 ? took_s : latency_s_ + (took_s - latency_s_) * kLatencyWeight;
  latency_gauge_.Set(latency_s_);
}

int PosterScale::Update(bool due) {
  MutexLock lock(mu_);
  const MonotonicTime now = clock_.Now();
  const auto passed = now - updated_at_;
  if (passed >= kShortestWindow) {
    const double rate = static_cast<double>(std::exchange(began_, 0)) / SecondsOf(passed);
    const double weight = std::min(1.0, SecondsOf(passed) / SecondsOf(kRateWindow));
    rate_per_s_ += (rate - rate_per_s_) * weight;
    updated_at_ = now;
  }
  int need = static_cast<int>(std::ceil(std::min(1e6, rate_per_s_ * latency_s_ * kSpare)));
  need = std::max(need, under_way_);
  // All are busy and there is more: the latency just rose, or the rate did.
  if (due && under_way_ >= needed_) need = std::max(need, 2 * needed_);
  need = std::clamp(need, least_, most_);
  if (need >= needed_) {
    enough_since_ = now;
  } else if (now - enough_since_ < kPostersKept) {
    return needed_;
  }
  const bool grown = need > needed_;
  needed_ = need;
  enough_since_ = now;
  posters_.Set(needed_);
  if (grown) grown_.NotifyAll();
  return needed_;
}

bool PosterScale::AwaitNeed(int poster, std::stop_token stop) {
  MutexLock lock(mu_);
  if (poster < needed_) return true;
  if (!stop.stop_possible()) return false;
  return grown_.WaitFor(mu_, stop, 1s,
                        [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return poster < needed_; });
}

}  // namespace postrider
