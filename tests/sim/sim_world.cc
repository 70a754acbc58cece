#include "tests/sim/sim_world.h"

#include <algorithm>
#include <utility>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

constexpr auto kFaultTime = std::chrono::seconds(40);
constexpr auto kHealTime = std::chrono::minutes(15);  // A circuit breaker waits for minutes.
constexpr int kMaxSends = 60;
constexpr int kCampaign = 20;        // Sent at once.
constexpr int kMostSteps = 200'000;  // Beyond: the run does not come to its end.
constexpr std::size_t kTraceLines = 120;
constexpr int kDeepest = 2;  // Steps within steps.

}  // namespace

SimWorld::SimWorld(std::uint64_t seed) : random_(seed) {
  sender_ = {MakeUuidV4(random_)};
  for (TenantId& tenant : tenants_) {
    tenant = {MakeUuidV4(random_)};
    TenantSettings settings;
    settings.rate_per_s = kRatePerS;
    settings.burst = kBurst;
    settings.account.client_id = tenant.ToString();
    settings_[tenant] = std::make_shared<const TenantSettings>(settings);
  }
  genesys_.on_post = [this](int replica, TenantId tenant, const SendRequest& request) {
    CheckPost(replica, tenant, request);
  };
  genesys_.on_answer = [this](std::string line) { Note(std::move(line)); };
  genesys_.meanwhile = [this] {
    if (healed_) return;
    // How long the POST takes.
    for (auto acts = Below(8); acts > 0; --acts) Act(1);
  };
  genesys_.AllowReads(tenants_[1]);
  // Short, so that a run gets to the end of them; in some before the receipts are there.
  doubt_ = {.window = std::chrono::seconds(Below(2) == 0 ? 4 : 15),
            .again = std::chrono::seconds(3)};
  const Tick start = store_.MakeTick().value();
  for (const TenantId tenant : tenants_) {
    Reader& reader = readers_.emplace_back();
    reader.tenant = tenant;
    reader.token.after = start;
  }
  for (Place& place : places_) StartReplica(place);
  store_.Disturb(0.02, 0.02, random_.Next());
  store_.BeforeEach([this, depth = 0](const std::string& operation) mutable {
    // A lease that is nearly over when its renewal is answered.
    const bool late = operation == "RenewReplica, answered" && !healed_ && Below(10) == 0;
    if (late) clock_.Advance(std::chrono::milliseconds(500 + Below(2500)));
    if (depth == kDeepest || healed_ || Below(4) != 0) return;
    ++depth;
    Act(depth);
    --depth;
  });
}

Breaches SimWorld::Run() {
  const MonotonicTime faults_end = clock_.Now() + kFaultTime;
  int steps = 0;
  while (clock_.Now() < faults_end && breaches_.empty() && ++steps < kMostSteps) {
    if (clock_.Now() >= owner_leaves_at_) ReplaceOwner();
    Act(0);
    CheckAlways();
  }
  Heal();
  const MonotonicTime healed_at = clock_.Now();
  while (!AtRest() && breaches_.empty() && ++steps < kMostSteps) {
    const auto healed_for = clock_.Now() - healed_at;
    if (healed_for > kHealTime) {
      Breach("liveness: not at rest after all faults were healed");
      break;
    }
    // What rests at all mostly does so soon.
    clock_.Advance(healed_for < 1min ? 250ms : 1000ms);
    for (Place& place : places_) {
      for (int work = 0; work < SimReplica::kWorks; ++work) {
        place.replica->Step(static_cast<Work>(work));
      }
    }
    for (std::size_t i = 0; i < sends_.size(); ++i) {
      if (!sends_[i].answer && !sends_[i].under_way) Submit(i, *AnyReplica());
    }
    while (!genesys_.webhooks().empty() && Below(4) != 0) DeliverWebhook();
    for (Reader& reader : readers_) Read(reader);
    CheckAlways();
  }
  if (breaches_.empty()) CheckAtEnd();
  return breaches_;
}

void SimWorld::Act(int depth) {
  if (!breaches_.empty()) return;
  const auto dice = Below(100);
  if (dice < 20) {
    clock_.Advance(std::chrono::microseconds(Below(Below(40) == 0 ? 4'000'000 : 100'000)));
  } else if (dice < 24) {
    SendSomething();
  } else if (dice < 26) {
    CancelSomething();
  } else if (dice < 36) {
    DeliverWebhook();
  } else if (dice < 42) {
    if (depth == 0) Read(readers_[Below(readers_.size())]);
  } else {
    ActOn(places_[Below(kReplicas)], depth);
  }
}

void SimWorld::ActOn(Place& place, int depth) {
  if (place.replica == nullptr) {
    if (depth == 0 && Below(20) == 0) StartReplica(place);
    return;
  }
  if (clock_.Now() < place.frozen_until) return;
  const auto dice = Below(1000);
  if (dice < 6 && depth == 0 && !place.replica->busy()) {
    KillReplica(place, dice < 3);
  } else if (dice < 9) {
    place.frozen_until = clock_.Now() + std::chrono::milliseconds(100 + Below(6000));
    Note(StrCat("freeze replica ", place.replica->index()));
  } else {
    place.replica->Step(static_cast<Work>(Below(SimReplica::kWorks)));
  }
}

void SimWorld::StartReplica(Place& place) {
  const auto index = static_cast<int>(&place - places_.data());
  place.replica = std::make_unique<SimReplica>(
      index, store_, clock_, random_, genesys_,
      std::vector<TenantId>(tenants_.begin(), tenants_.end()),
      [this](TenantId tenant) {
        const auto found = settings_.find(tenant);
        return found == settings_.end() ? nullptr : found->second;
      },
      doubt_);
  place.frozen_until = {};
  ++place.lives;
  Note(StrCat("start replica ", index));
}

void SimWorld::KillReplica(Place& place, bool drained) {
  const int index = place.replica->index();
  Note(StrCat(drained ? "drain replica " : "kill replica ", index));
  for (Reader& reader : readers_) {
    if (reader.place == index) CloseStream(reader);
  }
  if (drained) place.replica->Drain();
  place.replica = nullptr;
}

SimReplica* SimWorld::AnyReplica() {
  const auto first = Below(kReplicas);
  for (std::size_t i = 0; i < kReplicas; ++i) {
    Place& place = places_[(first + i) % kReplicas];
    if (place.replica != nullptr && clock_.Now() >= place.frozen_until) return place.replica.get();
  }
  return nullptr;
}

void SimWorld::SendSomething() {
  SimReplica* const replica = AnyReplica();
  if (replica == nullptr) return;
  const bool repeat = !sends_.empty() && (sends_.size() >= kMaxSends || Below(3) == 0);
  if (repeat) {
    const std::size_t send = Below(sends_.size());
    if (!sends_[send].under_way) Submit(send, *replica);
    return;
  }
  const TenantId tenant = tenants_[Below(kTenants)];
  const bool campaign = Below(30) == 0;
  for (int left = campaign ? kCampaign : 1; left > 0; --left) SendNew(tenant, *replica);
  if (!campaign || Below(2) == 0) return;
  campaign_of_ = tenant;
  owner_leaves_at_ = clock_.Now() + std::chrono::milliseconds(1000 + Below(2500));
}

void SimWorld::ReplaceOwner() {
  for (Place& place : places_) {
    const bool runs = place.replica != nullptr && clock_.Now() >= place.frozen_until;
    if (!runs || place.replica->owner().Current()->Find(SlotOf(campaign_of_)) == nullptr) continue;
    KillReplica(place, true);
    break;
  }
  owner_leaves_at_ = MonotonicTime::max();
}

void SimWorld::SendNew(TenantId tenant, SimReplica& replica) {
  Send send;
  MessageRequest& request = send.message.request;
  request.tenant_id = tenant;
  request.request_id = StrCat("request-", sends_.size());
  request.recipient = StrCat("+1555000", 1000 + Below(5));
  request.sender_id = sender_;
  request.sender = "+15559990001";
  request.text = "Hello";
  request.campaign_id = Below(3) == 0 ? "spring" : "";
  request.priority = static_cast<Priority>(1 + Below(3));
  if (Below(4) == 0) request.duplicate_policy = DuplicatePolicy::kAtLeastOnce;
  if (Below(6) == 0) request.not_before = clock_.Wall() + std::chrono::seconds(Below(10));
  if (Below(8) == 0) request.expire_at = clock_.Wall() + std::chrono::seconds(1 + Below(10));
  send.message.fingerprint = Sha256Bytes(request.request_id);
  sends_.push_back(std::move(send));
  Submit(sends_.size() - 1, replica);
}

void SimWorld::Submit(std::size_t index, SimReplica& replica) {
  Send& send = sends_[index];
  NewMessage message = send.message;
  // Each try gets ids of its own, as from a gateway that knows nothing of the others.
  message.message_id = {MakeUuidV7(clock_.Wall(), random_)};
  message.new_conversation_id = {MakeUuidV4(random_)};
  send.under_way = true;
  const Flow flow = FlowOf(message.request);
  const bool taken = replica.accept().TrySubmit(
      std::move(message), [this, &send, flow, &replica](absl::StatusOr<Acceptance> answer) {
        send.under_way = false;
        if (!answer.ok()) return;
        replica.dispatcher().Wake(flow);
        const bool another = send.answer && send.answer->message_id != answer->message_id;
        if (another) Breach(StrCat("S2: ", send.message.request.request_id, " made two messages"));
        send.answer = *answer;
      });
  if (!taken) send.under_way = false;
}

void SimWorld::CancelSomething() {
  if (sends_.empty()) return;
  Send& send = sends_[Below(sends_.size())];
  if (!send.answer) return;
  const auto answer = store_.Cancel({send.message.request.tenant_id, send.answer->message_id});
  if (!answer.ok() || answer->kind != Cancellation::Kind::kCancelled) return;
  send.cancelled = true;
  Note(StrCat("cancelled ", send.answer->message_id.ToString()));
}

void SimWorld::DeliverWebhook() {
  std::vector<SimGenesys::Webhook>& webhooks = genesys_.webhooks();
  SimReplica* const replica = AnyReplica();
  if (webhooks.empty() || replica == nullptr) return;
  const std::size_t at = Below(webhooks.size());
  if (webhooks[at].due_at > clock_.Now()) return;
  SimGenesys::Webhook webhook = std::move(webhooks[at]);
  webhooks.erase(webhooks.begin() + static_cast<std::ptrdiff_t>(at));
  InboxRow row{.tenant_id = webhook.tenant_id,
               .inbox_id = {MakeUuidV7(clock_.Wall(), random_)},
               .profile = "guide",
               .body = webhook.body};
  const int index = replica->index();
  const int life = places_[static_cast<std::size_t>(index)].lives;
  const bool taken = replica->inbox().TrySubmit(
      row, [this, row, webhook, index, life](absl::StatusOr<bool> stored) mutable {
        Place& place = places_[static_cast<std::size_t>(index)];
        --webhooks_under_way_;
        if (stored.ok()) {
          ++webhooks_made_;
          const bool alive = place.replica != nullptr && place.lives == life;
          if (alive) place.replica->processor().Offer(std::move(row));
        } else if (--webhook.tries_left > 0) {
          // Not answered 200: it comes again.
          genesys_.webhooks().push_back(std::move(webhook));
        }
      });
  if (taken) {
    ++webhooks_under_way_;
  } else {
    genesys_.webhooks().push_back(std::move(webhook));
  }
}

void SimWorld::CloseStream(Reader& reader) {
  if (reader.subscription == nullptr) return;
  Place& place = places_[static_cast<std::size_t>(reader.place)];
  place.replica->hub().Unsubscribe(reader.subscription);
  reader.subscription = nullptr;
  reader.place = -1;
}

void SimWorld::Read(Reader& reader) {
  if (reader.subscription != nullptr && !healed_ && Below(30) == 0) CloseStream(reader);
  if (reader.subscription == nullptr) {
    SimReplica* const replica = AnyReplica();
    if (replica == nullptr) return;
    EventFilter filter;
    filter.tenant_id = reader.tenant;
    reader.subscription = replica->hub().Subscribe(filter, [] {}).value();
    reader.subscription->Begin(reader.token);
    reader.place = replica->index();
  }
  Place& place = places_[static_cast<std::size_t>(reader.place)];
  if (clock_.Now() >= place.frozen_until) ReadOn(reader);
}

void SimWorld::ReadOn(Reader& reader) {
  // A slow reader takes a few; the rest waits in the bounded buffer, or in the store.
  for (auto left = 1 + Below(40); left > 0; --left) {
    if (const auto change = reader.subscription->Next()) {
      reader.seen.emplace_back(change->event->message_id, change->event->status.revision);
      reader.token = change->position;
      continue;
    }
    const auto behind = reader.subscription->Behind();
    if (!behind) break;
    Tick to = behind->to;
    if (!behind->exact) {
      const auto nearer = store_.NextTick(behind->from, kMaxTailRange);
      if (!nearer.ok()) return;
      if (nearer->number > behind->from.number && nearer->number < to.number) to = *nearer;
    }
    auto events = store_.EventsBetween(behind->from, to, reader.tenant);
    if (!events.ok()) return;
    reader.subscription->Feed({behind->from, to, *std::move(events)});
  }
  // As a checkpoint does.
  if (Below(3) == 0) reader.token = reader.subscription->Position();
}

void SimWorld::Heal() {
  healed_ = true;
  store_.Disturb(0, 0, 0);
  genesys_.Heal();
  for (Place& place : places_) {
    if (place.replica == nullptr) StartReplica(place);
    place.frozen_until = {};
  }
  Note("all is healed");
}

void SimWorld::Note(std::string line) {
  trace_.push_back(StrCat(clock_.Now().time_since_epoch() / 1ms, " ms: ", line));
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

void SimWorld::Breach(std::string line) {
  Note(StrCat("BREACH ", line));
  breaches_.push_back(std::move(line));
}

std::string SimWorld::Trace() const {
  std::string text;
  for (const std::string& line : trace_) StrAppend(text, line, "\n");
  return text;
}

}  // namespace postrider
