#include "server/api/content_check.h"

#include <algorithm>
#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "tests/support/await.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_verdict_store.h"

namespace postrider {
namespace {

using Kind = ContentVerdict::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const ComplianceVerdict kYes{.approved = true};
const ComplianceVerdict kNo{.violations = {{"no_loans", "says loan"}}};

/// A check that says no to texts with "loan", and remembers what it was asked.
class ContentCheckTest : public ::testing::Test {
 protected:
  std::unique_ptr<ContentCheck> NewCheck(ContentCheck::Options options = {}) {
    return std::make_unique<ContentCheck>(
        clock_, metrics_, store_,
        [this](const ComplianceQuestion& question) { return Answer(question); }, options);
  }
  ComplianceAnswer Answer(const ComplianceQuestion& question) {
    MutexLock lock(mu_);
    asked_.push_back(question.text);
    changed_.NotifyAll();
    changed_.Wait(mu_, {}, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !hangs_; });
    if (away_) return {absl::UnavailableError("no verdict: HTTP 503"), account_waits_};
    return {question.text.find("loan") == std::string::npos ? kYes : kNo};
  }
  void SetAway(bool away) {
    MutexLock lock(mu_);
    away_ = away;
  }
  /// The check answers 429 at the account's own host; 0: not any more.
  void SetTooFast(std::chrono::nanoseconds wait) {
    MutexLock lock(mu_);
    account_waits_ = wait;
    away_ = wait > std::chrono::nanoseconds(0);
  }
  void SetHangs(bool hangs) {
    MutexLock lock(mu_);
    hangs_ = hangs;
    changed_.NotifyAll();
  }
  std::vector<std::string> Asked() {
    MutexLock lock(mu_);
    return asked_;
  }

  static TenantId Tenant(int n) {
    TenantId tenant;
    tenant.uuid.bytes[15] = static_cast<std::uint8_t>(n);
    return tenant;
  }
  /// `text` of a template of its own when `of` is empty.
  ContentQuestion Of(const std::string& text, const std::string& of = "", int tenant = 1) {
    ContentQuestion question;
    question.key = {Tenant(tenant), "spring", std::string(32, 'v')};
    question.fingerprint.text = Sha256Bytes(text);
    question.fingerprint.approval =
        of.empty() ? question.fingerprint.text : Sha256Bytes(StrCat("template ", of));
    question.check.url = "https://check.example";
    question.asked = {.tenant_id = Tenant(tenant), .url = "", .sender = "", .text = text};
    return question;
  }
  /// Appends the verdict's letter to `verdicts_`.
  ContentCheck::Done Tell() {
    return [this](const ContentVerdict& verdict) {
      MutexLock lock(mu_);
      told_.push_back(verdict);
      changed_.NotifyAll();
    };
  }
  std::vector<Kind> Told() {
    MutexLock lock(mu_);
    std::vector<Kind> kinds;
    for (const ContentVerdict& verdict : told_) kinds.push_back(verdict.kind);
    return kinds;
  }
  ContentVerdict Last() {
    MutexLock lock(mu_);
    return told_.back();
  }
  /// Of a counter or gauge, by its name and labels as exposed; 0 when it is not there.
  double Shown(const std::string& metric) {
    const std::string text = StrCat("\n", metrics_.Expose());
    const std::size_t at = text.find(StrCat("\n", metric, " "));
    return at == std::string::npos ? 0 : std::stod(text.substr(at + metric.size() + 2));
  }
  double Counted(const std::string& result) {
    return Shown(StrCat("postrider_content_verdicts_total{result=\"", result, "\"}"));
  }

  FakeClock clock_;
  Metrics metrics_;
  FakeVerdictStore store_{clock_};
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> asked_ ABSL_GUARDED_BY(mu_);
  std::vector<ContentVerdict> told_ ABSL_GUARDED_BY(mu_);
  bool away_ ABSL_GUARDED_BY(mu_) = false;
  bool hangs_ ABSL_GUARDED_BY(mu_) = false;
  std::chrono::nanoseconds account_waits_ ABSL_GUARDED_BY(mu_){};
};

TEST_F(ContentCheckTest, ATextIsAskedAboutOnceAndThenKnown) {
  const auto check = NewCheck();
  check->Judge(Of("hi"), Tell());
  EXPECT_THAT(Told(), IsEmpty()) << "nobody is asked by who calls";
  EXPECT_EQ(check->Step({}), 1U);
  EXPECT_THAT(Told(), ElementsAre(Kind::kApproved));
  check->Judge(Of("hi"), Tell());
  EXPECT_THAT(Told(), ElementsAre(Kind::kApproved, Kind::kApproved)) << "at once";
  EXPECT_THAT(Asked(), SizeIs(1));
  EXPECT_EQ(Counted("asked"), 1);
  EXPECT_EQ(Counted("hit"), 1);
  EXPECT_EQ(Shown("postrider_content_verdicts"), 1);
  EXPECT_EQ(Shown("postrider_compliance_check_seconds_count"), 1);
}

TEST_F(ContentCheckTest, HoweverManyWaitForATemplateOneIsAsked) {
  const auto check = NewCheck();
  for (int i = 0; i < 100; ++i) check->Judge(Of(StrCat("Hi number ", i), "hi"), Tell());
  EXPECT_EQ(check->Step({}), 1U);
  EXPECT_EQ(check->Step({}), 0U);
  EXPECT_THAT(Told(), SizeIs(100));
  EXPECT_THAT(Asked(), ElementsAre("Hi number 0"));
  EXPECT_EQ(Counted("asked"), 1);
  EXPECT_EQ(Counted("joined"), 99);
}

TEST_F(ContentCheckTest, ARefusalIsOfTheTextAndOthersOfItsTemplateGoOn) {
  const auto check = NewCheck();
  check->Judge(Of("Hi loan shark", "hi"), Tell());
  check->Judge(Of("Hi Ann", "hi"), Tell());
  check->Judge(Of("Hi loan shark", "hi"), Tell());
  check->Judge(Of("Hi Bob", "hi"), Tell());
  EXPECT_EQ(check->Step({}), 1U);
  EXPECT_THAT(Told(), ElementsAre(Kind::kRefused, Kind::kRefused));
  EXPECT_EQ(Last().violations, kNo.violations);
  EXPECT_EQ(check->Step({}), 1U);
  EXPECT_THAT(Told(),
              ElementsAre(Kind::kRefused, Kind::kRefused, Kind::kApproved, Kind::kApproved));
  EXPECT_THAT(Asked(), ElementsAre("Hi loan shark", "Hi Ann"));
  EXPECT_EQ(Shown("postrider_content_refused_total"), 2);
  // By now the template is approved, and with it whatever is in its places.
  check->Judge(Of("Hi loan shark", "hi"), Tell());
  EXPECT_EQ(Last().kind, Kind::kApproved);
}

TEST_F(ContentCheckTest, ARefusedTextIsKnownAsSuch) {
  const auto check = NewCheck();
  check->Judge(Of("A loan", "hi"), Tell());
  check->Step({});
  check->Judge(Of("A loan", "hi"), Tell());
  EXPECT_THAT(Told(), ElementsAre(Kind::kRefused, Kind::kRefused));
  EXPECT_EQ(Last().violations, kNo.violations);
  EXPECT_THAT(Asked(), SizeIs(1));
}

TEST_F(ContentCheckTest, AnotherReplicasVerdictIsTakenFromTheStore) {
  const auto one = NewCheck();
  for (const char* text : {"hi", "a loan"}) {
    one->Judge(Of(text), Tell());
    one->Step({});
  }
  const auto other = NewCheck();
  for (const char* text : {"hi", "a loan"}) {
    other->Judge(Of(text), Tell());
    other->Step({});
  }
  EXPECT_THAT(Told(),
              ElementsAre(Kind::kApproved, Kind::kRefused, Kind::kApproved, Kind::kRefused));
  EXPECT_EQ(Last().violations, kNo.violations);
  EXPECT_THAT(Asked(), SizeIs(2));
  EXPECT_EQ(Counted("stored"), 2);
}

TEST_F(ContentCheckTest, AVerdictExpiresInMemoryAndInTheStore) {
  const auto check = NewCheck();
  ContentQuestion question = Of("hi");
  question.check.verdicts_expire_after = std::chrono::minutes(10);
  check->Judge(question, Tell());
  check->Step({});
  clock_.Advance(std::chrono::minutes(10) - std::chrono::nanoseconds(1));
  check->Judge(question, Tell());
  EXPECT_THAT(Told(), SizeIs(2));
  clock_.Advance(std::chrono::nanoseconds(1));
  check->Judge(question, Tell());
  EXPECT_THAT(Told(), SizeIs(2));
  check->Step({});
  EXPECT_THAT(Told(), SizeIs(3));
  EXPECT_THAT(Asked(), SizeIs(2));
}

TEST_F(ContentCheckTest, WhatCameFromTheStoreExpiresWhenItDoesThere) {
  const auto one = NewCheck();
  one->Judge(Of("hi"), Tell());
  one->Step({});
  clock_.Advance(std::chrono::hours(23));
  const auto other = NewCheck();
  other->Judge(Of("hi"), Tell());
  other->Step({});
  clock_.Advance(std::chrono::hours(1));
  other->Judge(Of("hi"), Tell());
  other->Step({});
  EXPECT_THAT(Asked(), SizeIs(2));
}

TEST_F(ContentCheckTest, SoManyAreAskedAMinuteAndNoMore) {
  const auto check = NewCheck();
  for (int i = 0; i < 12; ++i) {
    check->Judge(Of(StrCat("text ", i)), Tell());
    check->Step({});
  }
  EXPECT_THAT(Asked(), SizeIs(10));
  EXPECT_EQ(Last().kind, Kind::kUnavailable);
  EXPECT_GT(Last().retry_after, std::chrono::nanoseconds(0));
  EXPECT_LE(Last().retry_after, std::chrono::minutes(1));
  check->Judge(Of("other tenant", "", 2), Tell());
  check->Step({});
  EXPECT_EQ(Last().kind, Kind::kApproved) << "each tenant has its own";
  check->Judge(Of("text 3"), Tell());
  EXPECT_EQ(Last().kind, Kind::kApproved) << "what is known needs no question";
  clock_.Advance(std::chrono::minutes(1));
  check->Judge(Of("text 11"), Tell());
  check->Step({});
  EXPECT_EQ(Last().kind, Kind::kApproved);
}

TEST_F(ContentCheckTest, NoAnswerIsNoVerdictForAllThatWaitAndIsNotKept) {
  const auto check = NewCheck();
  SetAway(true);
  ContentQuestion allowed = Of("Hi Bob", "hi");
  allowed.check.when_unavailable = WhenUnavailable::kAllow;
  check->Judge(Of("Hi Ann", "hi"), Tell());
  check->Judge(Of("Hi Bob", "hi"), Tell());
  check->Step({});
  EXPECT_THAT(Told(), ElementsAre(Kind::kUnavailable, Kind::kUnavailable));
  EXPECT_EQ(Last().retry_after, kCheckRetry);
  EXPECT_THAT(Asked(), SizeIs(1));
  EXPECT_EQ(Counted("unavailable"), 2);
  EXPECT_EQ(Shown("postrider_content_unchecked_total"), 0);
  check->Judge(allowed, Tell());
  check->Step({});
  EXPECT_EQ(Shown("postrider_content_unchecked_total"), 1);
  SetAway(false);
  check->Judge(Of("Hi Ann", "hi"), Tell());
  check->Step({});
  EXPECT_EQ(Last().kind, Kind::kApproved);
}

TEST_F(ContentCheckTest, A429OfTheOwnGenesysBindsAllReplicasAndNoCheckElsewhere) {
  const auto check = NewCheck();
  const auto other_replica = NewCheck();
  const auto judge = [&](ContentCheck& by, const char* text, bool of_account) {
    ContentQuestion question = Of(text);
    if (of_account) question.account_base_url = question.check.url;
    by.Judge(question, Tell());
    by.Step({});
    return Last();
  };
  SetTooFast(std::chrono::minutes(2));
  EXPECT_EQ(judge(*check, "one", true).retry_after, std::chrono::minutes(2));
  SetTooFast({});
  clock_.Advance(std::chrono::minutes(1));
  for (ContentCheck* const replica : {check.get(), other_replica.get()}) {
    const ContentVerdict verdict = judge(*replica, "two", true);
    EXPECT_EQ(verdict.kind, Kind::kUnavailable);
    EXPECT_EQ(verdict.retry_after, std::chrono::minutes(1));
  }
  EXPECT_THAT(Asked(), SizeIs(1));
  EXPECT_EQ(judge(*check, "three", false).kind, Kind::kApproved);
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(judge(*other_replica, "two", true).kind, Kind::kApproved);
}

TEST_F(ContentCheckTest, WhileTheStoreIsAwayNobodyIsAsked) {
  const auto check = NewCheck();
  check->Judge(Of("known"), Tell());
  check->Step({});
  store_.SetAway(true);
  check->Judge(Of("hi"), Tell());
  check->Step({});
  EXPECT_EQ(Last().kind, Kind::kStoreAway);
  EXPECT_THAT(Asked(), SizeIs(1));
  check->Judge(Of("known"), Tell());
  EXPECT_EQ(Last().kind, Kind::kApproved) << "what is in memory is known all the same";
}

TEST_F(ContentCheckTest, AVerdictThatCannotBeStoredIsGoodHere) {
  const auto check = NewCheck();
  store_.SetReadOnly(true);
  check->Judge(Of("hi"), Tell());
  check->Step({});
  check->Judge(Of("hi"), Tell());
  EXPECT_THAT(Told(), ElementsAre(Kind::kApproved, Kind::kApproved));
  const auto other = NewCheck();
  other->Judge(Of("hi"), Tell());
  other->Step({});
  EXPECT_THAT(Asked(), SizeIs(2));
}

TEST_F(ContentCheckTest, BeyondEachBoundThereIsNoVerdictAndATimeToComeBack) {
  const auto check = NewCheck({.texts = 2, .waiters_of_text = 3, .waiters = 4});
  for (int i = 0; i < 3; ++i) check->Judge(Of("one"), Tell());
  EXPECT_THAT(Told(), IsEmpty());
  check->Judge(Of("one"), Tell());
  EXPECT_THAT(Told(), ElementsAre(Kind::kUnavailable)) << "three wait for the text";
  EXPECT_EQ(Last().retry_after, kCheckBusyRetry);
  check->Judge(Of("two"), Tell());
  check->Judge(Of("two"), Tell());
  EXPECT_THAT(Told(), SizeIs(2)) << "four wait in all";
  while (check->Step({}) > 0) {
  }
  EXPECT_THAT(Told(), SizeIs(6));
  const auto wide = NewCheck({.texts = 2});
  for (const char* text : {"a", "b", "c"}) wide->Judge(Of(text), Tell());
  EXPECT_THAT(Told(), SizeIs(7)) << "two texts wait";
  EXPECT_EQ(Last().kind, Kind::kUnavailable);
}

TEST_F(ContentCheckTest, ATenantsTextsLeaveRoomForThoseOfOthers) {
  const auto check = NewCheck({.texts = 4, .texts_of_tenant = 2, .waiters_of_tenant = 3});
  for (const char* text : {"a", "b", "c"}) check->Judge(Of(text, "", 1), Tell());
  EXPECT_THAT(Told(), ElementsAre(Kind::kUnavailable)) << "two of its texts wait";
  check->Judge(Of("a", "", 1), Tell());
  check->Judge(Of("a", "", 1), Tell());
  EXPECT_THAT(Told(), SizeIs(2)) << "three of its messages wait";
  check->Judge(Of("c", "", 2), Tell());
  EXPECT_THAT(Told(), SizeIs(2));
  check->Step({});
  check->Step({});
  check->Step({});
  EXPECT_THAT(Told(), SizeIs(6));
  check->Judge(Of("d", "", 1), Tell());
  EXPECT_THAT(Told(), SizeIs(6)) << "there is room again";
}

TEST_F(ContentCheckTest, WhatWaitedTooLongForAWorkerIsNotAskedAbout) {
  const auto check = NewCheck();
  check->Judge(Of("late"), Tell());
  clock_.Advance(kLongestCheckWait + std::chrono::milliseconds(1));
  check->Step({});
  EXPECT_THAT(Told(), ElementsAre(Kind::kUnavailable));
  EXPECT_THAT(Asked(), IsEmpty());
}

TEST_F(ContentCheckTest, ATenantWhoseCheckHangsLeavesWorkersToOthers) {
  const auto check = NewCheck({.workers = 3, .workers_of_tenant = 2});
  SetHangs(true);
  check->Start();
  for (int i = 0; i < 5; ++i) check->Judge(Of(StrCat("slow ", i), "", 1), Tell());
  check->Judge(Of("quick", "", 2), Tell());
  ASSERT_TRUE(Await([&] { return Asked().size() == 3; }));
  const std::vector<std::string> asked = Asked();
  EXPECT_EQ(std::count(asked.begin(), asked.end(), "quick"), 1);
  SetHangs(false);
  ASSERT_TRUE(Await([&] { return Told().size() == 6; }));
  EXPECT_TRUE(check->Drain(std::chrono::seconds(10)));
}

TEST_F(ContentCheckTest, ADrainAnswersWhatWaitsAndLetsAQuestionEnd) {
  const auto check = NewCheck({.workers = 1});
  SetHangs(true);
  check->Start();
  check->Judge(Of("asked", "t"), Tell());
  ASSERT_TRUE(Await([&] { return Asked().size() == 1; }));
  check->Judge(Of("joined", "t"), Tell());
  check->Judge(Of("waits"), Tell());
  std::atomic<bool> whole = true;
  {
    Worker draining("drain", [&, done = false](std::stop_token stop) mutable {
      if (!std::exchange(done, true)) whole = check->Drain(std::chrono::seconds(30));
      WaitOrStop(stop, std::chrono::seconds(1));
    });
    ASSERT_TRUE(Await([&] { return Told().size() == 1; }));
    EXPECT_THAT(Told(), ElementsAre(Kind::kDraining)) << "at once";
    SetHangs(false);
    ASSERT_TRUE(Await([&] { return Told().size() == 3; }));
  }
  EXPECT_FALSE(whole) << "one was told to come again";
  std::vector<Kind> told = Told();
  std::sort(told.begin(), told.end());
  EXPECT_THAT(told, ElementsAre(Kind::kApproved, Kind::kApproved, Kind::kDraining));
  check->Judge(Of("late"), Tell());
  EXPECT_EQ(Last().kind, Kind::kDraining);
  check->Judge(Of("asked", "t"), Tell());
  EXPECT_EQ(Last().kind, Kind::kApproved);
}

TEST_F(ContentCheckTest, ADrainThatMayNotWaitAnswersForTheWorkerToo) {
  const auto check = NewCheck({.workers = 1});
  SetHangs(true);
  check->Start();
  check->Judge(Of("asked"), Tell());
  ASSERT_TRUE(Await([&] { return Asked().size() == 1; }));
  EXPECT_FALSE(check->Drain(std::chrono::milliseconds(1)));
  EXPECT_THAT(Told(), ElementsAre(Kind::kDraining));
  SetHangs(false);
}

TEST_F(ContentCheckTest, EveryCallerIsAnsweredOnceHoweverTheyMeet) {
  const auto check = NewCheck();
  check->Start();
  std::atomic<int> answered = 0;
  std::atomic<int> wrong = 0;
  constexpr int kCallers = 8;
  constexpr int kEach = 500;
  {
    std::vector<std::unique_ptr<Worker>> callers;
    for (int caller = 0; caller < kCallers; ++caller) {
      callers.push_back(std::make_unique<Worker>(
          StrCat("caller-", caller), [&, caller, i = 0](std::stop_token stop) mutable {
            if (i == kEach) return static_cast<void>(WaitOrStop(stop, std::chrono::seconds(1)));
            const bool bad = (i + caller) % 5 == 0;
            check->Judge(Of(bad ? "a loan" : "hi", "", 1 + i % 3),
                         [&, bad](const ContentVerdict& verdict) {
                           if (verdict.kind != (bad ? Kind::kRefused : Kind::kApproved)) ++wrong;
                           ++answered;
                         });
            ++i;
          }));
    }
    ASSERT_TRUE(Await([&] { return answered == kCallers * kEach; }));
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_THAT(Asked(), SizeIs(6)) << "two texts of three tenants";
  EXPECT_TRUE(check->Drain(std::chrono::seconds(10)));
}

TEST(VerdictMemoryTest, ATenantsOwnOldestGoesAtItsBound) {
  FakeClock clock;
  VerdictMemory memory(clock, {.of_all = 10, .of_tenant = 3});
  TenantId one;
  TenantId two;
  two.uuid.bytes[0] = 2;
  memory.Keep(two, "x", kYes, std::chrono::hours(1));
  for (const char* key : {"a", "b", "c"}) memory.Keep(one, key, kYes, std::chrono::hours(1));
  EXPECT_TRUE(memory.Find(one, "a").has_value()) << "used, so b is the oldest";
  memory.Keep(one, "d", kNo, std::chrono::hours(1));
  EXPECT_FALSE(memory.Find(one, "b").has_value());
  EXPECT_TRUE(memory.Find(one, "a").has_value());
  EXPECT_EQ(memory.Find(one, "d"), kNo);
  EXPECT_TRUE(memory.Find(two, "x").has_value());
  EXPECT_FALSE(memory.Find(two, "a").has_value());
  EXPECT_EQ(memory.size(), 4U);
}

TEST(VerdictMemoryTest, AtTheBoundOfAllTheLargestTenantsOldestGoes) {
  FakeClock clock;
  VerdictMemory memory(clock, {.of_all = 4, .of_tenant = 4});
  TenantId one;
  TenantId two;
  two.uuid.bytes[0] = 2;
  for (const char* key : {"a", "b", "c"}) memory.Keep(one, key, kYes, std::chrono::hours(1));
  memory.Keep(two, "x", kYes, std::chrono::hours(1));
  memory.Keep(two, "y", kYes, std::chrono::hours(1));
  EXPECT_EQ(memory.size(), 4U);
  EXPECT_FALSE(memory.Find(one, "a").has_value());
  EXPECT_TRUE(memory.Find(two, "x").has_value());
  memory.Keep(two, "y", kNo, std::chrono::minutes(1));
  EXPECT_EQ(memory.Find(two, "y"), kNo) << "instead of the one before";
  EXPECT_EQ(memory.size(), 4U);
  clock.Advance(std::chrono::minutes(1));
  EXPECT_FALSE(memory.Find(two, "y").has_value());
  EXPECT_EQ(memory.size(), 3U) << "what has expired goes";
}

}  // namespace
}  // namespace postrider
