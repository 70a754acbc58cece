#include "server/sandbox/message_book.h"

#include <algorithm>

namespace postrider {

std::string MessageBook::ConversationOf(const std::string& sender, const std::string& recipient,
                                        WallTime now, std::string fresh) {
  MutexLock lock(mu_);
  Thread& thread = threads_[{sender, recipient}];
  if (thread.conversation_id.empty() || now - thread.last > kThreading)
    thread.conversation_id = std::move(fresh);
  thread.last = now;
  return thread.conversation_id;
}

void MessageBook::Add(const SandboxMessage& message) {
  MutexLock lock(mu_);
  if (oldest_first_.size() == kKept) {
    const auto oldest = messages_.find(oldest_first_.front());
    const SandboxMessage& old = oldest->second;
    std::vector<std::string>& ids = conversations_[old.provider_conversation_id];
    std::erase(ids, old.provider_message_id);
    if (ids.empty()) {
      conversations_.erase(old.provider_conversation_id);
      threads_.erase({old.post.sender, old.post.recipient});
    }
    messages_.erase(oldest);
    oldest_first_.pop_front();
  }
  messages_[message.provider_message_id] = message;
  conversations_[message.provider_conversation_id].push_back(message.provider_message_id);
  oldest_first_.push_back(message.provider_message_id);
}

std::optional<SandboxMessage> MessageBook::Find(const std::string& message_id) const {
  MutexLock lock(mu_);
  const auto found = messages_.find(message_id);
  return found == messages_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<SandboxMessage> MessageBook::InConversation(const std::string& conversation_id) const {
  MutexLock lock(mu_);
  std::vector<SandboxMessage> found;
  const auto ids = conversations_.find(conversation_id);
  if (ids == conversations_.end()) return found;
  for (const std::string& id : ids->second) found.push_back(messages_.at(id));
  return found;
}

std::vector<SandboxMessage> MessageBook::Between(const std::string& sender,
                                                 const std::string& recipient, WallTime from,
                                                 WallTime until) const {
  std::string conversation;
  {
    MutexLock lock(mu_);
    const auto thread = threads_.find({sender, recipient});
    if (thread == threads_.end()) return {};
    conversation = thread->second.conversation_id;
  }
  std::vector<SandboxMessage> found = InConversation(conversation);
  std::erase_if(found, [&](const SandboxMessage& message) {
    return message.accepted_at < from || message.accepted_at > until;
  });
  return found;
}

}  // namespace postrider
