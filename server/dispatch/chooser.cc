#include "server/dispatch/chooser.h"

#include <algorithm>
#include <utility>

#include "server/base/backoff.h"
#include "server/base/crash_point.h"
#include "server/base/log.h"
#include "server/base/mutant.h"
#include "server/model/dispatch_limits.h"
#include "server/policy/segments.h"

namespace postrider {

namespace {
constexpr auto kFirstChooseRetry = 20ms;
constexpr auto kLongestChooseRetry = 500ms;
// With work that waits for tokens: often enough that the lanes do not run dry, and not a
// transaction for each token.
constexpr auto kBusyPoll = kIntentAhead / 4;
constexpr std::size_t kMaxWakes = 65536;  // Beyond: found by the next poll.
}  // namespace

Chooser::Chooser(Store& store, const SlotOwner& owner, TenantLanes& lanes, BreakerGate& gate,
                 const QuietWatch& quiet, OutcomeRecorder& recorder, SettingsOf settings,
                 const Clock& clock, Random& random, Metrics& metrics)
    : store_(store),
      owner_(owner),
      lanes_(lanes),
      gate_(gate),
      quiet_(quiet),
      recorder_(recorder),
      settings_(std::move(settings)),
      clock_(clock),
      random_(random),
      intents_(metrics.CounterOf("postrider_intents_total", "Intents recorded.")),
      ended_(metrics.CounterOf("postrider_intents_ended_total",
                               "Messages found expired or opted out when their turn came.")),
      doubts_(metrics.CounterOf("postrider_intents_in_doubt_total",
                                "Batches of intents whose commit was in doubt.")) {}

void Chooser::Wake(const Flow& flow) {
  MutexLock lock(mu_);
  if (wakes_.size() < kMaxWakes) wakes_.insert(flow);
  woken_.NotifyOne();
}

void Chooser::WakeAll() {
  MutexLock lock(mu_);
  wake_all_ = true;
  woken_.NotifyOne();
}

void Chooser::AwaitWake(std::stop_token stop, std::chrono::nanoseconds at_most) {
  MutexLock lock(mu_);
  woken_.WaitFor(mu_, stop, at_most,
                 [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return wake_all_ || !wakes_.empty(); });
}

std::size_t Chooser::Step(std::chrono::nanoseconds& idle) {
  idle = kDispatchPoll;
  TakeWakes();
  const MonotonicTime now = clock_.Now();
  if (now < retry_at_) {
    idle = retry_at_ - now;
    return 0;
  }
  lanes_.Report();
  const std::shared_ptr<const Ownership> own = owner_.Current();
  if (!FollowOwnership(own)) return 0;
  if (doubt_.has_value() && !Settle()) return 0;
  if (own->slots.empty()) queues_.clear();
  if (own->slots.empty() || now >= own->until || !FindFlows(*own)) return 0;
  again_ = false;
  cut_ = false;
  const std::vector<Wanted> wanted = PickFlows(*own);
  std::size_t intended = 0;
  if (!wanted.empty()) intended = Intend(*own, Choose(wanted));
  const bool busy = std::any_of(queues_.begin(), queues_.end(),
                                [](const auto& queue) { return !queue.second.Empty(); });
  if (busy) idle = again_ || (cut_ && intended > 0) ? 0ns : kBusyPoll;
  return intended;
}

bool Chooser::FollowOwnership(const std::shared_ptr<const Ownership>& own) {
  if (own_ == own) return true;
  TakeBack(lanes_.KeepOnly(*own), "the slot was lost before the POST");
  std::vector<int> taken;
  for (const OwnedSlot& slot : own->slots) {
    const OwnedSlot* const had = own_ == nullptr ? nullptr : own_->Find(slot.lease.slot);
    if (had == nullptr || had->lease != slot.lease) taken.push_back(slot.lease.slot);
  }
  if (!taken.empty()) {
    // What the provider told the owner before binds this one too.
    if (!Mutated(Mutant::kRetryAfterForgotten) && !TakePauses(*own, taken, 0ns)) return false;
    look_at_ = {};
  }
  lanes_.AllowReads(own->Leases());
  own_ = own;
  return true;
}

bool Chooser::TakePauses(const Ownership& own, const std::vector<int>& slots,
                         std::chrono::nanoseconds longer) {
  const absl::StatusOr<std::vector<TenantPause>> pauses = store_.PausesInForce(slots);
  if (!pauses.ok()) {
    Failed(choosing_, "pauses not read", pauses.status());
    return false;
  }
  for (const TenantPause& pause : *pauses) {
    const OwnedSlot* const slot = own.Find(SlotOf(pause.tenant_id));
    const auto settings = settings_(pause.tenant_id);
    if (slot == nullptr || settings == nullptr) continue;
    lanes_.Room(pause.tenant_id, *slot, *settings);
    if (pause.left < lanes_.PauseLeft(pause.tenant_id) + longer) continue;
    TakeBack(lanes_.Pause(pause.tenant_id, pause.left), "its tenant was paused before the POST");
  }
  pauses_at_ = clock_.Now() + kPausesRead;
  return true;
}

void Chooser::TakeWakes() {
  std::set<Flow> wakes;
  {
    MutexLock lock(mu_);
    wakes.swap(wakes_);
    if (std::exchange(wake_all_, false)) look_at_ = {};
  }
  for (const Flow& flow : wakes) queues_[flow.tenant_id].Add(flow);
}

bool Chooser::FindFlows(const Ownership& own) {
  const MonotonicTime now = clock_.Now();
  if (now < look_at_) return true;
  absl::StatusOr<std::vector<Flow>> found = store_.FlowsWithWork(own.SlotNumbers());
  if (!found.ok()) {
    Failed(finding_, "flows with work not read", found.status());
    return false;
  }
  LogWorksAgain(finding_, "flows with work are read again");
  for (const Flow& flow : *found) queues_[flow.tenant_id].Add(flow);
  // An owner before may have been told to wait only after its slot was taken. What this one knows
  // itself differs by the clocks, hence the margin.
  if (now >= pauses_at_ && !Mutated(Mutant::kRetryAfterForgotten) &&
      !TakePauses(own, own.SlotNumbers(), kLeastRetryAfter))
    return false;
  look_at_ = now + kDispatchPoll;
  return true;
}

std::vector<Chooser::Wanted> Chooser::PickFlows(const Ownership& own) {
  std::vector<Wanted> wanted;
  std::size_t left = std::min(kIntentRows, recorder_.Room());
  auto tenants_left = static_cast<std::size_t>(std::count_if(
      queues_.begin(), queues_.end(), [](const auto& queue) { return !queue.second.Empty(); }));
  // Round about from where the last step ended, so that no tenant is always first.
  auto at = queues_.upper_bound(last_served_);
  for (std::size_t i = queues_.size(); i > 0 && left > 0 && tenants_left > 0; --i) {
    if (at == queues_.end()) at = queues_.begin();
    const TenantId tenant = at->first;
    const OwnedSlot* const slot = own.Find(SlotOf(tenant));
    const auto settings = slot == nullptr ? nullptr : settings_(tenant);
    if (at->second.Empty()) {
      at = slot == nullptr ? queues_.erase(at) : std::next(at);
      continue;
    }
    const std::size_t share = std::max<std::size_t>(1, left / tenants_left);
    --tenants_left;
    if (settings == nullptr) {
      at = queues_.erase(at);
      continue;
    }
    ++at;
    FairQueue::Rooms rooms = lanes_.Room(tenant, *slot, *settings);
    const int most = gate_.Room(tenant, *slot, static_cast<int>(share));
    for (int& room : rooms) room = std::min(room, most);
    const std::size_t picked = PickOf(tenant, rooms, wanted);
    if (picked == 0) continue;
    if (picked == share) cut_ = true;
    left -= picked;
    last_served_ = tenant;
  }
  return wanted;
}

std::size_t Chooser::PickOf(TenantId tenant, FairQueue::Rooms rooms, std::vector<Wanted>& wanted) {
  FairQueue& queue = queues_.at(tenant);
  std::map<Flow, std::size_t> places;  // In `wanted`.
  std::size_t picked = 0;
  // By sender and rank: a flow whose sender has no tokens does not hold up the others.
  std::map<std::pair<SenderId, std::size_t>, double> segments;
  const auto room_of = [&](SenderId sender, std::size_t rank) -> double& {
    const auto [room, first] = segments.try_emplace({sender, rank}, 0.0);
    if (first) room->second = lanes_.SegmentRoom(tenant, sender, rank);
    return room->second;
  };
  const auto skip = [&](const Flow& flow, std::size_t rank) {
    return room_of(flow.sender_id, rank) < 1;
  };
  while (std::optional<FairQueue::Turn> turn = queue.Next(rooms, skip)) {
    const auto [place, first] = places.try_emplace(turn->flow, wanted.size());
    if (first) wanted.push_back({turn->flow, {}});
    wanted[place->second].ranks.push_back(turn->rank);
    // Those that wait after it are overtaken; the others leave it less.
    for (std::size_t rank = turn->rank; rank < kPriorities; ++rank) {
      room_of(turn->flow.sender_id, rank) -= queue.CostOf(turn->flow);
    }
    ++picked;
  }
  return picked;
}

std::vector<MessageKey> Chooser::Choose(const std::vector<Wanted>& wanted) {
  std::vector<MessageKey> keys;
  std::vector<FlowRoom> rooms;
  rooms.reserve(wanted.size());
  for (const Wanted& want : wanted)
    rooms.push_back({want.flow, static_cast<int>(want.ranks.size())});
  absl::StatusOr<std::vector<DueMessage>> due = store_.ChooseDue(rooms);
  if (!due.ok()) {
    Failed(choosing_, "due messages not read", due.status());
    return keys;
  }
  tries_ = 0;
  LogWorksAgain(choosing_, "messages are chosen again");
  ranks_.clear();
  std::vector<std::size_t> found(wanted.size());
  for (const DueMessage& message : *due) {
    const std::size_t rank = wanted[message.of].ranks.at(found[message.of]++);
    if (!recorder_.Expect(message.key)) continue;
    keys.push_back(message.key);
    ranks_[message.key] = rank;
  }
  // A flow with less than it was asked for has nothing more due: until it is woken or found again.
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (found[i] == wanted[i].ranks.size()) continue;
    queues_.at(wanted[i].flow.tenant_id).Remove(wanted[i].flow);
    again_ = true;
  }
  return keys;
}
std::size_t Chooser::Intend(const Ownership& own, std::vector<MessageKey> keys) {
  if (keys.empty()) return 0;
  std::vector<Lease> leases = own.Leases();
  const MonotonicTime intended_at = clock_.Now();
  CrashPoint("before_intent");
  absl::StatusOr<std::vector<Intent>> intents = store_.Intend(own.replica, leases, keys);
  if (intents.ok()) {
    CrashPoint("after_intent");
    return Enqueue(leases, own.replica, *std::move(intents), intended_at, false);
  }
  Failed(choosing_, "intents not recorded", intents.status());
  if (absl::IsInvalidArgument(intents.status()) || absl::IsAborted(intents.status())) {
    for (const MessageKey& key : keys) recorder_.Forget(key);
    return 0;
  }
  doubts_.Add();
  doubt_ = Doubt{own.replica, std::move(leases), std::move(keys)};
  return 0;
}

bool Chooser::Settle() {
  if (!doubt_.has_value()) return true;
  const MonotonicTime intended_at = clock_.Now();
  if (owner_.Current()->replica != doubt_->replica) {
    // Fenced: whoever took the slots over has settled what this replica left behind.
    for (const MessageKey& key : doubt_->keys) recorder_.Forget(key);
    doubt_.reset();
    return true;
  }
  absl::StatusOr<std::vector<Intent>> intents =
      store_.Intend(doubt_->replica, doubt_->leases, doubt_->keys);
  if (!intents.ok()) {
    Failed(choosing_, "intents in doubt not settled", intents.status());
    return false;
  }
  const Doubt doubt = *std::exchange(doubt_, std::nullopt);
  Enqueue(doubt.leases, doubt.replica, *std::move(intents), intended_at, true);
  return true;
}

std::size_t Chooser::Enqueue(const std::vector<Lease>& leases, ReplicaId replica,
                             std::vector<Intent> intents, MonotonicTime intended_at,
                             bool in_doubt) {
  std::vector<QueuedIntent> queued;
  for (Intent& intent : intents) {
    if (intent.kind == Intent::Kind::kPost) {
      gate_.Admit(intent.key);
      const int slot = SlotOf(intent.key.tenant_id);
      const auto lease = std::find_if(leases.begin(), leases.end(),
                                      [&](const Lease& own) { return own.slot == slot; });
      const Flow flow = FlowOf(intent.request);
      const auto rank = ranks_.find(intent.key);
      const int segments = SegmentsOf(intent.request.text).count;
      queues_[flow.tenant_id].Charge(flow, segments - 1);
      queued.push_back({.key = intent.key,
                        .attempt = intent.attempt,
                        .request = std::move(intent.request),
                        .replica = replica,
                        .lease = *lease,
                        .start_by = intended_at + kStartBy,
                        .rank = rank == ranks_.end() ? RankOf(flow.priority) : rank->second,
                        .segments = segments});
    } else if (intent.kind == Intent::Kind::kGone && in_doubt &&
               !Mutated(Mutant::kDoubtfulIntentDropped)) {
      AttemptOutcome row;
      row.key = intent.key;
      row.attempt = 0;
      row.outcome.kind = OutcomeKind::kTakenBack;
      row.outcome.detail = "whether the intent was recorded was in doubt";
      // Not at once: nothing of the lost transaction shall meet the next attempt.
      row.again_in = kStartBy;
      recorder_.Push(replica, std::move(row));
    } else {
      if (intent.kind == Intent::Kind::kEnded) ended_.Add();
      recorder_.Forget(intent.key);
    }
  }
  const std::size_t count = queued.size();
  intents_.Add(static_cast<double>(count));
  // Before they cost a token: an evening can find a whole campaign due.
  std::erase_if(queued, [this](const QueuedIntent& intent) {
    const std::chrono::nanoseconds hold = quiet_.HoldFor(intent.request);
    if (hold > 0ns) TakeBack(intent, "quiet hours", HoldReason::kQuietHours, hold);
    return hold > 0ns;
  });
  // A doubt may be settled after its slot was let go.
  TakeBack(lanes_.Push(std::move(queued)), "the slot was lost before the POST");
  return count;
}

void Chooser::TakeBack(std::vector<QueuedIntent> intents, const char* why) {
  for (const QueuedIntent& intent : intents) TakeBack(intent, why, HoldReason::kNone, 0ns);
}

void Chooser::TakeBack(const QueuedIntent& intent, const char* why, HoldReason hold,
                       std::chrono::nanoseconds again_in) {
  AttemptOutcome row = TakenBack(intent, why, hold, again_in);
  gate_.Ended(row.key, row.outcome);  // It was perhaps a canary.
  recorder_.Push(intent.replica, std::move(row));
}

void Chooser::Failed(RepeatedFailure& repeated, const char* what, const absl::Status& why) {
  retry_at_ =
      clock_.Now() + Backoff(++tries_, kFirstChooseRetry, kLongestChooseRetry, random_) + 1ms;
  LogFailure(repeated, what, why);
}

}  // namespace postrider
