#include <algorithm>
#include <set>
#include <tuple>

#include "server/model/dispatch_limits.h"
#include "tests/support/store_contract.h"

// What operators do and see, and the end of what expired.
namespace postrider {
namespace {

OperatorAction Because(const std::string& reason) {
  static SeededRandom random(77);
  return {{MakeUuidV4(random)}, "ops", reason};
}

/// How many messages of `flows` are due and not paused; their flows are found alike.
std::size_t DueOf(Store& store, const std::set<Flow>& flows) {
  std::vector<FlowRoom> rooms;
  for (const Flow& flow : flows) rooms.push_back({flow, 100});
  const std::size_t due = store.ChooseDue(rooms)->size();
  EXPECT_EQ(store.FlowsWithWork(AllSlots())->size(), due) << "one message a flow";
  return due;
}

TEST_P(StoreContract, WhatIsPausedIsNeitherChosenNorIntendedUntilItIsResumed) {
  const ReplicaId replica = NewReplica();
  NewMessage of_campaign = Fresh();
  of_campaign.request.campaign_id = "spring";
  const NewMessage of_none = Fresh();
  const MessageKey in_campaign = Accepted(of_campaign);
  const MessageKey outside = Accepted(of_none);
  const std::set<Flow> flows = {FlowOf(of_campaign.request), FlowOf(of_none.request)};
  const SenderId sender = of_campaign.request.sender_id;
  struct Case {
    const char* name;
    PauseTarget target;
    bool holds_campaign;
    bool holds_outside;
  };
  SeededRandom random(5);
  const TenantId tenant = tenant_.tenant_id;
  const Case cases[] = {
      {"tenant", {tenant, PauseScope::kTenant, ""}, true, true},
      {"campaign", {tenant, PauseScope::kCampaign, "spring"}, true, false},
      {"another campaign", {tenant, PauseScope::kCampaign, "autumn"}, false, false},
      {"sender", {tenant, PauseScope::kSender, sender.ToString()}, true, true},
      {"another sender",
       {tenant, PauseScope::kSender, MakeUuidV4(random).ToString()},
       false,
       false},
      {"another tenant", {{MakeUuidV4(random)}, PauseScope::kTenant, ""}, false, false},
  };
  for (const Case& c : cases) {
    ASSERT_TRUE(store_.PauseDispatch(c.target, {}, Because(c.name)).ok()) << c.name;
    const int free = (c.holds_campaign ? 0 : 1) + (c.holds_outside ? 0 : 1);
    EXPECT_EQ(DueOf(store_, flows), static_cast<std::size_t>(free)) << c.name;
    if (c.holds_campaign) {
      EXPECT_EQ(IntendOne(replica, in_campaign).kind, Intent::Kind::kGone) << c.name;
      EXPECT_EQ(StatusOf(in_campaign).state, MessageState::kQueued) << c.name;
    }
    EXPECT_EQ(store_.ResumeDispatch(c.target, Because("over")).value(), true) << c.name;
    EXPECT_EQ(store_.ResumeDispatch(c.target, Because("over")).value(), false) << c.name;
    EXPECT_EQ(DueOf(store_, flows), 2U) << c.name;
  }
  EXPECT_EQ(IntendOne(replica, in_campaign).kind, Intent::Kind::kPost);
  EXPECT_EQ(IntendOne(replica, outside).kind, Intent::Kind::kPost);
}

TEST_P(StoreContract, APauseEndsByItselfByTheStoresClock) {
  const TenantId tenant = tenant_.tenant_id;
  const PauseTarget target{tenant, PauseScope::kTenant, ""};
  const NewMessage message = Fresh();
  Accepted(message);
  const std::set<Flow> flows = {FlowOf(message.request)};
  // Long over when it begins: the clock need not pass for it.
  ASSERT_TRUE(store_.PauseDispatch(target, subject_.now() - 1s, Because("a minute")).ok());
  EXPECT_EQ(DueOf(store_, flows), 1U);
  EXPECT_TRUE(store_.ReadControl({&tenant, 1})->pauses.empty());
  EXPECT_EQ(store_.ResumeDispatch(target, Because("over")).value(), false) << "it has ended";

  const WallTime until = subject_.now() + 1h;
  const auto pause = store_.PauseDispatch(target, until, Because("an hour"));
  ASSERT_TRUE(pause.ok()) << pause.status();
  EXPECT_EQ(DueOf(store_, flows), 0U);
  const auto facts = store_.ReadControl({&tenant, 1});
  ASSERT_EQ(facts->pauses.size(), 1U);
  EXPECT_EQ(facts->pauses[0].of, target);
  EXPECT_EQ(facts->pauses[0].reason, "an hour");
  EXPECT_EQ(facts->pauses[0].actor, "ops");
  const auto micros = [](WallTime time) {
    return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
  };
  EXPECT_EQ(micros(facts->pauses[0].until), micros(until));
  EXPECT_EQ(micros(facts->pauses[0].since), micros(pause->since));
}

TEST_P(StoreContract, AnExpiredMessageEndsWhateverHoldsIt) {
  NewReplica();
  const TenantId tenant = tenant_.tenant_id;
  NewMessage expired = Fresh();
  expired.request.expire_at = subject_.now() - 1s;
  NewMessage scheduled = expired;
  scheduled = Fresh();
  scheduled.request.not_before = subject_.now() + 1h;
  scheduled.request.expire_at = subject_.now() - 1s;
  NewMessage later = Fresh();
  later.request.expire_at = subject_.now() + 1h;
  const MessageKey gone = Accepted(expired);
  const MessageKey held = Accepted(scheduled);
  const MessageKey stays = Accepted(later);
  const MessageKey never = Accepted();
  ASSERT_TRUE(store_.PauseDispatch({tenant, PauseScope::kTenant, ""}, {}, Because("paused")).ok());
  const std::vector<int> none;
  EXPECT_EQ(store_.ExpireDue(none).value(), 0);
  EXPECT_EQ(store_.ExpireDue(AllSlots()).value(), 2);
  EXPECT_EQ(store_.ExpireDue(AllSlots()).value(), 0);
  EXPECT_EQ(StatusOf(gone).state, MessageState::kExpired);
  EXPECT_TRUE(StatusOf(gone).final);
  EXPECT_EQ(StatusOf(held).state, MessageState::kExpired);
  EXPECT_EQ(StatusOf(stays).state, MessageState::kQueued);
  EXPECT_EQ(StatusOf(never).state, MessageState::kQueued);
  EXPECT_EQ(store_.ReadControl({&tenant, 1})->tenants[0].queue_depth, 2);
}

TEST_P(StoreContract, ControlShowsTheQueueItsOwnersAndWhatIsOnItsWay) {
  const TenantId tenants[] = {tenant_.tenant_id, {MakeUuidV4(random_)}};
  auto facts = store_.ReadControl(tenants);
  ASSERT_TRUE(facts.ok()) << facts.status();
  ASSERT_EQ(facts->tenants.size(), 2U);
  EXPECT_EQ(facts->tenants[0].queue_depth, 0);
  EXPECT_EQ(facts->tenants[0].oldest_due, WallTime{});
  ASSERT_EQ(facts->slots.size(), static_cast<std::size_t>(kSlots));
  EXPECT_TRUE(facts->slots[0].owner.IsNil());

  const ReplicaId replica = NewReplica();
  NewMessage scheduled = Fresh();
  scheduled.request.not_before = subject_.now() + 1h;
  Accepted(scheduled);
  const MessageKey sent = Accepted();
  Accepted();
  Intended(replica, sent);
  facts = store_.ReadControl(tenants);
  EXPECT_EQ(facts->tenants[0].tenant_id, tenants[0]);
  EXPECT_EQ(facts->tenants[0].queue_depth, 2);
  EXPECT_LE(facts->tenants[0].oldest_due, subject_.now());
  EXPECT_NE(facts->tenants[0].oldest_due, WallTime{});
  EXPECT_EQ(facts->tenants[1].queue_depth, 0);
  int open = 0;
  for (const SlotFacts& slot : facts->slots) {
    EXPECT_EQ(slot.owner, replica) << slot.slot;
    EXPECT_GT(slot.epoch, 0) << slot.slot;
    open += slot.open_attempts;
  }
  EXPECT_EQ(open, 1);
  ASSERT_EQ(facts->replicas.size(), 1U);
  EXPECT_EQ(facts->replicas[0].replica_id, replica);
  EXPECT_EQ(facts->replicas[0].name, "test");
  EXPECT_TRUE(facts->replicas[0].alive);
}

TEST_P(StoreContract, APlaceInTheQueueCountsWhatLeavesBefore) {
  const ReplicaId replica = NewReplica();
  const auto accepted = [&](Priority priority, const std::string& campaign) {
    NewMessage message = Fresh();
    message.request.priority = priority;
    if (subject_.advance) subject_.advance(1ms);
    message.request.campaign_id = campaign;
    return Accepted(message);
  };
  for (int i = 0; i < 3; ++i) accepted(Priority::kUrgent, "");
  for (int i = 0; i < 5; ++i) accepted(Priority::kNormal, "a");
  const MessageKey first_of_b = accepted(Priority::kNormal, "b");
  accepted(Priority::kNormal, "b");
  const MessageKey third_of_b = accepted(Priority::kNormal, "b");
  for (int i = 0; i < 4; ++i) accepted(Priority::kBulk, "a");

  const auto ahead = [&](const MessageKey& key, int most) {
    const auto place = store_.FindQueuePlace(key, most);
    EXPECT_TRUE(place.ok()) << place.status();
    return std::tuple(place->ahead_in_flow, place->ahead_elsewhere, place->ahead_urgent,
                      place->capped);
  };
  EXPECT_EQ(ahead(first_of_b, 100), std::tuple(0, 1, 3, false)) << "flows take turns";
  EXPECT_EQ(ahead(third_of_b, 100), std::tuple(2, 3, 3, false));
  EXPECT_EQ(ahead(third_of_b, 3), std::tuple(2, 3, 3, false)) << "exact up to the limit";
  EXPECT_EQ(ahead(third_of_b, 2), std::tuple(2, 2, 2, true));
  EXPECT_EQ(ahead(third_of_b, 1), std::tuple(1, 1, 1, true));
  ASSERT_TRUE(
      store_.PauseDispatch({tenant_.tenant_id, PauseScope::kCampaign, "a"}, {}, Because("paused"))
          .ok());
  EXPECT_EQ(ahead(third_of_b, 100), std::tuple(2, 0, 3, false)) << "what is paused is not ahead";

  const auto place = store_.FindQueuePlace(third_of_b, 100);
  EXPECT_EQ(place->owner, "test");
  EXPECT_EQ(place->owner_id, replica);
  EXPECT_TRUE(place->pauses.empty());
  EXPECT_LE(place->due_at, place->at);
  ASSERT_TRUE(
      store_.PauseDispatch({tenant_.tenant_id, PauseScope::kCampaign, "b"}, {}, Because("paused"))
          .ok());
  EXPECT_EQ(store_.FindQueuePlace(third_of_b, 100)->pauses.size(), 1U);
  Intended(replica, accepted(Priority::kUrgent, "c"));
  const MessageKey nobody{tenant_.tenant_id, {MakeUuidV4(random_)}};
  EXPECT_TRUE(absl::IsNotFound(store_.FindQueuePlace(nobody, 100).status()));
}

}  // namespace
}  // namespace postrider
