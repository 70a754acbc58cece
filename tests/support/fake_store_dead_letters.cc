#include <algorithm>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/support/fake_store.h"

namespace postrider {

using fake_store::KeptLetter;

std::vector<DeadLetter> FakeStore::DeadLetters() const {
  MutexLock lock(mu_);
  std::vector<DeadLetter> letters;
  for (const auto& [key, kept] : letters_) {
    if (kept.dead) letters.push_back(kept.letter);
  }
  return letters;
}

void FakeStore::Bury(KeptInbox& inbox, const std::string& reason, const std::string& detail) {
  inbox.state = InboxState::kDeadLetter;
  KeptLetter& kept = letters_[{inbox.row.tenant_id, inbox.row.inbox_id}];
  kept.dead = true;
  kept.letter.row = inbox.row;
  kept.letter.reason = reason;
  kept.letter.detail = detail;
  kept.letter.at = clock_.Wall();
  kept.letter.bytes = static_cast<std::int64_t>(inbox.row.body.size());
}

std::vector<KeptLetter*> FakeStore::DeadOnes(const DeadLetterFilter& filter) {
  std::vector<KeptLetter*> found;
  for (auto& [key, kept] : letters_) {
    const DeadLetter& letter = kept.letter;
    const bool matches = key.first == filter.tenant_id && kept.dead &&
                         (filter.reason.empty() || letter.reason == filter.reason) &&
                         (filter.profile.empty() || letter.row.profile == filter.profile) &&
                         letter.at >= filter.since &&
                         (filter.until == WallTime{} || letter.at < filter.until);
    if (matches) found.push_back(&kept);
  }
  std::sort(found.begin(), found.end(), [](const KeptLetter* a, const KeptLetter* b) {
    return std::tie(a->letter.at, a->letter.row.inbox_id) <
           std::tie(b->letter.at, b->letter.row.inbox_id);
  });
  return found;
}

std::vector<KeptLetter*> FakeStore::Chosen(const DeadLetterChoice& choice, int most_replays) {
  const DeadLetterFilter of_tenant{.tenant_id = choice.filter.tenant_id};
  std::vector<KeptLetter*> chosen;
  for (KeptLetter* kept : DeadOnes(choice.ids.empty() ? choice.filter : of_tenant)) {
    const bool named = std::find(choice.ids.begin(), choice.ids.end(), kept->letter.row.inbox_id) !=
                       choice.ids.end();
    const bool meant = choice.ids.empty() ? kept->letter.replays < most_replays : named;
    if (meant && chosen.size() < kDeadLettersChanged) chosen.push_back(kept);
  }
  return chosen;
}

absl::StatusOr<std::vector<DeadLetter>> FakeStore::ListDeadLetters(const DeadLetterFilter& filter,
                                                                   const DeadLetterPlace& place,
                                                                   int limit) {
  Enter("ListDeadLetters");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ListDeadLetters"));
  std::vector<DeadLetter> page;
  std::vector<KeptLetter*> all = DeadOnes(filter);
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    DeadLetter letter = (*at)->letter;
    if (place.at != WallTime{} &&
        std::tie(letter.at, letter.row.inbox_id) >= std::tie(place.at, place.inbox_id)) {
      continue;
    }
    letter.row.body.clear();
    if (page.size() < static_cast<std::size_t>(limit)) page.push_back(std::move(letter));
  }
  return page;
}

absl::StatusOr<std::vector<DeadLetterGroup>> FakeStore::GroupDeadLetters(
    const DeadLetterFilter& filter) {
  Enter("GroupDeadLetters");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("GroupDeadLetters"));
  std::vector<DeadLetterGroup> groups;
  for (const KeptLetter* kept : DeadOnes(filter)) {
    const DeadLetter& letter = kept->letter;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const DeadLetterGroup& g) {
      return g.reason == letter.reason && g.profile == letter.row.profile;
    });
    if (group == groups.end()) {
      group = groups.insert(
          groups.end(),
          {.reason = letter.reason, .profile = letter.row.profile, .oldest = letter.at});
    }
    ++group->count;
    if (letter.replays >= kMostReplays) ++group->spent;
    group->newest = letter.at;
  }
  std::sort(groups.begin(), groups.end(), [](const DeadLetterGroup& a, const DeadLetterGroup& b) {
    return std::tie(b.count, a.reason, a.profile) < std::tie(a.count, b.reason, b.profile);
  });
  return groups;
}

absl::StatusOr<std::int64_t> FakeStore::CountDeadLetters(const DeadLetterChoice& choice,
                                                         bool spent) {
  Enter("CountDeadLetters");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("CountDeadLetters"));
  std::int64_t count = 0;
  for (const KeptLetter* kept : DeadOnes(choice.filter)) {
    const bool named = std::find(choice.ids.begin(), choice.ids.end(), kept->letter.row.inbox_id) !=
                       choice.ids.end();
    const bool meant = choice.ids.empty() ? spent || kept->letter.replays < kMostReplays : named;
    if (meant) ++count;
  }
  return count;
}

absl::StatusOr<DeadLetter> FakeStore::FindDeadLetter(TenantId tenant, InboxId id) {
  Enter("FindDeadLetter");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindDeadLetter"));
  const auto found = letters_.find({tenant, id});
  if (found == letters_.end() || !found->second.dead)
    return absl::NotFoundError("no such dead letter");
  return found->second.letter;
}

absl::StatusOr<DeadLetterChange> FakeStore::ReplayDeadLetters(const DeadLetterChoice& choice,
                                                              std::chrono::microseconds apart,
                                                              const OperatorAction& action) {
  Enter("ReplayDeadLetters");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReplayDeadLetters"));
  DeadLetterChange change;
  for (KeptLetter* kept : Chosen(choice, kMostReplays)) {
    kept->dead = false;
    ++kept->letter.replays;
    KeptInbox& inbox = InboxOf(kept->letter.row);
    inbox.state = InboxState::kParked;
    inbox.next_try_at = clock_.Wall() + change.changed * apart;
    inbox.received_at = inbox.next_try_at;
    ++change.changed;
  }
  change.has_more = choice.ids.empty() && change.changed >= static_cast<int>(kDeadLettersChanged);
  if (change.changed > 0) {
    KeepAction(choice.filter.tenant_id, action, "REPLAY_DEAD_LETTERS", StrCat(change.changed));
  }
  PR_RETURN_IF_ERROR(End("ReplayDeadLetters"));
  return change;
}

absl::StatusOr<DeadLetterChange> FakeStore::DiscardDeadLetters(const DeadLetterChoice& choice,
                                                               const OperatorAction& action) {
  Enter("DiscardDeadLetters");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("DiscardDeadLetters"));
  DeadLetterChange change;
  for (KeptLetter* kept : Chosen(choice, std::numeric_limits<int>::max())) {
    kept->dead = false;
    ++change.changed;
  }
  change.has_more = choice.ids.empty() && change.changed >= static_cast<int>(kDeadLettersChanged);
  if (change.changed > 0) {
    KeepAction(choice.filter.tenant_id, action, "DISCARD_DEAD_LETTERS", StrCat(change.changed));
  }
  PR_RETURN_IF_ERROR(End("DiscardDeadLetters"));
  return change;
}

}  // namespace postrider
