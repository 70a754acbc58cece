// Two gateways on one database: callers, receipts, operators and streams may use either, each sends
// for the tenants of its slots, and when one is gone the other goes on.
#include <map>
#include <set>
#include <signal.h>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/several_gateways.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

// Slow enough that a queue stands while a test looks.
const std::vector<std::string> kSlow = {"--rate-per-second", "10", "--burst", "1"};

class TwoGatewaysTest : public SeveralGatewaysTest {
 protected:
  /// Each has half of the slots; `owner_` the default tenant's. Receipts go to the other one's
  /// webhook.
  void Start(const std::vector<std::string>& flags = {}) {
    ASSERT_TRUE(genesys_.Start().ok());
    owner_ = NewGateway("first", flags);
    other_ = NewGateway("second", flags);
    ASSERT_TRUE(Await([this] { return AreShared(2); }));
    if (Owner() != "first") std::swap(owner_, other_);
    owner_name_ = Owner();
    other_name_ = owner_name_ == "first" ? "second" : "first";
    ASSERT_TRUE(genesys_.SetWebhook(kClientId, other_->webhook_url()).ok());
    at_owner_ = ClientOf(*owner_);
    at_other_ = ClientOf(*other_);
    ASSERT_TRUE(at_owner_ != nullptr && at_other_ != nullptr);
  }

  /// All events, as a dashboard of all tenants would have seen them.
  std::vector<StreamedChange> Events() const {
    std::vector<StreamedChange> events;
    for (const Sql::Row& row : sql_.Ask("SELECT message_id, revision, state FROM status_event")) {
      events.push_back({row[0], std::stoi(row[1]), std::stoi(row[2])});
    }
    return events;
  }

  /// Kills the owner with a queue standing; the other one sends that, takes the calls, and tells.
  /// `messages`: of either caller.
  void KillTheOwner(int messages) {
    const Watcher before(*at_owner_, {});
    ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, messages));
    ASSERT_NO_FATAL_FAILURE(Send(*at_other_, messages));
    ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
    owner_->Kill();
    // 1: queued.
    EXPECT_GT(sql_.Number("SELECT count(*) FROM message WHERE state = 1"), 0);
    v1::StreamStatusRequest resume;
    resume.set_resume_token(before.ResumeToken());
    const Watcher after(*at_other_, resume);
    // Nobody owns the slots yet: accepting does not wait for that.
    ASSERT_NO_FATAL_FAILURE(Send(*at_other_, 5));

    EXPECT_TRUE(Await([this] { return OwnerOfAll() == other_name_; }));
    AwaitEnds();
    EXPECT_EQ(Senders(), (std::set<std::string>{"first", "second"}));
    const auto all = [&] {
      std::vector<StreamedChange> changes = before.Changes();
      const std::vector<StreamedChange> rest = after.Changes();
      changes.insert(changes.end(), rest.begin(), rest.end());
      return changes;
    };
    EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, all()).empty(); }));
    EXPECT_EQ(std::ssize(acknowledged_), 2 * messages + 5);
    EXPECT_THAT(Check(all()), IsEmpty());
  }

  std::unique_ptr<GatewayProcess> owner_;
  std::unique_ptr<GatewayProcess> other_;
  std::string owner_name_;
  std::string other_name_;
  std::unique_ptr<Client> at_owner_;
  std::unique_ptr<Client> at_other_;
};

TEST_F(TwoGatewaysTest, EitherAcceptsTakesReceiptsAndTellsWhileTheOwnerSends) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const Watcher dashboard_at_owner(*at_owner_, {});
  const Watcher dashboard_at_other(*at_other_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 10));
  ASSERT_NO_FATAL_FAILURE(Send(*at_other_, 10));
  AwaitEnds();
  EXPECT_EQ(Posts().size(), 20U);
  EXPECT_EQ(Senders(), std::set<std::string>{owner_name_});
  // The receipts went to the other one's webhook, and reached the owner's stream too.
  for (const Watcher* dashboard : {&dashboard_at_owner, &dashboard_at_other}) {
    EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard->Changes()).empty(); }));
    EXPECT_THAT(Check(dashboard->Changes()), IsEmpty());
  }
  // What one accepted, the other knows.
  v1::SendMessageRequest request = RequestTo(kRecipient);
  ASSERT_TRUE(at_owner_->Send(request).ok());
  const auto again = at_other_->Send(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->deduplicated());
}

TEST_F(TwoGatewaysTest, WhenTheOwnerIsKilledTheOtherSendsWhatIsQueuedAndStreamsGoOnThere) {
  ASSERT_NO_FATAL_FAILURE(Start(kSlow));
  ASSERT_NO_FATAL_FAILURE(KillTheOwner(20));
}

TEST_F(TwoGatewaysTest, AKilledOwnersMessagesEndWhereStatusesAreReadToo) {
  // A search takes some requests at once.
  ASSERT_NO_FATAL_FAILURE(Start({"--rate-per-second", "10", "--burst", "5", "--genesys-profile",
                                 "platform", "--quiet-after-s", "1"}));
  // Few: reads take their time out of the same licence.
  ASSERT_NO_FATAL_FAILURE(KillTheOwner(10));
  for (const LedgerPost& post : Posts()) EXPECT_EQ(post.message_id, "") << "profile platform";
  EXPECT_EQ(sql_.Number("SELECT count(*) FROM webhook_inbox"), 0);
}

TEST_F(TwoGatewaysTest, AnOwnerThatFrozeAndComesBackLateSendsNothingUnderItsOldLease) {
  ASSERT_NO_FATAL_FAILURE(Start(kSlow));
  const Watcher dashboard(*at_other_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_other_, 40));
  ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
  owner_->process()->Signal(SIGSTOP);
  EXPECT_TRUE(Await([this] { return OwnerOfAll() == other_name_; }));
  owner_->process()->Signal(SIGCONT);
  // It serves again, as a replica that is new.
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 5));
  AwaitEnds();
  EXPECT_TRUE(Await([this] { return AreShared(2); }));
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }));
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
}

TEST_F(TwoGatewaysTest, AnOwnerThatStopsHandsOverAndComesBackToItsShare) {
  ASSERT_NO_FATAL_FAILURE(Start(kSlow));
  const Watcher dashboard(*at_other_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 20));
  ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
  owner_->Stop();
  EXPECT_TRUE(Await([this] { return OwnerOfAll() == other_name_; }));
  ASSERT_TRUE(owner_->Start());
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 5));
  AwaitEnds();
  EXPECT_TRUE(Await([this] { return AreShared(2); }));
  // Neither an orderly end nor a new share leaves anything in doubt. 3: unknown.
  EXPECT_EQ(sql_.Number("SELECT count(*) FROM status_event WHERE state = 3"), 0);
  EXPECT_EQ(Posts().size(), 25U);
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }));
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
}

TEST_F(TwoGatewaysTest, APauseToldToTheOneThatDoesNotSendStopsTheOtherAndAResumeLetsItGoOn) {
  ASSERT_NO_FATAL_FAILURE(Start(kSlow));
  const auto admin = AdminOf(*other_);
  ASSERT_NE(admin, nullptr);
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 30));
  ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
  ASSERT_TRUE(admin->Pause(PauseFor("a test")).ok());
  const char* const kAttempts = "SELECT count(*) FROM attempt";
  const std::int64_t intended = sql_.Number(kAttempts);
  ASSERT_LT(intended, 30);
  // The owner is there, looks, and finds something due: it renews its life a few times meanwhile.
  const std::string renewals =
      StrCat("SELECT (extract(epoch FROM expires_at) * 1000)::bigint FROM replica WHERE name = '",
             owner_name_, "'");
  const std::int64_t until_ms = sql_.Number(renewals) + 2000;
  EXPECT_TRUE(Await([&] { return sql_.Number(renewals) >= until_ms; }));
  EXPECT_EQ(sql_.Number(kAttempts), intended);
  EXPECT_EQ(Owner(), owner_name_);
  const auto state = AdminOf(*owner_)->State("default");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->tenants(0).pauses_size(), 1);

  EXPECT_EQ(admin->Resume(ResumeFor("over")).value(), true);
  AwaitEnds();
  EXPECT_EQ(Senders(), std::set<std::string>{owner_name_});
  EXPECT_THAT(Check(Events()), IsEmpty());
}

TEST_F(TwoGatewaysTest, ANewOneTakesItsShareWhileTheFirstSendsAndEachMessageLeavesOnce) {
  constexpr double kRatePerS = 10;
  constexpr int kBurst = 2;
  constexpr int kMessages = 60;
  ASSERT_TRUE(genesys_.Start().ok());
  // Some in either half of the slots: whichever half it is that goes over, it has work.
  std::vector<std::string> token_files;
  for (std::size_t i = 0; i < kTenants.size(); ++i) {
    token_files.push_back(AddTenant(kTenants[i], static_cast<int>(4 * i + 1), kRatePerS, kBurst));
  }
  owner_ = NewGateway("first", {});
  const std::string webhook = owner_->webhook_url();
  std::vector<std::unique_ptr<Client>> callers;
  for (std::size_t i = 0; i < kTenants.size(); ++i) {
    const std::string theirs = webhook.substr(0, webhook.rfind('/') + 1) + kTenants[i];
    ASSERT_TRUE(genesys_.SetWebhook(kTenants[i], theirs).ok());
    callers.push_back(ClientOf(*owner_, token_files[i]));
    ASSERT_NE(callers.back(), nullptr);
  }
  const auto send_one_each = [&] {
    for (const auto& caller : callers) Send(*caller, 1);
  };
  // 1: queued. 3: unknown.
  const auto queued = [this] {
    return sql_.Number("SELECT count(*) FROM message WHERE state = 1");
  };
  for (int i = 0; i < kMessages; ++i) send_one_each();
  ASSERT_TRUE(Await([this] { return Posts().size() >= 20; }));
  EXPECT_EQ(OwnerOfAll(), "first");
  other_ = NewGateway("second", {});
  // However long its start took, there is something to send when it gets its share.
  EXPECT_TRUE(Await([&] {
    if (queued() < kMessages) send_one_each();
    return AreShared(2);
  }));
  EXPECT_GT(queued(), 0) << "while it sends";
  AwaitEnds();
  EXPECT_EQ(Senders(), (std::set<std::string>{"first", "second"}));
  EXPECT_EQ(sql_.Number("SELECT count(*) FROM status_event WHERE state = 3"), 0);
  std::map<std::string, int> processed;
  std::map<std::string, std::vector<LedgerPost>> of_client;
  for (const LedgerPost& post : Posts()) {
    if (post.processed) ++processed[post.message_id];
    of_client[post.client_id].push_back(post);
  }
  EXPECT_EQ(processed.size(), acknowledged_.size());
  for (const auto& [message_id, count] : processed) EXPECT_EQ(count, 1) << message_id;
  for (const auto& [client, posts] : of_client) {
    EXPECT_THAT(RateWasKept(posts, kRatePerS, kBurst, 0, hangs_.Longest()), IsEmpty()) << client;
  }
  EXPECT_THAT(Check(Events()), IsEmpty());
}

}  // namespace
}  // namespace postrider
