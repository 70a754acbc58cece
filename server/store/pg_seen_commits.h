#pragma once

#include <array>
#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/base/mutex.h"
#include "server/model/events.h"
#include "server/store/pg_session.h"

namespace postrider {

/// What a gateway has seen committed in its database: the newest tick, and its own last intents,
/// which are younger. Where that is missing, an older database was put in its place: a restored
/// backup, or a standby that lagged behind. What is queued there may have left already, so nothing
/// of it may be dispatched. Safe from any thread.
class SeenCommits {
 public:
  /// `tick` was committed.
  void NoteTick(const Tick& tick);
  /// So was an intent. One of each transaction is enough.
  void NoteIntent(const MessageKey& key, int attempt);
  /// For PgPool::Options: UNAVAILABLE where something of it is missing; once a tick was missing in
  /// a database that is no standby, for as long as this lives.
  absl::Status Admit(PgTransaction& reads);

 private:
  struct SeenIntent {
    MessageKey key;
    int attempt = 0;  ///< 0: none.
  };
  /// More than are committed between two ticks at once.
  static constexpr std::size_t kIntentsSeen = 64;

  Mutex mu_;
  Tick tick_ ABSL_GUARDED_BY(mu_);
  std::array<SeenIntent, kIntentsSeen> intents_ ABSL_GUARDED_BY(mu_);
  std::size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  bool replaced_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace postrider
