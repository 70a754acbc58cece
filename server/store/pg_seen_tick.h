#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/base/mutex.h"
#include "server/model/events.h"
#include "server/store/pg_session.h"

namespace postrider {

/// The newest tick that a gateway has seen of its database. Where that is missing, an older
/// database was put in its place: a restored backup, or a standby that lagged behind. Its queue may
/// have left already, so nothing of it may be dispatched. Safe from any thread.
class SeenTick {
 public:
  /// `tick` was committed.
  void Note(const Tick& tick);
  /// For PgPool::Options: UNAVAILABLE where what was noted is missing, however far that database
  /// has come since.
  absl::Status Admit(PgTransaction& reads);

 private:
  Mutex mu_;
  Tick newest_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
