#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/mutex.h"
#include "server/model/events.h"

namespace postrider {

class Hub;

/// An event that many subscriptions may hold at once; copied out of its batch when the first one
/// wants it, so that a slow reader never keeps whole batches alive.
struct SharedEvent {
  const StatusEvent* in_batch = nullptr;
  std::shared_ptr<const StatusEvent> shared;
};

/// One stream's view of the events: every one that passes its filter, once, per message by
/// revision.
///
/// It is *live* while the hub puts events into its bounded buffer, or *behind*: then it takes what
/// the hub remembers, and what that does not reach back to its reader fetches from the store, as
/// Behind() names it, and gives it to Feed(), until it has reached the hub. A reader that is too
/// slow for the buffer finds itself behind again, at the place after the last change that Next()
/// gave out: nothing is lost, nothing comes twice, and no other subscription notices.
///
/// One reader calls Begin once, then Next, Behind and Feed, one at a time; all else is safe from
/// any thread. Step 10 of the life of a message (server/README.md).
class Subscription : public std::enable_shared_from_this<Subscription> {
 public:
  /// Something may be there to be read: a change, or being behind; or the hub's heartbeat. Called
  /// without any lock, from any thread, at times once more after Hub::Unsubscribe; must not block.
  using Wake = std::function<void()>;

  /// A change, and where a reader stands who has it.
  struct Change {
    std::shared_ptr<const StatusEvent> event;
    EventPosition position;
  };

  /// What to read from the store next: the tenant's events of (from, to]. Unless `exact`, a nearer
  /// tick than `to` may be taken, so that one read is not too large.
  struct CatchUp {
    Tick from;
    Tick to;
    bool exact = false;
  };

  /// By Hub::Subscribe only. Neither live nor behind until Begin().
  Subscription(Hub& hub, EventFilter filter, Wake wake);

  /// What comes after `position` follows; its ticks must be the store's.
  void Begin(const EventPosition& position);
  /// The next change, if one is here.
  std::optional<Change> Next();
  bool HasChanges();
  /// What to read when no change is here. Empty when live (it turns so when the hub has been
  /// reached), when the hub has yet to reach this position (then it wakes), or when changes are
  /// here now, out of what the hub remembers.
  std::optional<CatchUp> Behind();
  /// Takes what was read: `batch.from` as Behind() named it.
  void Feed(const EventBatch& batch);
  /// Everything up to here was given out by Next(); it never goes back.
  EventPosition Position();

  const EventFilter& filter() const { return filter_; }

 private:
  friend class Hub;
  /// Feed, with the first `most` of the batch's changes.
  void Take(const EventBatch& batch, std::size_t most);
  enum class Mode { kWaiting, kBehind, kLive };

  bool Wants(const StatusEvent& event) const;
  /// A batch's events of this tenant, while live. True when the reader must be woken.
  bool Offer(const Tick& from, const Tick& to, std::vector<SharedEvent>& events);
  /// Forgets the buffer, if live: the store has to be read.
  void FallBehind();
  void TurnLive(const Tick& at);
  void DropBuffer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Hub& hub_;
  const EventFilter filter_;
  const std::unordered_set<MessageId> message_ids_;  ///< As in the filter, for speed.
  const Wake wake_;

  Mutex mu_;
  Mode mode_ ABSL_GUARDED_BY(mu_) = Mode::kWaiting;
  std::deque<Change> buffer_ ABSL_GUARDED_BY(mu_);
  /// When the buffer has been given out, everything up to here has been.
  Tick complete_ ABSL_GUARDED_BY(mu_);
  EventPosition position_ ABSL_GUARDED_BY(mu_);  ///< Of the last change, or an exact tick.
};

}  // namespace postrider
