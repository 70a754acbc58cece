#include "tests/support/store_contract.h"

// What an acceptance is held to by its tenant's setup: caps, and who may open a conversation.
namespace postrider {
namespace {

using Kind = Acceptance::Kind;

NewMessage With(NewMessage message, std::vector<DailyCap> caps) {
  message.bounds.caps = std::move(caps);
  return message;
}

TEST_P(StoreContract, ACapIsReachedExactlyAndSaysWhich) {
  const std::vector<DailyCap> caps = {{"campaign:spring", 10}, {"destination:+1", 2}};
  EXPECT_EQ(AcceptOne(With(Fresh(), caps)).kind, Kind::kNew);
  EXPECT_EQ(AcceptOne(With(Fresh(), caps)).kind, Kind::kNew);
  const Acceptance reached = AcceptOne(With(Fresh(), caps));
  EXPECT_EQ(reached.kind, Kind::kCapReached);
  EXPECT_EQ(reached.cap, 1U);
  EXPECT_EQ(reached.count, 2);
  EXPECT_EQ(AcceptOne(With(Fresh(), {caps[0]})).kind, Kind::kNew) << "that one has room";
  EXPECT_EQ(AcceptOne(With(Fresh(), {{"destination:+2", 2}})).kind, Kind::kNew);
}

TEST_P(StoreContract, ACapHoldsWithinABatchAndARepeatTakesNoPlace) {
  const std::vector<DailyCap> caps = {{"campaign:spring", 2}};
  const NewMessage first = With(Fresh(), caps);
  ASSERT_EQ(AcceptOne(first).kind, Kind::kNew);
  NewMessage repeat = first;
  repeat.message_id = {MakeUuidV7(subject_.now(), random_)};
  NewMessage second = With(Fresh(), caps);
  NewMessage second_again = second;
  second_again.message_id = {MakeUuidV7(subject_.now(), random_)};
  const NewMessage third = With(Fresh(), caps);
  const std::vector<NewMessage> batch = {second, second_again, third};
  const auto verdicts = store_.Accept(batch);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ((*verdicts)[0].kind, Kind::kNew);
  EXPECT_EQ((*verdicts)[1].kind, Kind::kDuplicate);
  EXPECT_EQ((*verdicts)[2].kind, Kind::kCapReached);
  EXPECT_EQ(AcceptOne(repeat).kind, Kind::kDuplicate) << "also when the cap is reached";
}

TEST_P(StoreContract, RequestsOfOneIdWithOtherCapsAreEachHeldToTheirOwn) {
  const std::vector<DailyCap> spring = {{"campaign:spring", 1}};
  ASSERT_EQ(AcceptOne(With(Fresh(), spring)).kind, Kind::kNew);
  const NewMessage first = With(Fresh(), spring);
  NewMessage other = first;
  other.message_id = {MakeUuidV7(subject_.now(), random_)};
  other.fingerprint = std::string(32, 'o');
  other.bounds.caps = {};
  const auto verdicts = store_.Accept(std::vector<NewMessage>{first, other});
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_NE((*verdicts)[0].kind, Kind::kNew);
  EXPECT_EQ((*verdicts)[1].kind, Kind::kNew) << "what was refused took no id";
}

TEST_P(StoreContract, WhatIsStoredAlreadyTakesNoPlaceInABatch) {
  const std::vector<DailyCap> caps = {{"campaign:spring", 3}};
  std::vector<NewMessage> batch = {With(Fresh(), caps), With(Fresh(), caps)};
  ASSERT_TRUE(store_.Accept(batch).ok());
  for (NewMessage& repeat : batch) repeat.message_id = {MakeUuidV7(subject_.now(), random_)};
  batch.push_back(With(Fresh(), caps));
  const auto verdicts = store_.Accept(batch);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ((*verdicts)[0].kind, Kind::kDuplicate);
  EXPECT_EQ((*verdicts)[1].kind, Kind::kDuplicate);
  EXPECT_EQ((*verdicts)[2].kind, Kind::kNew);
}

TEST_P(StoreContract, WhatACapRefusedIsRefusedWithAllItsRepeats) {
  const std::vector<DailyCap> caps = {{"campaign:spring", 1}};
  ASSERT_EQ(AcceptOne(With(Fresh(), caps)).kind, Kind::kNew);
  const NewMessage second = With(Fresh(), caps);
  NewMessage again = second;
  again.message_id = {MakeUuidV7(subject_.now(), random_)};
  const std::vector<NewMessage> batch = {second, again};
  const auto verdicts = store_.Accept(batch);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ((*verdicts)[0].kind, Kind::kCapReached);
  EXPECT_EQ((*verdicts)[1].kind, Kind::kCapReached);
}

TEST_P(StoreContract, WhoMayNotOpenAConversationMayGoOnWithOne) {
  NewMessage message = Fresh();
  message.bounds.may_open = false;
  EXPECT_EQ(AcceptOne(message).kind, Kind::kMayNotOpen);
  Accepted(Fresh());
  EXPECT_EQ(AcceptOne(message).kind, Kind::kNew);
  NewMessage elsewhere = Fresh("+15550000077");
  elsewhere.bounds.may_open = false;
  EXPECT_EQ(AcceptOne(elsewhere).kind, Kind::kMayNotOpen);
}

TEST_P(StoreContract, WhoMayNotOpenAConversationMayFollowItsOpenerInABatch) {
  NewMessage opener = Fresh("+15550000078");
  NewMessage follower = Fresh("+15550000078");
  follower.bounds.may_open = false;
  const auto verdicts = store_.Accept(std::vector<NewMessage>{opener, follower});
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  EXPECT_EQ((*verdicts)[0].kind, Kind::kNew);
  EXPECT_EQ((*verdicts)[1].kind, Kind::kNew);
}

}  // namespace
}  // namespace postrider
