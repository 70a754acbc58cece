#include "server/base/strings.h"
#include "server/model/limits.h"
#include "tests/support/store_contract.h"

// Dead letters: seen, replayed, discarded.
namespace postrider {
namespace {

OperatorAction NewAction() {
  static SeededRandom random(7);
  return {MakeUuidV4(random), "an operator", "the carrier has mended it"};
}

DeadLetterId LetterOf(const InboxRow& row) { return {row.inbox_id.uuid}; }

/// The reasons of `letters`, in order.
std::string ReasonsOf(const std::vector<DeadLetter>& letters) {
  std::string reasons;
  for (const DeadLetter& letter : letters) StrAppend(reasons, letter.reason, " ");
  return reasons;
}

TEST_P(StoreContract, DeadLettersAreListedNewestFirstInPagesAndByFilter) {
  std::vector<DeadLetterId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(LetterOf(Unreadable(StrCat("body ", i)).row));
  const NewInbound stray = Stray();
  const DeadLetterFilter all{.tenant_id = tenant_.tenant_id};
  std::vector<DeadLetterId> seen;
  DeadLetterPlace place;
  while (true) {
    const auto page = store_.ListDeadLetters(all, place, 4);
    ASSERT_TRUE(page.ok()) << page.status();
    if (page->empty()) break;
    ASSERT_LE(page->size(), 4U);
    for (const DeadLetter& letter : *page) seen.push_back(letter.dead_letter_id);
    place = {page->back().at, page->back().dead_letter_id};
  }
  ASSERT_EQ(seen.size(), 6U);
  EXPECT_EQ(seen.front(), LetterOf(stray.row));
  EXPECT_EQ(seen.back(), ids.front());

  DeadLetterFilter filter = all;
  filter.reason = "UNKNOWN_SENDER";
  EXPECT_EQ(ReasonsOf(*store_.ListDeadLetters(filter, {}, 10)), "UNKNOWN_SENDER ");
  filter = all;
  filter.source = "telegraph";
  EXPECT_TRUE(store_.ListDeadLetters(filter, {}, 10)->empty());
  filter = all;
  filter.since = subject_.now() + 1h;
  EXPECT_TRUE(store_.ListDeadLetters(filter, {}, 10)->empty());
  filter = all;
  filter.until = subject_.now() - 1h;
  EXPECT_TRUE(store_.ListDeadLetters(filter, {}, 10)->empty());
  filter.tenant_id = {MakeUuidV4(random_)};
  EXPECT_TRUE(store_.ListDeadLetters(filter, {}, 10)->empty());

  const auto groups = store_.GroupDeadLetters(all);
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_EQ(groups->size(), 2U);
  EXPECT_EQ((*groups)[0].reason, "UNREADABLE");
  EXPECT_EQ((*groups)[0].source, "guide");
  EXPECT_EQ((*groups)[0].count, 5);
  EXPECT_EQ((*groups)[0].only_by_id, 0);
  EXPECT_EQ((*groups)[1].count, 1);

  const auto found = store_.FindDeadLetter(tenant_.tenant_id, ids[2]);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->body, "body 2");
  EXPECT_EQ(found->bytes, 6);
  EXPECT_TRUE(absl::IsNotFound(store_.FindDeadLetter({MakeUuidV4(random_)}, ids[2]).status()));
}

TEST_P(StoreContract, AReplayedDeadLetterIsAppliedAsIfItHadJustCome) {
  const MessageKey key = Submitted(NewReplica());
  const ParsedReceipt dead = Unreadable("of a shape that is not known yet");
  const DeadLetterChoice one{{.tenant_id = tenant_.tenant_id}, {LetterOf(dead.row)}};
  auto change = store_.ReplayDeadLetters(one, 0us, NewAction());
  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_EQ(change->changed, 1);
  EXPECT_FALSE(change->has_more);
  EXPECT_TRUE(store_.ListDeadLetters(one.filter, {}, 10)->empty());
  EXPECT_EQ(store_.ReplayDeadLetters(one, 0us, NewAction())->changed, 0) << "it is on its way";
  EXPECT_EQ(store_.DiscardDeadLetters(one, NewAction())->changed, 0);
  const auto parked = store_.TakeParked(10);
  ASSERT_TRUE(parked.ok()) << parked.status();
  ASSERT_EQ(parked->size(), 1U);
  EXPECT_EQ(parked->front().inbox_id, dead.row.inbox_id);
  EXPECT_EQ(parked->front().body, dead.row.body);

  ParsedReceipt understood = ReceiptFor(key, MessageState::kSent, dead.row.body);
  understood.row = dead.row;
  const auto counts = store_.ApplyReceipts({&understood, 1});
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->applied, 1);
  EXPECT_EQ(StatusOf(key).state, MessageState::kSent);
  EXPECT_TRUE(store_.ListDeadLetters(one.filter, {}, 10)->empty());
}

TEST_P(StoreContract, WhatFailsAgainIsDeadAgainAndNotReplayedForEver) {
  const ParsedReceipt dead = Unreadable("poison");
  const DeadLetterChoice all{{.tenant_id = tenant_.tenant_id}};
  const DeadLetterChoice named{all.filter, {LetterOf(dead.row)}};
  for (int replay = 1; replay <= kMostReplays; ++replay) {
    EXPECT_EQ(store_.ReplayDeadLetters(all, 0us, NewAction())->changed, 1);
    EXPECT_EQ(store_.ApplyReceipts({&dead, 1})->dead_letters, 1);
    const auto letter = store_.FindDeadLetter(tenant_.tenant_id, LetterOf(dead.row));
    ASSERT_TRUE(letter.ok()) << letter.status();
    EXPECT_EQ(letter->replays, replay);
  }
  EXPECT_EQ(store_.GroupDeadLetters(all.filter)->front().only_by_id, 1);
  EXPECT_EQ(store_.CountDeadLetters(all, false).value(), 0);
  EXPECT_EQ(store_.CountDeadLetters(all, true).value(), 1);
  const DeadLetterChoice twice{all.filter,
                               {LetterOf(dead.row), LetterOf(dead.row), DeadLetterId()}};
  EXPECT_EQ(store_.CountDeadLetters(twice, false).value(), 1);
  EXPECT_EQ(store_.ReplayDeadLetters(all, 0us, NewAction())->changed, 0);
  EXPECT_EQ(store_.ReplayDeadLetters(named, 0us, NewAction())->changed, 1) << "deliberately";
}

TEST_P(StoreContract, ReplayedOnesTakeTheirTurnsOldestFirst) {
  if (!subject_.advance) GTEST_SKIP();
  const InboxRow first = Unreadable("first").row;
  const InboxRow second = Unreadable("second").row;
  const DeadLetterChoice all{{.tenant_id = tenant_.tenant_id}};
  EXPECT_EQ(store_.ReplayDeadLetters(all, 1h, NewAction())->changed, 2);
  auto parked = store_.TakeParked(10);
  ASSERT_TRUE(parked.ok()) << parked.status();
  ASSERT_EQ(parked->size(), 1U) << "the other's turn is an hour later";
  EXPECT_EQ(parked->front().inbox_id, first.inbox_id);
  ParsedReceipt again{first, absl::InvalidArgumentError("status: missing")};
  EXPECT_EQ(store_.ApplyReceipts({&again, 1})->dead_letters, 1);
  subject_.advance(1h);
  parked = store_.TakeParked(10);
  ASSERT_EQ(parked->size(), 1U);
  EXPECT_EQ(parked->front().inbox_id, second.inbox_id);
}

TEST_P(StoreContract, WhatIsAppliedAgainAfterItDiedIsNotParkedAnew) {
  if (!subject_.advance) GTEST_SKIP();
  const ParsedReceipt orphan =
      ReceiptFor({tenant_.tenant_id, {MakeUuidV4(random_)}}, MessageState::kSent, "orphan");
  EXPECT_EQ(Apply(orphan).parked, 1);
  subject_.advance(kParkedFor + 1s);
  EXPECT_EQ(store_.ApplyReceipts({&orphan, 1})->dead_letters, 1);
  ASSERT_TRUE(store_.ApplyReceipts({&orphan, 1}).ok()) << "the commit had been in doubt";
  subject_.advance(1min);
  EXPECT_TRUE(store_.TakeParked(10)->empty()) << "it has one end";
  EXPECT_EQ(store_.GroupDeadLetters({.tenant_id = tenant_.tenant_id})->front().count, 1);
}

TEST_P(StoreContract, ADiscardedDeadLetterIsGoneFromTheList) {
  const InboxRow one = Unreadable("one").row;
  const InboxRow other = Unreadable("other").row;
  const DeadLetterChoice named{{.tenant_id = tenant_.tenant_id}, {LetterOf(one)}};
  const DeadLetterChoice foreign{{.tenant_id = {MakeUuidV4(random_)}}, {LetterOf(other)}};
  EXPECT_EQ(store_.DiscardDeadLetters(foreign, NewAction())->changed, 0);
  EXPECT_EQ(store_.DiscardDeadLetters(named, NewAction())->changed, 1);
  EXPECT_EQ(store_.DiscardDeadLetters(named, NewAction())->changed, 0);
  EXPECT_EQ(store_.ReplayDeadLetters(named, 0us, NewAction())->changed, 0);
  const auto left = store_.ListDeadLetters(named.filter, {}, 10);
  ASSERT_EQ(left->size(), 1U);
  EXPECT_EQ(left->front().dead_letter_id, LetterOf(other));
  DeadLetterFilter orphans = named.filter;
  orphans.reason = "ORPHAN";
  EXPECT_EQ(store_.DiscardDeadLetters({orphans}, NewAction())->changed, 0);
  EXPECT_EQ(store_.DiscardDeadLetters({named.filter}, NewAction())->changed, 1);
}

}  // namespace
}  // namespace postrider
