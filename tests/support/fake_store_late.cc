#include "tests/support/fake_store_late.h"

#include "server/base/strings.h"

// Commits that become visible late, and looks at what is kept.
namespace postrider {

FakeStore::Late::Late(FakeStore& store, const char* operation)
    : store_(store), operation_(operation) {
  MutexLock lock(store_.mu_);
  from_ = store_.events_.size();
}

FakeStore::Late::~Late() {
  int id = 0;
  {
    MutexLock lock(store_.mu_);
    const std::size_t to = store_.events_.size();
    if (store_.commits_late_ == 0 || from_ == to) return;
    if (store_.chance_.Fraction() >= store_.commits_late_) return;
    id = ++store_.last_late_;
    store_.late_[id] = {.from = from_, .to = to, .in_doubt = store_.in_doubt_};
    for (std::size_t i = from_; i < to; ++i) {
      const StatusEvent& event = store_.events_[i];
      store_.messages_.at({event.tenant_id, event.message_id}).late = id;
    }
    if (store_.in_doubt_) return;
  }
  store_.RunHook(StrCat(operation_, ", committing"));
  MutexLock lock(store_.mu_);
  store_.late_.erase(id);
}

void FakeStore::Lock(Kept& kept) {
  late_.erase(kept.late);
  kept.late = 0;
}

void FakeStore::DelayCommits(double share) {
  MutexLock lock(mu_);
  commits_late_ = share;
  if (share == 0) late_.clear();
}

void FakeStore::RefuseWhile(std::function<bool()> gone) {
  MutexLock lock(mu_);
  gone_ = std::move(gone);
}

int FakeStore::Failures() const {
  MutexLock lock(mu_);
  return failures_;
}

std::vector<StatusEvent> FakeStore::ChangesAfter(std::size_t changes) const {
  MutexLock lock(mu_);
  return {events_.begin() + static_cast<std::ptrdiff_t>(changes), events_.end()};
}

std::optional<Message> FakeStore::Find(const MessageKey& key) const {
  MutexLock lock(mu_);
  const auto found = messages_.find(key);
  return found == messages_.end() ? std::nullopt : std::optional(found->second.message);
}

bool FakeStore::IntentIsLate(const MessageKey& key) const {
  MutexLock lock(mu_);
  const auto found = messages_.find(key);
  const auto late = found == messages_.end() ? late_.end() : late_.find(found->second.late);
  if (late == late_.end()) return false;
  for (std::size_t i = late->second.from; i < late->second.to; ++i) {
    const StatusEvent& event = events_[i];
    if (event.message_id == key.message_id && event.cause == Cause::kIntended) return true;
  }
  return false;
}

}  // namespace postrider
