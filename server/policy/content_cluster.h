#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/model/ids.h"
#include "server/model/state.h"

namespace postrider {

/// Whether a message in that state was refused by carriers for what it says, as far as they tell.
bool IsRejectedForContent(MessageState state, FailureReason failure);

/// A message that a carrier has answered: it was delivered, or it failed.
struct AnsweredMessage {
  MessageId message_id;
  std::string content_key;  ///< The same of messages with the same text (content_fingerprint.h).
  bool rejected = false;    ///< It failed for what it says.
  WallTime sent_at{};
  WallTime answered_at{};
};

/// One text that carriers reject in numbers.
struct ContentCluster {
  std::string content_key;
  std::vector<MessageId> rejected;
  int answered = 0;  ///< Messages with the text, the rejected ones among them.
};

/// The text of which kClusterRejections messages at least were rejected, and kClusterPercent of
/// those that were answered: in the last kClusterWindow, of messages that were sent after `since`
/// (the last time that there was such a text). Of several the one that was rejected most. Pure.
std::optional<ContentCluster> FindCluster(std::span<const AnsweredMessage> answered, WallTime since,
                                          WallTime now);

/// Why a campaign is paused for it, and what to do: one line for operators.
std::string PauseReasonOf(const ContentCluster& cluster);

}  // namespace postrider
