#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

/// How many posters are needed: by Little's law the POSTs of a second times the seconds of a POST,
/// and half as many again; never less than are under way. More at once, fewer when that has been
/// enough for kPostersKept. Safe from any thread; Update is for one caller at a time.
/// Source: Little, A Proof for the Queuing Formula L = lambda W, 1961.
class PosterScale {
 public:
  /// Both must outlive it. 1 <= least <= most.
  PosterScale(const Clock& clock, Metrics& metrics, int least, int most);

  void Began();
  void Ended(std::chrono::nanoseconds latency);

  /// Counts anew; `due`: a turn waits for a poster. Returns how many are needed.
  int Update(bool due);
  /// Waits until poster number `poster`, from 0, is needed, for a second at most or until `stop`.
  /// False: it is not.
  bool AwaitNeed(int poster, std::stop_token stop);

 private:
  const Clock& clock_;
  const int least_;
  const int most_;
  Gauge& posters_;
  Gauge& latency_gauge_;

  Mutex mu_;
  CondVar grown_;
  int needed_ ABSL_GUARDED_BY(mu_);
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;
  std::int64_t began_ ABSL_GUARDED_BY(mu_) = 0;
  double latency_s_ ABSL_GUARDED_BY(mu_) = 0;
  double rate_per_s_ ABSL_GUARDED_BY(mu_) = 0;
  MonotonicTime updated_at_ ABSL_GUARDED_BY(mu_);
  MonotonicTime enough_since_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
