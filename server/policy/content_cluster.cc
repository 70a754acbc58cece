#include "server/policy/content_cluster.h"

#include <map>
#include <utility>

#include "server/base/strings.h"
#include "server/model/content_limits.h"

namespace postrider {

bool IsRejectedForContent(MessageState state, FailureReason failure) {
  return state == MessageState::kFailed &&
         (failure == FailureReason::kCarrierRejected || failure == FailureReason::kContent);
}

std::optional<ContentCluster> FindCluster(std::span<const AnsweredMessage> answered, WallTime since,
                                          WallTime now) {
  std::map<std::string, ContentCluster> texts;
  for (const AnsweredMessage& message : answered) {
    if (message.sent_at <= since || message.answered_at + kClusterWindow < now) continue;
    ContentCluster& text = texts[message.content_key];
    ++text.answered;
    if (message.rejected) text.rejected.push_back(message.message_id);
  }
  std::optional<ContentCluster> found;
  for (auto& [key, text] : texts) {
    const int rejected = static_cast<int>(text.rejected.size());
    if (rejected < kClusterRejections || rejected * 100 < kClusterPercent * text.answered) continue;
    if (found && found->rejected.size() >= text.rejected.size()) continue;
    text.content_key = key;
    found = std::move(text);
  }
  return found;
}

std::string PauseReasonOf(const ContentCluster& cluster) {
  return StrCat("carriers rejected ", cluster.rejected.size(), " of the last ", cluster.answered,
                " messages with one text, message ", cluster.rejected.front().ToString(),
                " among them: see what it says (audit.content_rejection has all of them), mend the "
                "text, then resume the campaign");
}

}  // namespace postrider
