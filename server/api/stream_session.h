#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <variant>

#include "absl/base/thread_annotations.h"

#include "server/api/api_error.h"
#include "server/api/authenticate.h"
#include "server/api/read_pool.h"
#include "server/api/validate.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/fanout/hub.h"
#include "server/store/events.h"

namespace postrider {

/// What a stream carries: one element at a time.
struct StreamElement {
  enum class Kind { kSnapshot, kChange, kCheckpoint };
  Kind kind = Kind::kCheckpoint;
  std::shared_ptr<const StatusEvent> event;  ///< Null for a checkpoint.
  WallTime complete_until{};                 ///< Of a checkpoint; epoch: inside of the snapshot.
  std::string resume_token;
};

/// The connection that a session speaks through. Called without any lock, by one thread at a time,
/// and Cut also beside a Write; never after End.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  /// Begins to write; Session::OnWritten follows.
  virtual void Write(const StreamElement& element) = 0;
  /// Breaks off the write that does not end; OnWritten(false) follows. Of `error` the caller may
  /// get the code and the text only, also when End then says the rest.
  virtual void Cut(const ApiError& error) = 0;
  /// The last call. No error: the stream ended as asked.
  virtual void End(const std::optional<ApiError>& error) = 0;
};

/// One StreamStatus: current states if asked for, then every change, checkpoints between, in one
/// state machine: start -> snapshot -> follow (from the store or live, see subscription.h) -> end.
///
/// At most one write or one read of the store is under way. Safe from any thread; never blocks.
/// Made by Open; the sink must live until its End was called.
class StreamSession : public std::enable_shared_from_this<StreamSession> {
 public:
  /// All must outlive it.
  struct Parts {
    const Clock& clock;
    EventStore& store;
    Guard& guard;
    ReadPool& reads;
    Hub& hub;
    const std::atomic<bool>& draining;  ///< True: a last checkpoint, then SERVER_DRAINING.
  };

  StreamSession(Parts parts, StreamQuery query, std::string token_sha256, StreamSink& sink);

  /// Begins; TOO_MANY_STREAMS and whatever else goes wrong comes by the sink's End.
  void Open();
  /// The element was written; false: the connection is gone.
  void OnWritten(bool ok);
  /// The caller went away.
  void Cancel();
  /// Does what is due now: after a wake-up, a heartbeat, the end of a write or a read.
  void Pump();

 private:
  enum class Phase { kStart, kSnapshot, kFollow, kEnded };
  enum class Busy { kNo, kWriting, kReading };
  struct Nothing {};
  struct Cut {};
  struct End {
    std::optional<ApiError> error;
  };
  using Read = std::function<void()>;
  using Action = std::variant<Nothing, StreamElement, Read, Cut, End>;

  Action Decide() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Action DecideIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Action NextOfSnapshot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  /// A change that the subscription holds, if one is to be told.
  Action NextBuffered() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Action NextOfChanges() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Action DecideEnd(std::optional<ApiError> error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Action action);
  void Submit(Read read);
  void CheckToken();

  EventPosition Where() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  StreamElement Checkpoint() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  StreamElement ElementOf(StreamElement::Kind kind, std::shared_ptr<const StatusEvent> event,
                          const EventPosition& position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<EventPosition> StartAtOnce() const;
  bool AllFinal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Begin(const EventPosition& position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Note(const StatusEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // What reading workers do: each takes the lock only to hand over what it found.
  void ReadStart();
  absl::StatusOr<EventPosition> FindStart();
  void ReadPage(MessageId after);
  void ReadChanges(const Subscription::CatchUp& wanted);
  /// Of a read that failed; may read once more, and so is called without the lock.
  std::optional<ApiError> ErrorOf(const absl::Status& status);
  void Fail(const ApiError& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Parts parts_;
  const StreamQuery query_;
  const std::string token_sha256_;
  StreamSink& sink_;
  /// What is read: with until_final every change of the named messages, so that their end is seen.
  const EventFilter followed_;
  const bool pages_;                            ///< The current states are read first,
  const bool tells_all_;                        ///< told all of them,
  const bool tells_any_;                        ///< or at least the final ones.
  std::shared_ptr<Subscription> subscription_;  ///< Set by Open; null when it was refused.

  Mutex mu_;
  bool opened_ ABSL_GUARDED_BY(mu_) = false;
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kStart;
  Busy busy_ ABSL_GUARDED_BY(mu_) = Busy::kNo;
  bool cutting_ ABSL_GUARDED_BY(mu_) = false;
  bool was_cut_ ABSL_GUARDED_BY(mu_) = false;
  bool said_goodbye_ ABSL_GUARDED_BY(mu_) = false;  ///< The last checkpoint of a drain.
  bool begun_ ABSL_GUARDED_BY(mu_) = false;         ///< A position is known.
  std::optional<ApiError> failure_ ABSL_GUARDED_BY(mu_);
  EventPosition position_ ABSL_GUARDED_BY(mu_);  ///< Until it follows.
  std::deque<StatusEvent> page_ ABSL_GUARDED_BY(mu_);
  MessageId paged_ ABSL_GUARDED_BY(mu_);  ///< Read up to here.
  bool last_page_ ABSL_GUARDED_BY(mu_) = false;
  std::unordered_set<MessageId> open_ ABSL_GUARDED_BY(mu_);  ///< until_final: not known as final.
  std::set<MessageId> missing_ ABSL_GUARDED_BY(mu_);         ///< until_final: not found yet.
  std::int64_t final_after_ ABSL_GUARDED_BY(mu_) = 0;        ///< Their ends lie up to this tick.
  std::string last_token_ ABSL_GUARDED_BY(mu_);
  MonotonicTime checkpoint_due_ ABSL_GUARDED_BY(mu_);
  MonotonicTime check_token_at_ ABSL_GUARDED_BY(mu_);
  MonotonicTime write_began_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
