#include "tests/sim/sim_world.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include <gtest/gtest.h>

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

namespace postrider {

namespace {

constexpr auto kFaultTime = std::chrono::seconds(40);
// A campaign is on its way when they begin, and waits when they end.
constexpr auto kQuietFrom = std::chrono::seconds(12);
constexpr auto kQuietUntil = std::chrono::seconds(22);
constexpr auto kHealTime = std::chrono::minutes(15);  // A circuit breaker waits for minutes.
constexpr int kMostSteps = 200'000;                   // Beyond: the run does not come to its end.
constexpr std::size_t kTraceLines = 120;
constexpr int kDeepest = 2;  // Steps within steps.
constexpr SimReplica::Work kOften[] = {SimReplica::Work::kOwn, SimReplica::Work::kChoose,
                                       SimReplica::Work::kPost, SimReplica::Work::kPostToo,
                                       SimReplica::Work::kRecord};

/// In memory where that can be: this is about what is kept, not about how disks lose it.
std::string NewDisk() {
  std::string shared = "/dev/shm/postrider-sim-XXXXXX";
  if (mkdtemp(shared.data()) != nullptr) return shared;
  std::string dir = ::testing::TempDir() + "postrider-sim-XXXXXX";
  PR_CHECK(mkdtemp(dir.data()) != nullptr);
  return dir;
}

}  // namespace

SimWorld::SimWorld(std::uint64_t seed, bool quiet_hours)
    : quiet_hours_(quiet_hours), random_(seed), disk_(NewDisk()) {
  sender_ = {MakeUuidV4(random_)};
  for (TenantId& tenant : tenants_) {
    tenant = {MakeUuidV4(random_)};
  }
  for (const TenantId tenant : tenants_) {
    TenantRow row;
    row.tenant_id = tenant;
    row.name = tenant.ToString();
    row.client_id = row.name;
    row.senders = {{sender_, "+15559990001"}};
    row.opt_out_confirmation = "You get no more texts.";
    PR_CHECK(store_.PutTenant(row).ok());
  }
  SetRate(kRatePerS);
  genesys_.on_post = [this](int replica, TenantId tenant, const SendRequest& request) {
    CheckPost(replica, tenant, request);
  };
  genesys_.on_outcome = [this](const SimGenesys::Post& post, const Outcome& outcome) {
    breaker_watch_.Ends({post.tenant_id, post.message_id}, post.attempt, outcome);
  };
  const auto caller_is_gone = [this] { return !turns_.empty() && Gone(turns_.back()); };
  genesys_.is_gone = caller_is_gone;
  genesys_.on_answer = [this](std::string line) { Note(std::move(line)); };
  genesys_.meanwhile = [this] {
    if (healed_at_) return;
    // How long the POST takes.
    for (auto acts = Below(8); acts > 0; --acts) Act(1);
  };
  genesys_.AllowReads(tenants_[1]);
  LearnTheTimes();
  const Tick start = store_.MakeTick().value();
  for (const TenantId tenant : tenants_) {
    Reader& reader = readers_.emplace_back();
    reader.tenant = tenant;
    reader.token.after = start;
  }
  for (Place& place : places_) StartReplica(place);
  store_.Disturb(0.02, 0.02, random_.Next());
  store_.DelayCommits(0.1);
  store_.RefuseWhile(caller_is_gone);
  store_.BeforeEach([this, depth = 0](const std::string& operation) mutable {
    breaker_watch_.Look(tenants_);
    // A lease that is nearly over when its renewal is answered.
    const bool late = operation == "RenewReplica, answered" && !healed_at_ && Below(10) == 0;
    if (late) clock_.Advance(std::chrono::milliseconds(500 + Below(2500)));
    if (depth == kDeepest || healed_at_ || Below(4) != 0) return;
    ++depth;
    Act(depth);
    --depth;
  });
}

SimWorld::~SimWorld() {
  graveyard_.clear();
  for (Place& place : places_) place.replica = nullptr;
  std::error_code ignored;
  std::filesystem::remove_all(disk_, ignored);
}

void SimWorld::SetRate(double rate_per_s) {
  for (const TenantId tenant : tenants_) {
    TenantSettings settings;
    settings.rate_per_s = rate_per_s;
    settings.burst = kBurst;
    settings.account.client_id = tenant.ToString();
    settings_[tenant] = std::make_shared<const TenantSettings>(settings);
  }
}

void SimWorld::LearnTheTimes() {
  // Short, so that a run gets to the end of them; in some before the receipts are there. In others
  // so long that what is quiet has to be found.
  const auto dice = Below(8);
  doubt_.again = std::chrono::seconds(3);
  if (dice == 0) {
    doubt_.window = std::chrono::seconds(60);
    doubt_.quiet = std::chrono::seconds(45);
    genesys_.LoseReceipts(0.2);
  } else {
    doubt_.window = std::chrono::seconds(dice < 5 ? 4 : 15);
    doubt_.quiet = std::chrono::seconds(dice % 2 == 0 ? 3 : 60);
  }
  if (Below(2) == 0) return;
  const auto kinds = 1 + Below(3);
  const MonotonicTime from = clock_.Now() + std::chrono::seconds(Below(15));
  genesys_.Brew({.from = from,
                 .until = from + std::chrono::seconds(8 + Below(15)),
                 .posts = (kinds & 1) != 0,
                 .carriers = (kinds & 2) != 0});
}

Breaches SimWorld::Run() {
  const MonotonicTime faults_end = clock_.Now() + kFaultTime;
  int steps = 0;
  while (clock_.Now() < faults_end && breaches_.empty() && ++steps < kMostSteps) {
    if (clock_.Now() >= owner_leaves_at_) ReplaceOwner();
    Act(0);
    Bury();
    CheckAlways();
  }
  Heal();
  while (breaches_.empty()) {
    const std::string unrest = Unrest();
    if (unrest.empty()) break;
    const auto healed_for = clock_.Now() - *healed_at_;
    if (healed_for > kHealTime || ++steps == kMostSteps) {
      Breach(StrCat("liveness: after all faults were healed, ", unrest));
      break;
    }
    // What rests at all mostly does so soon.
    clock_.Advance(healed_for < 10s ? 500ms : 1000ms);
    for (Place& place : places_) {
      for (int work = 0; work < SimReplica::kWorks; ++work) {
        const Work next = static_cast<Work>(work);
        if (SimReplica::IsSeldom(next) && steps % 4 != 0) continue;
        // A poster that has one turn a second would find each intent too old.
        const bool posts = next == Work::kPost || next == Work::kPostToo;
        for (int turns = posts ? 4 : 1; turns > 0; --turns) StepOf(place, next);
      }
    }
    for (std::size_t i = 0; i < sends_.size(); ++i) {
      if (!sends_[i].answer && !sends_[i].under_way) Submit(i, *AnyReplica());
    }
    while (!genesys_.webhooks().empty() && Below(16) != 0) DeliverWebhook();
    for (Reader& reader : readers_) Read(reader);
    CheckAlways();
  }
  if (breaches_.empty()) CheckAtEnd();
  return breaches_;
}

void SimWorld::Act(int depth) {
  if (!breaches_.empty()) return;
  const Turn turn(*this, nullptr);
  const auto dice = Below(100);
  if (dice < 20) {
    clock_.Advance(std::chrono::microseconds(Below(Below(60) == 0 ? 4'000'000 : 60'000)));
  } else if (dice < 24) {
    SendSomething();
  } else if (dice < 26) {
    CancelSomething();
  } else if (dice < 36) {
    DeliverWebhook();
  } else if (dice < 37) {
    if (Below(6) == 0) OperateSomething(depth);
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
  const auto dice = Below(3000);
  if (dice < 5 && depth == 0 && !place.replica->busy()) {
    DrainReplica(place);
  } else if (dice < 7) {
    KillReplica(place);
  } else if (dice < 12) {
    place.frozen_until = clock_.Now() + std::chrono::milliseconds(100 + Below(6000));
    Note(StrCat("freeze replica ", place.replica->index()));
  } else {
    // What is done all the time gets more turns than what is done each second.
    Work work = static_cast<Work>(Below(SimReplica::kWorks));
    if (SimReplica::IsSeldom(work) && Below(3) != 0) work = kOften[Below(std::size(kOften))];
    StepOf(place, work);
  }
}

void SimWorld::StepOf(Place& place, Work work) {
  SimReplica& replica = *place.replica;
  const MonotonicTime began = clock_.Now();
  const Turn turn(*this, &replica);
  if (!replica.Step(work) || work != Work::kChoose || Gone(&replica)) return;
  const MonotonicTime judged_at = replica.dispatcher().BreakersJudgedAt();
  const int failures = store_.Failures();
  if (std::exchange(place.judged_at, judged_at) != judged_at) {
    place.failures = failures;
  } else if (judged_at + kBreakerEvaluation < began && place.failures == failures) {
    Breach(StrCat("S14: replica ", replica.index(), " judges by what it knew ",
                  (began - judged_at) / 1ms, " ms before"));
  }
}

WallTime SimWorld::NextAllowed(const std::string& campaign_id, WallTime at) const {
  const WallTime from = began_at_ + kQuietFrom;
  const WallTime until = began_at_ + kQuietUntil;
  const bool quiet = quiet_hours_ && !campaign_id.empty() && from <= at && at < until;
  return quiet ? until : at;
}

void SimWorld::StartReplica(Place& place) {
  const auto index = static_cast<int>(&place - places_.data());
  ++place.lives;
  place.replica = std::make_unique<SimReplica>(
      index, place.lives, StrCat(disk_, "/", index), store_, clock_, random_, genesys_,
      std::vector<TenantId>(tenants_.begin(), tenants_.end()),
      [this](TenantId tenant) {
        const auto found = settings_.find(tenant);
        return found == settings_.end() ? nullptr : found->second;
      },
      doubt_,
      [this](const MessageRequest& request, WallTime at) {
        return NextAllowed(request.campaign_id, at);
      });
  // More may be there: of a file that is not through all rows come again.
  if (place.replica->spooled() < place.spooled) {
    Breach(StrCat("P7: of ", place.spooled, " webhooks on the disk of replica ", index, ", ",
                  place.replica->spooled(), " are there"));
  }
  place.frozen_until = {};
  place.judged_at = {};
  place.failures = store_.Failures();
  Note(StrCat("start replica ", index));
}

void SimWorld::KillReplica(Place& place) {
  const int index = place.replica->index();
  reach_.kills_at_work += place.replica->busy() ? 1 : 0;
  Note(StrCat("kill replica ", index, place.replica->busy() ? " in the midst of its work" : ""));
  for (Reader& reader : readers_) {
    if (reader.place == index) CloseStream(reader);
  }
  place.spooled = place.replica->spooled();
  reach_.spooled_at_end += place.spooled > 0 ? 1 : 0;
  gone_.insert(place.replica.get());
  graveyard_.push_back(std::move(place.replica));
}

void SimWorld::DrainReplica(Place& place) {
  SimReplica* const replica = place.replica.get();
  Note(StrCat("drain replica ", replica->index()));
  for (Reader& reader : readers_) {
    if (reader.place == replica->index()) CloseStream(reader);
  }
  {
    const Turn turn(*this, replica);
    replica->Drain();
  }
  if (!Gone(replica)) KillReplica(place);
}

void SimWorld::Bury() {
  // What ends while they are torn down may kill others.
  for (std::unique_ptr<SimReplica>& replica : std::exchange(graveyard_, {})) {
    SimReplica* const was = replica.get();
    {
      const Turn turn(*this, was);
      replica = nullptr;
    }
    gone_.erase(was);
  }
}

SimReplica* SimWorld::AnyReplica() {
  const auto first = Below(kReplicas);
  for (std::size_t i = 0; i < kReplicas; ++i) {
    Place& place = places_[(first + i) % kReplicas];
    if (place.replica != nullptr && clock_.Now() >= place.frozen_until) return place.replica.get();
  }
  return nullptr;
}

void SimWorld::ReplaceOwner() {
  for (Place& place : places_) {
    const bool runs = place.replica != nullptr && clock_.Now() >= place.frozen_until;
    if (!runs || place.replica->owner().Current()->Find(SlotOf(campaign_of_)) == nullptr) continue;
    DrainReplica(place);
    break;
  }
  owner_leaves_at_ = MonotonicTime::max();
}

void SimWorld::Heal() {
  reach_.posts = static_cast<int>(genesys_.ledger().size());
  healed_at_ = clock_.Now();
  store_.Disturb(0, 0, 0);
  store_.DelayCommits(0);
  genesys_.Heal();
  SetRate(kHealedRatePerS);
  Bury();
  for (Ban& ban : bans_) {
    if (!ban.recipient.empty()) continue;
    ban.to = std::min(ban.to, store_.Changes());
    (void)store_.ResumeDispatch(ban.of, Action()).ok();
  }
  for (Place& place : places_) {
    if (place.replica == nullptr) StartReplica(place);
    place.frozen_until = {};
  }
  Note("all is healed");
}

SimWorld::Reach SimWorld::Reached() const {
  Reach reach = reach_;
  reach.trips = breaker_watch_.trips();
  store_.ForEach([&](const Message& message, const std::vector<Attempt>&) {
    if (message.status.state == MessageState::kSuppressed) ++reach.opt_outs_met;
  });
  for (const MessageRecord& record : store_.Records()) {
    for (const StatusEvent& event : record.history) {
      if (event.status.hold_reason == HoldReason::kQuietHours) ++reach.quiet_holds;
    }
  }
  return reach;
}

void SimWorld::Note(std::string line) {
  trace_.push_back(StrCat(clock_.Now().time_since_epoch() / 1ms, " ms: ", line));
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

void SimWorld::Breach(std::string line) {
  Note(StrCat("BREACH ", line));
  breaches_.push_back(std::move(line));
}

void SimWorld::BreachAll(Breaches lines) {
  for (std::string& line : lines) Breach(std::move(line));
}

std::string SimWorld::Trace() const {
  std::string text;
  for (const std::string& line : trace_) StrAppend(text, line, "\n");
  return text;
}

}  // namespace postrider
