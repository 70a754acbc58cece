#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/sandbox/receipt_sender.h"

namespace postrider {

/// The messages of profile `platform` that the sandbox took, to be read: their statuses follow from
/// the time since, and from their recipient's row. The newest `kKept` are remembered.
///
/// Safe from any thread.
class MessageBook {
 public:
  static constexpr std::size_t kKept = 200'000;
  /// How long a sender and a recipient stay in one conversation.
  static constexpr auto kThreading = std::chrono::hours(72);

  /// The id of the pair's conversation, which goes on from `now`; `fresh` when it has none, or
  /// none for so long.
  std::string ConversationOf(const std::string& sender, const std::string& recipient, WallTime now,
                             std::string fresh);
  void Add(const SandboxMessage& message);

  std::optional<SandboxMessage> Find(const std::string& message_id) const;
  /// In the order in which they were posted.
  std::vector<SandboxMessage> InConversation(const std::string& conversation_id) const;
  /// The messages from `sender` to `recipient` that were posted in [`from`, `until`].
  std::vector<SandboxMessage> Between(const std::string& sender, const std::string& recipient,
                                      WallTime from, WallTime until) const;

 private:
  using Pair = std::pair<std::string, std::string>;

  mutable Mutex mu_;
  std::map<std::string, SandboxMessage> messages_ ABSL_GUARDED_BY(mu_);  ///< By message id.
  std::deque<std::string> oldest_first_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<std::string>> conversations_ ABSL_GUARDED_BY(mu_);
  struct Thread {
    std::string conversation_id;
    WallTime last{};
  };
  std::map<Pair, Thread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace postrider
