#include <algorithm>

#include "server/model/campaign_limits.h"
#include "server/model/content_limits.h"
#include "server/policy/content_fingerprint.h"
#include "server/policy/plain_punctuation.h"
#include "tests/support/fake_store.h"

// What carriers reject for its content.
namespace postrider {

using fake_store::KeptRejection;

void FakeStore::KeepContentRejection(const Kept& kept, WallTime at) {
  const MessageStatus& now = kept.message.status;
  if (!IsRejectedForContent(now.state, now.failure)) return;
  const MessageRequest& request = kept.message.request;
  rejections_[{request.tenant_id, kept.message.message_id}] = {request.campaign_id, at};
}

std::vector<MessageTemplate> FakeStore::TemplatesOf(TenantId tenant,
                                                    const std::string& campaign_id) const {
  std::vector<MessageTemplate> templates;
  const auto row = tenants_.find(tenant);
  if (row == tenants_.end()) return templates;
  for (const MessageTemplate& one : row->second.templates) {
    bool its = true;
    for (const Campaign& campaign : row->second.campaigns) {
      if (campaign.campaign_id != campaign_id || campaign.templates.empty()) continue;
      its = std::count(campaign.templates.begin(), campaign.templates.end(), one.name) > 0;
    }
    if (!its || templates.size() == kMaxTemplatesOfCampaign) continue;
    templates.push_back({.name = one.name, .text = WithPlainPunctuation(one.text)});
  }
  return templates;
}

std::vector<AnsweredMessage> FakeStore::AnsweredOf(TenantId tenant,
                                                   const std::string& campaign_id) const {
  std::optional<MessageId> newest;
  for (const auto& [key, rejection] : rejections_) {
    const bool young = rejection.rejected_at + kClusterWindow > clock_.Wall();
    if (key.tenant_id == tenant && rejection.campaign_id == campaign_id && young) {
      newest = key.message_id;
    }
  }
  std::vector<AnsweredMessage> answered;
  if (!newest) return answered;
  const std::vector<MessageTemplate> templates = TemplatesOf(tenant, campaign_id);
  int looked = 0;
  for (auto at = messages_.upper_bound({tenant, *newest}); at != messages_.begin();) {
    const auto& [key, kept] = *--at;
    if (key.tenant_id != tenant) break;
    const Message& message = kept.message;
    const MessageStatus& status = message.status;
    const bool its = message.request.campaign_id == campaign_id;
    if ((its || campaign_id.empty()) && ++looked > kClusterLooked) break;
    const bool has_answer =
        status.state == MessageState::kDelivered || status.state == MessageState::kFailed;
    const auto shown = static_cast<std::size_t>(status.attempt);
    if (!its || !has_answer || message.request.text.empty() || shown > kept.attempts.size()) {
      continue;
    }
    if (answered.size() == static_cast<std::size_t>(kClusterAnswers)) break;
    answered.push_back(
        {.message_id = key.message_id,
         .content_key = ContentKeyOf(WithPlainPunctuation(message.request.text), templates),
         .rejected = IsRejectedForContent(status.state, status.failure),
         .sent_at = kept.attempts[shown - 1].intended_at,
         .answered_at = message.updated_at});
  }
  return answered;
}

void FakeStore::VoidVerdicts(const ContentLook& look) {
  const auto row = tenants_.find(look.tenant_id);
  if (row == tenants_.end() || look.campaign_id.empty()) return;
  for (Campaign& campaign : row->second.campaigns) {
    if (campaign.campaign_id != look.campaign_id) continue;
    campaign.verdict_epoch = ++verdict_epochs_[{look.tenant_id, look.campaign_id}];
    return;
  }
  ++row->second.verdict_epoch;
}

absl::StatusOr<std::optional<ContentLook>> FakeStore::JudgeContent(std::span<const int> slots) {
  Enter("JudgeContent");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("JudgeContent"));
  std::map<MessageKey, KeptRejection>::iterator first = rejections_.end();
  for (auto at = rejections_.begin(); at != rejections_.end(); ++at) {
    const bool owned =
        std::find(slots.begin(), slots.end(), SlotOf(at->first.tenant_id)) != slots.end();
    if (!owned || at->second.judged) continue;
    if (first == rejections_.end() || at->second.rejected_at < first->second.rejected_at) {
      first = at;
    }
  }
  if (first == rejections_.end()) return std::nullopt;
  ContentLook look{.tenant_id = first->first.tenant_id, .campaign_id = first->second.campaign_id};
  for (auto& [key, rejection] : rejections_) {
    const bool its = key.tenant_id == look.tenant_id && rejection.campaign_id == look.campaign_id;
    if (!its || rejection.judged || look.rejections == kRejectionsAtOnce) continue;
    rejection.judged = true;
    ++look.rejections;
  }
  WallTime& last = clusters_[{look.tenant_id, look.campaign_id}];
  const std::optional<ContentCluster> cluster =
      FindCluster(AnsweredOf(look.tenant_id, look.campaign_id), last, clock_.Wall());
  if (cluster) {
    last = clock_.Wall();
    look.is_cluster = true;
    look.rejected = static_cast<int>(cluster->rejected.size());
    look.answered = cluster->answered;
    VoidVerdicts(look);
    const PauseTarget of{look.tenant_id, PauseScope::kCampaign, look.campaign_id};
    const auto paused = pauses_.find(of);
    const bool endless = paused != pauses_.end() && paused->second.until == WallTime{};
    const OperatorAction action{MakeUuidV4(random_), std::string(kOwnActor),
                                PauseReasonOf(*cluster)};
    look.paused = !look.campaign_id.empty() && !endless;
    if (look.paused) pauses_[of] = {of, action.reason, action.actor, clock_.Wall(), WallTime{}};
    if (!look.campaign_id.empty()) {
      KeepAction(look.tenant_id, action, look.paused ? "PAUSE" : "VOID_VERDICTS", of.target);
    }
  }
  PR_RETURN_IF_ERROR(End("JudgeContent"));
  return look;
}

}  // namespace postrider
