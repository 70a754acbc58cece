#include "server/dispatch/content_sweep.h"

#include "server/base/log.h"
#include "server/model/content_limits.h"

namespace postrider {

namespace {

constexpr const char* kClusters = "postrider_content_clusters_total";
constexpr const char* kClustersHelp =
    "Texts that carriers rejected in numbers, and whether their campaign was paused for it.";

}  // namespace

ContentSweep::ContentSweep(Store& store, const SlotOwner& owner, Metrics& metrics)
    : store_(store),
      owner_(owner),
      rejections_(metrics.CounterOf("postrider_content_rejections_total",
                                    "Messages that carriers rejected for their content.")),
      paused_(metrics.CounterOf(kClusters, kClustersHelp, {{"paused", "yes"}})),
      not_paused_(metrics.CounterOf(kClusters, kClustersHelp, {{"paused", "no"}})) {}

void ContentSweep::Start() {
  worker_.emplace("content", [this](std::stop_token stop) {
    if (!Step()) WaitOrStop(stop, kContentSweep);
  });
}

bool ContentSweep::Step() {
  const std::vector<int> slots = owner_.Current()->SlotNumbers();
  if (slots.empty()) return false;
  const absl::StatusOr<std::optional<ContentLook>> look = store_.JudgeContent(slots);
  if (!look.ok()) {
    LogFailure(repeated_, "rejections of content not looked at", look.status());
    return false;
  }
  LogWorksAgain(repeated_, "rejections of content are looked at again");
  if (!*look) return false;
  const ContentLook& found = **look;
  rejections_.Add(found.rejections);
  if (!found.is_cluster) return true;
  (found.paused ? paused_ : not_paused_).Add();
  PR_LOG(kWarning,
         found.paused ? "carriers reject a text: its campaign is paused" : "carriers reject a text",
         {"tenant", found.tenant_id.ToString()}, {"campaign_id", found.campaign_id},
         {"rejected", found.rejected}, {"answered", found.answered});
  return true;
}

}  // namespace postrider
