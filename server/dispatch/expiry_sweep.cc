#include "server/dispatch/expiry_sweep.h"

#include "server/base/log.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

ExpirySweep::ExpirySweep(Store& store, const SlotOwner& owner, Metrics& metrics)
    : store_(store),
      owner_(owner),
      expired_(metrics.CounterOf("postrider_expired_total",
                                 "Messages that expired before their turn came.")) {}

void ExpirySweep::Start() {
  worker_.emplace("expire", [this](std::stop_token stop) {
    // A full batch: there are more.
    if (Step() < kIntentRows) WaitOrStop(stop, kExpirySweep);
  });
}

std::size_t ExpirySweep::Step() {
  const std::vector<int> slots = owner_.Current()->SlotNumbers();
  if (slots.empty()) return 0;
  const absl::StatusOr<int> expired = store_.ExpireDue(slots);
  if (!expired.ok()) {
    LogFailure(repeated_, "expired messages not ended", expired.status());
    return 0;
  }
  LogWorksAgain(repeated_, "expired messages are ended again");
  expired_.Add(*expired);
  return static_cast<std::size_t>(*expired);
}

}  // namespace postrider
