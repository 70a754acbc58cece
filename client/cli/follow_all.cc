#include "client/cli/follow_all.h"

#include <array>
#include <utility>
#include <vector>

#include "client/cli/output.h"
#include "client/cli/progress.h"

namespace postrider::cli {
namespace {
constexpr std::size_t kIdsInStream = 1000;
constexpr std::size_t kMaxIdBytes = 64;
}  // namespace

bool IdSpool::Add(const std::string& message_id) {
  if (file_ == nullptr || message_id.size() > kMaxIdBytes) return false;
  if (std::fprintf(file_.get(), "%s\n", message_id.c_str()) < 0) return false;
  ++size_;
  return true;
}

void IdSpool::Rewind() {
  if (file_ != nullptr) std::rewind(file_.get());
}

std::vector<std::string> IdSpool::Read(std::size_t count) {
  std::vector<std::string> ids;
  std::array<char, kMaxIdBytes + 2> line{};
  while (file_ != nullptr && ids.size() < count &&
         std::fgets(line.data(), line.size(), file_.get()) != nullptr) {
    std::string id = line.data();
    if (id.ends_with('\n')) id.pop_back();
    ids.push_back(std::move(id));
  }
  return ids;
}

absl::StatusOr<StateCounts> FollowAll(const Context& context, const client::Client& client,
                                      IdSpool& ids) {
  StateCounts counts;
  Progress progress(context, "final");
  std::uint64_t done = 0;
  ids.Rewind();
  for (std::vector<std::string> group = ids.Read(kIdsInStream); !group.empty();
       group = ids.Read(kIdsInStream)) {
    v1::StreamStatusRequest request;
    request.mutable_message_ids()->Assign(group.begin(), group.end());
    request.set_until_final(true);
    request.set_include_snapshot(true);
    std::map<std::string, v1::StatusChange> last;
    std::uint64_t final_here = 0;
    const client::WatchEnd end = client.Watch(
        request,
        [&](const v1::StreamStatusResponse& element) {
          if (element.has_checkpoint()) return;
          const v1::StatusChange& change =
              element.has_snapshot() ? element.snapshot().status() : element.change();
          v1::StatusChange& known = last[change.message_id()];
          if (change.final() && !known.final()) ++final_here;
          known = change;
          const std::uint64_t all = done + final_here;
          progress.Update(all, static_cast<double>(all) / static_cast<double>(ids.size()));
        },
        context.stop);
    for (const auto& [id, change] : last) ++counts[StateName(change.state())];
    if (group.size() > last.size()) counts["NOT_FOLLOWED"] += group.size() - last.size();
    if (!end.status.ok()) return end.status;
    done += final_here;
  }
  return counts;
}

}  // namespace postrider::cli
