#include "server/dispatch/fair_queue.h"

#include <algorithm>

#include "server/base/check.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

/// The next in the ring after `last` that may be served and has deficit; when nobody has, all earn
/// so much that one has. Somebody must be servable.
template <typename Ring, typename Servable>
typename Ring::iterator NextOf(Ring& ring, const typename Ring::key_type& last,
                               const Servable& servable) {
  while (true) {
    double most = -1e9;
    auto at = ring.upper_bound(last);
    for (std::size_t i = 0; i < ring.size(); ++i, ++at) {
      if (at == ring.end()) at = ring.begin();
      if (!servable(at->first, at->second)) continue;
      if (at->second.deficit > 0) return at;
      most = std::max(most, at->second.deficit);
    }
    PR_CHECK(most > -1e9);
    const double earned = 1 - most;
    for (auto& [key, entry] : ring) entry.deficit = std::min(entry.deficit + earned, 1.0);
  }
}

}  // namespace

void FairQueue::Add(const Flow& flow) {
  tenant_ = flow.tenant_id;
  if (kept_ >= kMaxFlowsOfTenant) ForgetIdle();
  Class& of = classes_[RankOf(flow.priority)];
  auto campaign = of.campaigns.find(flow.campaign_id);
  const bool known =
      campaign != of.campaigns.end() && campaign->second.senders.contains(flow.sender_id);
  if (!known && kept_ >= kMaxFlowsOfTenant) return;
  Sender& sender = of.campaigns[flow.campaign_id].senders[flow.sender_id];
  if (!known) ++kept_;
  if (!sender.waits) ++waiting_;
  sender.waits = true;
}

void FairQueue::Remove(const Flow& flow) {
  Class& of = classes_[RankOf(flow.priority)];
  const auto campaign = of.campaigns.find(flow.campaign_id);
  if (campaign == of.campaigns.end()) return;
  const auto sender = campaign->second.senders.find(flow.sender_id);
  if (sender == campaign->second.senders.end() || !sender->second.waits) return;
  sender->second.waits = false;
  --waiting_;
  // Saved turns are lost, debts are not: who comes and goes gains nothing by it.
  if (sender->second.deficit >= 0) {
    campaign->second.senders.erase(sender);
    --kept_;
  }
  if (campaign->second.senders.empty() && campaign->second.deficit >= 0) {
    of.campaigns.erase(campaign);
  }
}

void FairQueue::ForgetIdle() {
  kept_ = 0;
  for (Class& of : classes_) {
    for (auto& [name, campaign] : of.campaigns) {
      std::erase_if(campaign.senders, [](const auto& sender) { return !sender.second.waits; });
      kept_ += campaign.senders.size();
    }
    std::erase_if(of.campaigns, [](const auto& entry) { return entry.second.senders.empty(); });
  }
}

Flow FairQueue::FlowAt(std::size_t rank, const std::string& campaign, SenderId sender) const {
  return {.tenant_id = tenant_,
          .priority = static_cast<Priority>(rank + 1),
          .campaign_id = campaign,
          .sender_id = sender};
}

bool FairQueue::CanServe(std::size_t rank, std::size_t as, const Skip& skip) const {
  for (const auto& [name, campaign] : classes_[rank].campaigns) {
    for (const auto& [id, sender] : campaign.senders) {
      if (sender.waits && !skip(FlowAt(rank, name, id), as)) return true;
    }
  }
  return false;
}

FairQueue::Turn FairQueue::Serve(std::size_t rank, std::size_t as, const Skip& skip) {
  Class& of = classes_[rank];
  const auto can_send = [&](const std::string& name, SenderId id, const Sender& sender) {
    return sender.waits && !skip(FlowAt(rank, name, id), as);
  };
  const auto campaign =
      NextOf(of.campaigns, of.last, [&](const std::string& name, const Campaign& c) {
        return std::any_of(c.senders.begin(), c.senders.end(), [&](const auto& sender) {
          return can_send(name, sender.first, sender.second);
        });
      });
  const auto sender = NextOf(
      campaign->second.senders, campaign->second.last,
      [&](SenderId id, const Sender& entry) { return can_send(campaign->first, id, entry); });
  of.last = campaign->first;
  campaign->second.last = sender->first;
  campaign->second.deficit -= 1;
  sender->second.deficit -= 1;
  return {.flow = FlowAt(rank, campaign->first, sender->first), .rank = as};
}

std::optional<FairQueue::Turn> FairQueue::Next(Rooms& rooms, const Skip& skip) {
  for (std::size_t rank = 0; rank < kPriorities; ++rank) {
    if (rooms[rank] <= 0) return std::nullopt;  // Those after it have less.
    if (!CanServe(rank, rank, skip)) {
      classes_[rank].passed = 0;
      continue;
    }
    std::size_t served = rank;
    for (std::size_t lower = rank + 1; lower < kPriorities; ++lower) {
      int& passed = classes_[lower].passed;
      if (!CanServe(lower, rank, skip)) {
        passed = 0;
      } else if (passed >= kFloorEvery - 1 && served == rank) {
        served = lower;
      } else {
        ++passed;
      }
    }
    classes_[served].passed = 0;
    for (std::size_t after = rank; after < kPriorities; ++after) --rooms[after];
    return Serve(served, rank, skip);
  }
  return std::nullopt;
}

void FairQueue::Charge(const Flow& flow, int segments) {
  Class& of = classes_[RankOf(flow.priority)];
  const auto campaign = of.campaigns.find(flow.campaign_id);
  if (campaign == of.campaigns.end()) return;
  campaign->second.deficit -= segments;
  const auto sender = campaign->second.senders.find(flow.sender_id);
  if (sender == campaign->second.senders.end()) return;
  sender->second.deficit -= segments;
  sender->second.cost += (1 + segments - sender->second.cost) / 4;
}

double FairQueue::CostOf(const Flow& flow) const {
  const Class& of = classes_[RankOf(flow.priority)];
  const auto campaign = of.campaigns.find(flow.campaign_id);
  if (campaign == of.campaigns.end()) return 1;
  const auto sender = campaign->second.senders.find(flow.sender_id);
  return sender == campaign->second.senders.end() ? 1 : sender->second.cost;
}

}  // namespace postrider
