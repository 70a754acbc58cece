#include <algorithm>
#include <set>

#include "server/base/strings.h"
#include "server/model/consent_limits.h"
#include "tests/support/consent_contract.h"

// The one answer to an opt-out, and lists of those in force.
namespace postrider {
namespace {

using enum ConsentChange;
using std::chrono::minutes;

TEST_P(AnswerContract, AKeywordThatOptsOutIsAnsweredOnceWithTheOptOut) {
  NewMessage before = Fresh(kRecipient);
  before.request.external_contact_id = "mother";
  Accepted(before);
  const NewInbound stop = Text("STOP", minutes(1));
  EXPECT_TRUE(Answered(stop));
  const auto record = store_.GetMessage(AnswerTo(stop));
  ASSERT_TRUE(record.ok()) << record.status();
  const MessageRequest& answer = record->message.request;
  EXPECT_TRUE(answer.answers_opt_out);
  EXPECT_EQ(answer.request_id, StrCat("postrider:opt-out:", stop.row.inbox_id.ToString()));
  EXPECT_EQ(answer.recipient, kRecipient);
  EXPECT_EQ(answer.sender_id, Sender(0));
  EXPECT_EQ(answer.sender, tenant_.senders[0].address);
  EXPECT_EQ(answer.text, "You get no more texts.");
  EXPECT_EQ(answer.priority, Priority::kUrgent);
  EXPECT_EQ(answer.expire_at, record->message.accepted_at + kOptOutAnswerLasts);
  EXPECT_EQ(answer.conversation_id, before.new_conversation_id);
  EXPECT_EQ(answer.external_contact_id, "mother");
  EXPECT_EQ(record->message.status.state, MessageState::kQueued);
  EXPECT_EQ(record->history.size(), 1U);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);

  NewInbound copy = stop;
  copy.row.inbox_id = {MakeUuidV7(subject_.now(), random_)};
  copy.row.body += " told again";
  copy.new_message_id = {MakeUuidV7(subject_.now(), random_)};
  EXPECT_FALSE(Answered(copy)) << "a webhook that was told twice";
  EXPECT_FALSE(Answered(stop)) << "its row once more";
  EXPECT_FALSE(Answered(Text("STOP", minutes(0)))) << "said again";
}

TEST_P(AnswerContract, NoOptOutStopsTheAnswerAndItStopsEverythingElse) {
  const ReplicaId replica = NewReplica();
  const MessageKey queued = Accepted(Fresh(kRecipient));
  const NewInbound stop = Text("STOP", minutes(1));
  ASSERT_TRUE(Answered(stop));
  MustRecord(Said(kOptOut, minutes(0)));
  EXPECT_EQ(store_.SuppressQueued(AllSlots())->value_or(0), 1);
  EXPECT_EQ(StateOf(queued), MessageState::kSuppressed);
  const Intent intent = IntendOne(replica, AnswerTo(stop));
  ASSERT_EQ(intent.kind, Intent::Kind::kPost);
  EXPECT_TRUE(intent.request.answers_opt_out);
  Record(replica, AnswerTo(stop), intent.attempt, OutcomeKind::kNotSent);
  store_.SuppressQueued(AllSlots()).value();
  EXPECT_EQ(StateOf(AnswerTo(stop)), MessageState::kQueued) << "nor when it comes back";
  EXPECT_EQ(IntendOne(replica, AnswerTo(stop)).kind, Intent::Kind::kPost);
}

TEST_P(AnswerContract, AnAnswerThatIsTooLateExpires) {
  if (!subject_.advance) GTEST_SKIP();
  const ReplicaId replica = NewReplica();
  const NewInbound stop = Text("STOP", minutes(1));
  ASSERT_TRUE(Answered(stop));
  subject_.advance(kOptOutAnswerLasts);
  ASSERT_TRUE(*store_.RenewReplica(replica, "one"));
  (void)LeasesOf(replica);
  IntendOne(replica, AnswerTo(stop));
  EXPECT_NE(StateOf(AnswerTo(stop)), MessageState::kDispatching);
}

TEST_P(AnswerContract, AKeywordThatComesAnHourLateOptsOutAndIsNotAnswered) {
  EXPECT_FALSE(Answered(Text("STOP", minutes(61))));
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kOptedOut);
  NewInbound untold = Text("STOP", minutes(1));
  untold.text.recipient = "+15550000002";
  untold.text.provider_at = {};
  EXPECT_TRUE(Answered(untold)) << "said when it came in, as far as anybody knows";
}

TEST_P(AnswerContract, WhoCameBackAndOptsOutAgainIsAnsweredAgain) {
  EXPECT_TRUE(Answered(Text("STOP", minutes(9))));
  EXPECT_FALSE(Answered(Text("START", minutes(8))));
  EXPECT_TRUE(Answered(Text("STOP", minutes(7))));
  EXPECT_FALSE(Answered(Text("START", minutes(5))));
  EXPECT_FALSE(Answered(Text("STOP", minutes(6)))) << "START was said after it";
}

TEST_P(AnswerContract, WhoHadOptedOutOfThatSenderIsNotAnswered) {
  MustRecord(Said(kOptOut, minutes(10)));
  EXPECT_FALSE(Answered(Text("STOP", minutes(1)))) << "of all senders, by an operator";
  NewInbound other = Text("STOP", minutes(1));
  other.text.recipient = "+15550000002";
  ConsentEvent event = Said(kOptOut, minutes(10), Sender(1));
  event.recipient = other.text.recipient;
  MustRecord(event);
  EXPECT_TRUE(Answered(other)) << "of another sender only";
}

TEST_P(AnswerContract, WithTheTenantsScopeThereIsOneAnswerToo) {
  TenantRow wide = tenant_;
  wide.opt_out_scope = OptOutScope::kTenant;
  ASSERT_TRUE(store_.PutTenant(wide).ok());
  const NewInbound stop = Text("STOP", minutes(2));
  EXPECT_TRUE(Answered(stop));
  NewInbound again = Text("STOP", minutes(1));
  again.text.sender = tenant_.senders[1].address;
  EXPECT_FALSE(Answered(again)) << "out of all senders already";
}

TEST_P(AnswerContract, OnlyAKeywordIsAnsweredAndOnlyWhenATextIsSet) {
  MustRecord(Said(kOptOut, minutes(5), Sender(0)));
  EXPECT_FALSE(Answered(Text("please stop this", minutes(4))));
  subject_.confirm_opt_outs(tenant_.tenant_id, "");
  NewInbound other = Text("STOP", minutes(1));
  other.text.recipient = "+15550000002";
  EXPECT_FALSE(Answered(other));
}

TEST_P(AnswerContract, TwoOfOneBatchAreAnsweredOnce) {
  const NewInbound batch[] = {Text("STOP", minutes(2)), Text("STOP", minutes(1))};
  for (const NewInbound& text : batch) ASSERT_TRUE(store_.AppendInbox({&text.row, 1}).ok());
  const auto ends = store_.RecordInbound(batch);
  ASSERT_TRUE(ends.ok()) << ends.status();
  EXPECT_EQ(static_cast<int>((*ends)[0].answered) + static_cast<int>((*ends)[1].answered), 1);
}

TEST_P(AnswerContract, WhoComesBackInTheSameBatchIsNotAnswered) {
  const NewInbound batch[] = {Text("STOP", minutes(2)), Text("START", minutes(1))};
  for (const NewInbound& text : batch) ASSERT_TRUE(store_.AppendInbox({&text.row, 1}).ok());
  const auto ends = store_.RecordInbound(batch);
  ASSERT_TRUE(ends.ok()) << ends.status();
  EXPECT_FALSE((*ends)[0].answered);
  EXPECT_FALSE((*ends)[1].answered);
  EXPECT_EQ(KindOf(Sender(0)), Acceptance::Kind::kNew);
}

TEST_P(ConsentContract, OptOutsAreListedTheLatestFirstByEveryFilterInPages) {
  // Of ten numbers: of all senders, of the first, of the second, in turn.
  std::multiset<std::string> all;
  for (int i = 0; i < 10; ++i) {
    ConsentEvent event = Said(kOptOut, minutes(10), i % 3 == 0 ? SenderId{} : Sender(i % 3 - 1U));
    event.recipient = StrCat("+1555010", 1000 + i);
    all.insert(event.recipient);
    if (subject_.advance && i % 4 == 0) subject_.advance(1ms);
    MustRecord(event);
  }
  ConsentEvent twice = Said(kOptOut, minutes(10), Sender(0));
  twice.recipient = "+15550101000";
  all.insert(twice.recipient);
  MustRecord(twice);
  const auto listed = [&](const SuppressionFilter& filter, int limit) {
    std::vector<ListedSuppression> found;
    SuppressionPlace place;
    for (bool more = true; more;) {
      const auto page = store_.ListSuppressions(filter, place, limit);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) break;
      found.insert(found.end(), page->suppressions.begin(), page->suppressions.end());
      more = page->next.has_value();
      if (more) place = *page->next;
    }
    EXPECT_TRUE(std::is_sorted(found.begin(), found.end(),
                               [](const auto& a, const auto& b) { return a.since > b.since; }));
    return found;
  };
  const auto numbers = [](const std::vector<ListedSuppression>& found) {
    std::multiset<std::string> of;
    for (const ListedSuppression& one : found) of.insert(one.recipient);
    return of;
  };
  for (const int limit : {1, 3, 11, 100}) {
    EXPECT_EQ(numbers(listed({.tenant_id = tenant_.tenant_id}, limit)), all) << limit;
    const auto second = listed({.tenant_id = tenant_.tenant_id, .sender_id = Sender(1)}, limit);
    EXPECT_EQ(second.size(), 3U);
    for (const ListedSuppression& one : second) EXPECT_EQ(one.sender_id, Sender(1));
    const auto one = listed({.tenant_id = tenant_.tenant_id, .recipient = twice.recipient}, limit);
    EXPECT_EQ(one.size(), 2U);
    EXPECT_TRUE(listed({.tenant_id = {MakeUuidV4(random_)}}, limit).empty());
  }
}

}  // namespace

}  // namespace postrider
