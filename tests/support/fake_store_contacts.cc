#include <algorithm>
#include <set>

#include "server/base/strings.h"
#include "server/model/conversation_limits.h"
#include "server/policy/conversation_key.h"
#include "tests/support/fake_store.h"

// Whose conversation a message joins, and contacts that are one.
namespace postrider {

using fake_store::KeptConversation;
using fake_store::Meeting;

Meeting FakeStore::MeetingOf(const MessageRequest& request) const {
  const TenantId tenant = request.tenant_id;
  Meeting meeting{.key = {tenant, ContactKeyOf(request), request.sender_id}};
  if (const auto own = conversations_.find(meeting.key); own != conversations_.end()) {
    meeting.goes_to = own->second.GoesTo();
    return meeting;
  }
  const auto merged = merged_contacts_.find({tenant, std::get<1>(meeting.key)});
  if (merged != merged_contacts_.end()) {
    std::get<1>(meeting.key) = merged->second;
    const auto into = conversations_.find(meeting.key);
    if (into != conversations_.end()) meeting.goes_to = into->second.GoesTo();
    return meeting;
  }
  std::set<ConversationId> met;
  std::vector<const std::pair<const ContactKey, KeptConversation>*> of_number;
  for (const auto& row : conversations_) {
    if (std::get<0>(row.first) != tenant || std::get<2>(row.first) != request.sender_id) continue;
    if (row.second.recipient != request.recipient) continue;
    met.insert(row.second.GoesTo());
    of_number.push_back(&row);
  }
  if (met.size() != 1) return meeting;
  const auto& [other, kept] = *of_number.front();
  const bool is_number = std::get<1>(other).starts_with("n:") && kept.merged_into.IsNil();
  const bool known = !request.external_contact_id.empty();
  if (known && (of_number.size() > 1 || !is_number)) return meeting;
  meeting.goes_to = *met.begin();
  meeting.by_number = true;
  meeting.adopts = known;
  if (!known) meeting.key = other;
  return meeting;
}

bool FakeStore::HasNumber(TenantId tenant, ConversationId id, const std::string& recipient) const {
  return std::any_of(conversations_.begin(), conversations_.end(), [&](const auto& row) {
    return std::get<0>(row.first) == tenant && row.second.GoesTo() == id &&
           row.second.recipient == recipient;
  });
}

std::optional<Acceptance> FakeStore::RefuseByName(const MessageRequest& request,
                                                  Meeting& meeting) const {
  const ConversationId id = request.conversation_id;
  if (id.IsNil()) return std::nullopt;
  const auto named =
      std::find_if(conversations_.begin(), conversations_.end(), [&](const auto& row) {
        return std::get<0>(row.first) == request.tenant_id && row.second.conversation_id == id;
      });
  const bool there = named != conversations_.end();
  const ConversationId goes_to = there ? named->second.GoesTo() : ConversationId{};
  if (meeting.by_number && meeting.goes_to != goes_to) {
    meeting = {.key = {request.tenant_id, ContactKeyOf(request), request.sender_id}};
  }
  const bool fits = there ? !meeting.goes_to.IsNil() && goes_to == meeting.goes_to &&
                                std::get<2>(named->first) == request.sender_id &&
                                HasNumber(request.tenant_id, goes_to, request.recipient)
                          : meeting.goes_to.IsNil();
  if (fits) return std::nullopt;
  const bool other_contact = there && !request.external_contact_id.empty() &&
                             std::get<1>(named->first) != std::get<1>(meeting.key) &&
                             goes_to != meeting.goes_to;
  return Acceptance{.kind = other_contact ? Acceptance::Kind::kContactMismatch
                                          : Acceptance::Kind::kConversationMismatch,
                    .conversation_id = meeting.goes_to};
}

ConversationId FakeStore::Join(const MessageRequest& request, const Meeting& meeting,
                               ConversationId fresh) {
  if (meeting.goes_to.IsNil()) {
    conversations_[meeting.key] = {fresh, request.recipient, clock_.Wall(), {}};
    return fresh;
  }
  if (meeting.adopts) {
    const auto number =
        std::find_if(conversations_.begin(), conversations_.end(), [&](const auto& row) {
          return std::get<0>(row.first) == request.tenant_id &&
                 row.second.conversation_id == meeting.goes_to;
        });
    const KeptConversation kept = number->second;
    conversations_.erase(number);
    conversations_[meeting.key] = kept;
  }
  return meeting.goes_to;
}

absl::StatusOr<ContactMerge> FakeStore::MergeContacts(TenantId tenant, const std::string& from,
                                                      const std::string& given_into,
                                                      const OperatorAction& action) {
  Enter("MergeContacts");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("MergeContacts"));
  using Kind = ContactMerge::Kind;
  const auto survivor_of = [&](const std::string& key) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto merged = merged_contacts_.find({tenant, key});
    return merged == merged_contacts_.end() ? key : merged->second;
  };
  const std::string into = survivor_of(given_into);
  ContactMerge merge{.survivor = into};
  const auto end = [&](Kind kind, std::string survivor) {
    merge.kind = kind;
    merge.survivor = std::move(survivor);
    return merge;
  };
  if (const std::string before = survivor_of(from); before != from) {
    return end(before == into ? Kind::kMergedBefore : Kind::kIsMerged, before);
  }
  if (into == from) return end(Kind::kCycle, from);
  std::vector<ContactKey> own;
  int merged = 1;
  for (const auto& [key, kept] : conversations_) {
    if (std::get<0>(key) == tenant && std::get<1>(key) == from) own.push_back(key);
  }
  const bool into_is_known =
      std::any_of(conversations_.begin(), conversations_.end(), [&](const auto& row) {
        return std::get<0>(row.first) == tenant && std::get<1>(row.first) == into;
      });
  for (const auto& [key, to] : merged_contacts_) {
    merged += static_cast<int>(key.first == tenant && (to == from || to == into));
  }
  if (own.empty()) return end(Kind::kNoContact, from);
  if (!into_is_known) return end(Kind::kNoContact, into);
  if (merged > kMostMerged) return end(Kind::kTooMany, into);
  for (const ContactKey& key : own) {
    const ContactKey other{tenant, into, std::get<2>(key)};
    const KeptConversation kept = conversations_.at(key);
    const auto there = conversations_.find(other);
    if (there == conversations_.end()) {
      conversations_.erase(key);
      conversations_[other] = kept;
    } else {
      const ConversationId id = there->second.conversation_id;
      conversations_.at(key).merged_into = id;
      for (auto& [any, row] : conversations_) {
        if (std::get<0>(any) == tenant && row.merged_into == kept.conversation_id) {
          row.merged_into = id;
        }
      }
    }
    merge.conversations.push_back(
        {std::get<2>(key), kept.conversation_id,
         there == conversations_.end() ? kept.conversation_id : there->second.conversation_id});
  }
  for (auto& [key, to] : merged_contacts_) {
    if (key.first == tenant && to == from) to = into;
  }
  merged_contacts_[{tenant, from}] = into;
  KeepAction(tenant, action, "MERGE_CONTACTS", into);
  PR_RETURN_IF_ERROR(End("MergeContacts"));
  return merge;
}

}  // namespace postrider
