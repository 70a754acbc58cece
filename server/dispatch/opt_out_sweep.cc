#include "server/dispatch/opt_out_sweep.h"

#include "server/base/log.h"
#include "server/model/consent_limits.h"

namespace postrider {

OptOutSweep::OptOutSweep(Store& store, const SlotOwner& owner, Metrics& metrics)
    : store_(store),
      owner_(owner),
      suppressed_(metrics.CounterOf("postrider_suppressed_total",
                                    "Queued messages that an opt-out ended.")) {}

void OptOutSweep::Start() {
  worker_.emplace("opt-outs", [this](std::stop_token stop) {
    if (!Step()) WaitOrStop(stop, kOptOutSweep);
  });
}

bool OptOutSweep::Step() {
  const std::vector<int> slots = owner_.Current()->SlotNumbers();
  if (slots.empty()) return false;
  const absl::StatusOr<std::optional<int>> ended = store_.SuppressQueued(slots);
  if (!ended.ok()) {
    LogFailure(repeated_, "messages to whom opted out not ended", ended.status());
    return false;
  }
  LogWorksAgain(repeated_, "messages to whom opted out are ended again");
  if (!*ended) return false;
  suppressed_.Add(**ended);
  return true;
}

}  // namespace postrider
