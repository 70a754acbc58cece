#include <algorithm>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/model/transitions.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_store_late.h"

namespace postrider {

using fake_store::KeptLetter;
using fake_store::KeptLetterState;

namespace {

/// No replay takes it unless it names it.
bool OnlyById(const DeadLetter& letter) {
  return letter.only_by_id || letter.replays >= kMostReplays;
}

}  // namespace

std::vector<DeadLetter> FakeStore::DeadLetters() const {
  MutexLock lock(mu_);
  std::vector<DeadLetter> letters;
  for (const auto& [key, kept] : letters_) {
    if (kept.state == KeptLetterState::kDead) letters.push_back(kept.letter);
  }
  return letters;
}

void FakeStore::Bury(KeptInbox& inbox, const std::string& reason, const std::string& detail) {
  inbox.state = InboxState::kDeadLetter;
  const DeadLetterId id{inbox.row.inbox_id.uuid};
  KeptLetter& kept = letters_[{inbox.row.tenant_id, id}];
  kept.state = KeptLetterState::kDead;
  DeadLetter& letter = kept.letter;
  letter.tenant_id = inbox.row.tenant_id;
  letter.dead_letter_id = id;
  letter.source = inbox.row.profile;
  letter.body = inbox.row.body;
  letter.reason = reason;
  letter.detail = detail;
  letter.at = clock_.Wall();
  letter.bytes = static_cast<std::int64_t>(inbox.row.body.size());
}

void FakeStore::KeepDeadSend(const Kept& kept, const StatusEvent& change) {
  const MessageStatus& now = kept.message.status;
  const DeadLetterId id{kept.message.message_id.uuid};
  const TenantId tenant = kept.message.request.tenant_id;
  const auto found = letters_.find({tenant, id});
  if (!IsFailure(now.state)) {
    const bool well = now.state == MessageState::kSubmitted || now.state == MessageState::kSent ||
                      now.state == MessageState::kDelivered;
    const bool dead = found != letters_.end() && found->second.state == KeptLetterState::kDead;
    if (change.correction && well && dead) found->second.state = KeptLetterState::kSettled;
    return;
  }
  KeptLetter& row = letters_[{tenant, id}];
  if (row.state != KeptLetterState::kDiscarded) row.state = KeptLetterState::kDead;
  DeadLetter& letter = row.letter;
  letter.tenant_id = tenant;
  letter.dead_letter_id = id;
  letter.source = kSendSource;
  const bool was_delivered =
      change.previous == MessageState::kDelivered ||
      (letter.only_by_id && letter.reason == "FAILED" && now.state == MessageState::kFailed);
  letter.reason = NameOf(now.state);
  letter.detail = NameOf(now.failure);
  if (!now.provider_code.empty()) StrAppend(letter.detail, ", ", now.provider_code);
  letter.at = clock_.Wall();
  letter.only_by_id = was_delivered || MayHaveArrived(now, OthersOf(kept));
}

bool FakeStore::SendAgain(Kept& kept, WallTime due_at) {
  Lock(kept);
  const MessageStatus before = kept.message.status;
  const std::optional<MessageStatus> after = AfterReplay(before);
  if (!after || IsErased(kept.message.request)) return false;
  if (before.state >= MessageState::kSubmitted) {
    kept.hidden[before.attempt] = ShownAttempt(before);
  }
  kept.due_at = due_at;
  Change(kept, *after, Cause::kReplayed);
  const MessageKey key{kept.message.request.tenant_id, kept.message.message_id};
  const auto letter = letters_.find({key.tenant_id, {key.message_id.uuid}});
  if (letter != letters_.end()) {
    letter->second.state = KeptLetterState::kReplayed;
    ++letter->second.letter.replays;
  }
  return true;
}

absl::StatusOr<Replay> FakeStore::ReplayMessage(const MessageKey& key,
                                                const OperatorAction& action) {
  Enter("ReplayMessage");
  const Late late(*this, "ReplayMessage");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReplayMessage"));
  Replay replay;
  const auto found = messages_.find(key);
  if (found == messages_.end()) return replay;
  Kept& kept = found->second;
  replay.kind = Replay::Kind::kNotFailed;
  if (IsFailure(kept.message.status.state) && IsErased(kept.message.request)) {
    replay.kind = Replay::Kind::kErased;
  } else if (SendAgain(kept, clock_.Wall())) {
    replay.kind = Replay::Kind::kReplayed;
    KeepAction(key.tenant_id, action, "REPLAY", key.message_id.ToString());
  }
  replay.message = kept.message;
  PR_RETURN_IF_ERROR(End("ReplayMessage"));
  return replay;
}

std::vector<KeptLetter*> FakeStore::DeadOnes(const DeadLetterFilter& filter) {
  std::vector<KeptLetter*> found;
  for (auto& [key, kept] : letters_) {
    const DeadLetter& letter = kept.letter;
    const bool of_tenant = filter.tenant_id.IsNil() || key.first == filter.tenant_id;
    const bool matches = of_tenant && kept.state == KeptLetterState::kDead &&
                         (filter.reason.empty() || letter.reason == filter.reason) &&
                         (filter.source.empty() || letter.source == filter.source) &&
                         letter.at >= filter.since &&
                         (filter.until == WallTime{} || letter.at < filter.until);
    if (matches) found.push_back(&kept);
  }
  std::sort(found.begin(), found.end(), [](const KeptLetter* a, const KeptLetter* b) {
    return std::tie(a->letter.at, a->letter.dead_letter_id) <
           std::tie(b->letter.at, b->letter.dead_letter_id);
  });
  return found;
}

std::vector<KeptLetter*> FakeStore::Chosen(const DeadLetterChoice& choice, bool only_by_id) {
  const DeadLetterFilter of_tenant{.tenant_id = choice.filter.tenant_id};
  std::vector<KeptLetter*> chosen;
  for (KeptLetter* kept : DeadOnes(choice.ids.empty() ? choice.filter : of_tenant)) {
    const bool named = std::find(choice.ids.begin(), choice.ids.end(),
                                 kept->letter.dead_letter_id) != choice.ids.end();
    const bool meant = choice.ids.empty() ? only_by_id || !OnlyById(kept->letter) : named;
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
        std::tie(letter.at, letter.dead_letter_id) >= std::tie(place.at, place.dead_letter_id)) {
      continue;
    }
    letter.body.clear();
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
      return g.tenant_id == letter.tenant_id && g.reason == letter.reason &&
             g.source == letter.source;
    });
    if (group == groups.end()) {
      group = groups.insert(groups.end(), {.tenant_id = letter.tenant_id,
                                           .reason = letter.reason,
                                           .source = letter.source,
                                           .oldest = letter.at});
    }
    ++group->count;
    if (OnlyById(letter)) ++group->only_by_id;
    group->newest = letter.at;
  }
  std::sort(groups.begin(), groups.end(), [](const DeadLetterGroup& a, const DeadLetterGroup& b) {
    return std::tie(b.count, a.tenant_id, a.reason, a.source) <
           std::tie(a.count, b.tenant_id, b.reason, b.source);
  });
  return groups;
}

absl::StatusOr<std::int64_t> FakeStore::CountDeadLetters(const DeadLetterChoice& choice,
                                                         bool only_by_id) {
  Enter("CountDeadLetters");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("CountDeadLetters"));
  std::int64_t count = 0;
  for (const KeptLetter* kept : DeadOnes(choice.filter)) {
    const bool named = std::find(choice.ids.begin(), choice.ids.end(),
                                 kept->letter.dead_letter_id) != choice.ids.end();
    const bool meant = choice.ids.empty() ? only_by_id || !OnlyById(kept->letter) : named;
    if (meant) ++count;
  }
  return count;
}

absl::StatusOr<DeadLetter> FakeStore::FindLetter(TenantId tenant, DeadLetterId id) {
  const auto found = letters_.find({tenant, id});
  if (found == letters_.end() || found->second.state != KeptLetterState::kDead)
    return absl::NotFoundError("no such dead letter");
  return found->second.letter;
}

absl::StatusOr<DeadLetter> FakeStore::FindDeadLetter(TenantId tenant, DeadLetterId id) {
  Enter("FindDeadLetter");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("FindDeadLetter"));
  return FindLetter(tenant, id);
}

absl::StatusOr<DeadLetter> FakeStore::UnmaskDeadLetter(TenantId tenant, DeadLetterId id,
                                                       const OperatorAction& action) {
  Enter("UnmaskDeadLetter");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("UnmaskDeadLetter"));
  PR_ASSIGN_OR_RETURN(const DeadLetter letter, FindLetter(tenant, id));
  KeepAction(tenant, action, "UNMASK_DEAD_LETTER", id.ToString());
  PR_RETURN_IF_ERROR(End("UnmaskDeadLetter"));
  return letter;
}

absl::StatusOr<DeadLetterChange> FakeStore::ReplayDeadLetters(const DeadLetterChoice& choice,
                                                              std::chrono::microseconds apart,
                                                              const OperatorAction& action) {
  Enter("ReplayDeadLetters");
  const Late late(*this, "ReplayDeadLetters");
  MutexLock lock(mu_);
  PR_RETURN_IF_ERROR(Begin("ReplayDeadLetters"));
  DeadLetterChange change;
  for (KeptLetter* kept : Chosen(choice, false)) {
    const DeadLetter& letter = kept->letter;
    const WallTime turn = clock_.Wall() + change.changed * apart;
    if (letter.source == kSendSource) {
      Kept& message = messages_.at({letter.tenant_id, {letter.dead_letter_id.uuid}});
      if (SendAgain(message, turn)) {
        ++change.changed;
      } else {
        kept->state = KeptLetterState::kSettled;
      }
      continue;
    }
    kept->state = KeptLetterState::kReplayed;
    ++kept->letter.replays;
    KeptInbox& inbox = inbox_.at({letter.tenant_id, {letter.dead_letter_id.uuid}});
    inbox.state = InboxState::kParked;
    inbox.next_try_at = turn;
    inbox.received_at = turn;
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
  for (KeptLetter* kept : Chosen(choice, true)) {
    kept->state = KeptLetterState::kDiscarded;
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
