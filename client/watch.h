#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"

#include "client/connection.h"

namespace postrider::client {

/// Called with each element, checkpoints included, on the thread that watches. While it runs
/// nothing more is read; a gateway that waits too long for its reader cuts the stream, and the
/// watch resumes.
using OnElement = std::function<void(const v1::StreamStatusResponse&)>;

/// How a watch ended, and where it stands.
struct WatchEnd {
  /// OK when it was stopped, or when all messages were final with `until_final`.
  absl::Status status;
  /// Of the last element; what was given when none came. A later watch goes on from here.
  std::string resume_token;
};

/// Follows the changes that `request` names until `stop`, or until the stream is over.
///
/// When the connection is lost, is silent for too long, or is cut because this reader was too
/// slow (STREAM_TOO_SLOW, which arrives as RESOURCE_EXHAUSTED without a reason), it connects again
/// with the last resume token after BackoffOf(), also from inside of a snapshot. It
/// gives up after `Options::retry.budget` without an element. Elements that come again after a
/// reconnect are dropped by (message_id, revision), so the callback sees each once and in order
/// per message. All other errors end it: RESUME_TOKEN_EXPIRED, UNAUTHENTICATED, INVALID_FIELD ...
/// Blocks; safe from any thread, any number at a time.
WatchEnd WatchStatus(const Connection& connection, v1::StreamStatusRequest request,
                     const OnElement& on_element, std::stop_token stop);

/// Knows which (message_id, revision) were seen, for the `capacity` or more messages that were
/// seen last; older ones are forgotten. Not thread safe.
class RepeatFilter {
 public:
  explicit RepeatFilter(std::size_t capacity = 65536) : capacity_(capacity) {}

  /// True when this revision of the message, or a later one, was seen before; notes it otherwise.
  bool SeenBefore(const std::string& message_id, int revision);

 private:
  const std::size_t capacity_;
  // Two generations: when the young one is full the old one is dropped, so memory is bounded
  // without a list of who was used last.
  std::unordered_map<std::string, int> young_;
  std::unordered_map<std::string, int> old_;
};

}  // namespace postrider::client
