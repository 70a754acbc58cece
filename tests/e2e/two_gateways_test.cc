// Two gateways on one database: callers, receipts and streams may use either, one of them sends,
// and when that one is gone the other goes on.
#include <map>
#include <set>
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/several_gateways.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

// Slow enough that a queue stands while a test looks.
const std::vector<std::string> kSlow = {"--rate-per-second", "10", "--burst", "1"};

class TwoGatewaysTest : public SeveralGatewaysTest {
 protected:
  /// The slots are shared when it returns. Receipts go to the webhook of the one that does not
  /// send.
  void Start(const std::vector<std::string>& flags = {}) {
    ASSERT_TRUE(genesys_.Start().ok());
    for (const char* name : {"first", "second"}) gateways_[name] = NewGateway(name, flags);
    ASSERT_TRUE(Await([this] { return Shares() == "8 8"; }));
    owner_name_ = OwnerOfTheTenant();
    other_name_ = owner_name_ == "first" ? "second" : "first";
    owner_ = gateways_.at(owner_name_).get();
    other_ = gateways_.at(other_name_).get();
    ASSERT_TRUE(genesys_.SetWebhook(kClientId, other_->webhook_url()).ok());
    at_owner_ = ClientOf(*owner_);
    at_other_ = ClientOf(*other_);
    ASSERT_TRUE(at_owner_ != nullptr && at_other_ != nullptr);
  }

  std::map<std::string, std::unique_ptr<GatewayProcess>> gateways_;
  std::string owner_name_;  ///< Of the one tenant's slot.
  std::string other_name_;
  GatewayProcess* owner_ = nullptr;
  GatewayProcess* other_ = nullptr;
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
  // The receipts went to the other's webhook, and reached the owner's stream too.
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
  const Watcher before(*at_owner_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 20));
  ASSERT_NO_FATAL_FAILURE(Send(*at_other_, 20));
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
  EXPECT_EQ(acknowledged_.size(), 45U);
  EXPECT_THAT(Check(all()), IsEmpty());
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
  EXPECT_TRUE(Await([this] { return Shares() == "8 8"; }));
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }));
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
}

TEST_F(TwoGatewaysTest, AnOwnerThatStopsHandsOverAndGetsItsShareWhenItComesBack) {
  ASSERT_NO_FATAL_FAILURE(Start(kSlow));
  const Watcher dashboard(*at_other_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 20));
  ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
  owner_->Stop();
  EXPECT_TRUE(Await([this] { return OwnerOfAll() == other_name_; }));
  ASSERT_TRUE(owner_->Start());
  ASSERT_NO_FATAL_FAILURE(Send(*at_owner_, 5));
  AwaitEnds();
  EXPECT_TRUE(Await([this] { return Shares() == "8 8"; }));
  // An orderly end leaves nothing in doubt. 3: unknown.
  EXPECT_EQ(sql_.Number("SELECT count(*) FROM message WHERE state = 3"), 0);
  EXPECT_EQ(Posts().size(), 25U);
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }));
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
}

}  // namespace
}  // namespace postrider
