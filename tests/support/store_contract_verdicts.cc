#include <algorithm>

#include "tests/support/verdict_contract.h"

// What is kept of verdicts, and how often a compliance check is asked.
namespace postrider {
namespace {

const std::string kOne(32, '1');
const std::string kTwo(32, '\0');
const ComplianceVerdict kApproved{.approved = true};
const ComplianceVerdict kRefused{.violations = {{"no_loans", "says \"loan\", {a} \\"}, {"x", ""}}};

VerdictKey KeyOf(const VerdictSubject& subject) {
  return {subject.tenant, "spring", std::string(32, 'v')};
}

std::vector<StoredVerdict> Found(const VerdictSubject& subject, const VerdictKey& key,
                                 const std::vector<std::string>& fingerprints) {
  auto found = subject.store->FindVerdicts(key, fingerprints);
  EXPECT_TRUE(found.ok()) << found.status();
  std::sort(found->begin(), found->end(),
            [](const auto& a, const auto& b) { return a.fingerprint > b.fingerprint; });
  return *found;
}

TEST_P(VerdictContract, AVerdictIsFoundUnderItsWholeKeyAndNoOther) {
  const VerdictSubject subject = GetParam().make();
  const VerdictKey key = KeyOf(subject);
  ASSERT_TRUE(subject.store->KeepVerdict(key, kOne, kApproved, std::chrono::minutes(5)).ok());
  ASSERT_TRUE(subject.store->KeepVerdict(key, kTwo, kRefused, std::chrono::minutes(9)).ok());
  const auto both = Found(subject, key, {kOne, kTwo, std::string(32, '3')});
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].fingerprint, kOne);
  EXPECT_EQ(both[0].verdict, kApproved);
  EXPECT_GT(both[0].left, std::chrono::minutes(4));
  EXPECT_LE(both[0].left, std::chrono::minutes(5));
  EXPECT_EQ(both[1].fingerprint, kTwo);
  EXPECT_EQ(both[1].verdict, kRefused);
  VerdictKey other = key;
  other.campaign_id = "";
  EXPECT_TRUE(Found(subject, other, {kOne}).empty());
  other = key;
  other.campaign_version = std::string(32, 'w');
  EXPECT_TRUE(Found(subject, other, {kOne}).empty());
  other = key;
  other.tenant_id = {};
  EXPECT_TRUE(Found(subject, other, {kOne}).empty());
}

TEST_P(VerdictContract, AVerdictExpiresAndALaterOneTakesItsPlace) {
  const VerdictSubject subject = GetParam().make();
  const VerdictKey key = KeyOf(subject);
  ASSERT_TRUE(subject.store->KeepVerdict(key, kOne, kRefused, std::chrono::minutes(5)).ok());
  subject.advance(std::chrono::minutes(3));
  ASSERT_EQ(Found(subject, key, {kOne}).size(), 1U);
  EXPECT_LE(Found(subject, key, {kOne})[0].left, std::chrono::minutes(2));
  subject.advance(std::chrono::minutes(2));
  EXPECT_TRUE(Found(subject, key, {kOne}).empty());
  ASSERT_TRUE(subject.store->KeepVerdict(key, kOne, kApproved, std::chrono::minutes(5)).ok());
  ASSERT_EQ(Found(subject, key, {kOne}).size(), 1U);
  EXPECT_EQ(Found(subject, key, {kOne})[0].verdict, kApproved);
}

TEST_P(VerdictContract, QuestionsAreCountedByTheMinuteAndTheTenant) {
  const VerdictSubject subject = GetParam().make();
  TenantId other;
  other.uuid.bytes[0] = 9;
  const auto take = [&](TenantId tenant, std::int64_t most) {
    const auto turn = subject.store->TakeAsk(tenant, most, false);
    EXPECT_TRUE(turn.ok()) << turn.status();
    return *turn;
  };
  const auto all_as_wanted = [&] {
    bool good = take(subject.tenant, 3).granted;
    good = take(subject.tenant, 3).granted && good;
    good = take(subject.tenant, 3).granted && good;
    const AskTurn refused = take(subject.tenant, 3);
    good = !refused.granted && refused.next_in > std::chrono::nanoseconds(0) &&
           refused.next_in <= std::chrono::minutes(1) && good;
    return !take(subject.tenant, 2).granted && take(subject.tenant, 4).granted &&
           take(other, 1).granted && good;
  };
  // A real clock's minute may end in the midst of it.
  for (int tries = 0; tries < 3; ++tries) {
    const std::int64_t before = subject.minute();
    const bool good = all_as_wanted();
    if (subject.minute() == before) {
      EXPECT_TRUE(good);
      subject.advance(std::chrono::minutes(1));
      EXPECT_TRUE(take(subject.tenant, 1).granted) << "the next minute";
      return;
    }
    subject.advance(std::chrono::minutes(2));
  }
  FAIL() << "minutes are too short";
}

TEST_P(VerdictContract, WhileTheAccountIsToWaitNoQuestionOfItIsAsked) {
  const VerdictSubject subject = GetParam().make();
  TenantId other = subject.tenant;
  other.uuid.bytes[0] ^= 9;
  const auto granted = [&](TenantId tenant, bool of_account) {
    const auto turn = subject.store->TakeAsk(tenant, 100, of_account);
    EXPECT_TRUE(turn.ok()) << turn.status();
    return turn->granted;
  };
  EXPECT_TRUE(granted(subject.tenant, true));
  ASSERT_TRUE(subject.store->KeepAccountWaits(subject.tenant, std::chrono::minutes(5)).ok());
  ASSERT_TRUE(subject.store->KeepAccountWaits(subject.tenant, std::chrono::minutes(1)).ok());
  const auto turn = subject.store->TakeAsk(subject.tenant, 100, true);
  ASSERT_TRUE(turn.ok()) << turn.status();
  EXPECT_FALSE(turn->granted);
  EXPECT_GT(turn->next_in, std::chrono::minutes(4)) << "the longer wait stays";
  EXPECT_LE(turn->next_in, std::chrono::minutes(5) + std::chrono::microseconds(1));
  EXPECT_TRUE(granted(subject.tenant, false)) << "a check elsewhere is not the account's";
  EXPECT_TRUE(granted(other, true));
  subject.advance(std::chrono::minutes(6));
  EXPECT_TRUE(granted(subject.tenant, true));
}

}  // namespace
}  // namespace postrider
