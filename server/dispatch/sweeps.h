#pragma once

#include "server/dispatch/content_sweep.h"
#include "server/dispatch/expiry_sweep.h"
#include "server/dispatch/opt_out_sweep.h"

namespace postrider {

/// What looks after the owned slots beside the dispatcher, each on a worker of its own.
class Sweeps {
 public:
  /// All must outlive it.
  Sweeps(Store& store, const SlotOwner& owner, Metrics& metrics)
      : expiry_(store, owner, metrics),
        opt_outs_(store, owner, metrics),
        content_(store, owner, metrics) {}

  void Start() {
    expiry_.Start();
    opt_outs_.Start();
    content_.Start();
  }
  /// Ends the workers. The store stays as it is.
  void Stop() {
    expiry_.Stop();
    opt_outs_.Stop();
    content_.Stop();
  }

 private:
  ExpirySweep expiry_;
  OptOutSweep opt_outs_;
  ContentSweep content_;
};

}  // namespace postrider
