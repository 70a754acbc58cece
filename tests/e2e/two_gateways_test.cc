// Two gateways on one database: callers, receipts and streams may use either, one of them sends,
// and when that one is gone the other goes on.
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
  /// `first` has all slots when the second one starts. Receipts go to the second's webhook.
  void Start(const std::vector<std::string>& flags = {}) {
    ASSERT_TRUE(genesys_.Start().ok());
    first_ = NewGateway("first", flags);
    ASSERT_TRUE(Await([this] { return OwnerOfAll() == "first"; }));
    second_ = NewGateway("second", flags);
    ASSERT_TRUE(genesys_.SetWebhook(kClientId, second_->webhook_url()).ok());
    at_first_ = ClientOf(*first_);
    at_second_ = ClientOf(*second_);
    ASSERT_TRUE(at_first_ != nullptr && at_second_ != nullptr);
  }

  std::unique_ptr<GatewayProcess> first_;
  std::unique_ptr<GatewayProcess> second_;
  std::unique_ptr<Client> at_first_;
  std::unique_ptr<Client> at_second_;
};

TEST_F(TwoGatewaysTest, EitherAcceptsTakesReceiptsAndTellsWhileTheOwnerSends) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const Watcher dashboard_at_first(*at_first_, {});
  const Watcher dashboard_at_second(*at_second_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_first_, 10));
  ASSERT_NO_FATAL_FAILURE(Send(*at_second_, 10));
  AwaitEnds();
  EXPECT_EQ(Posts().size(), 20U);
  EXPECT_EQ(Senders(), std::set<std::string>{"first"});
  // The receipts went to the second's webhook, and reached the first's stream too.
  for (const Watcher* dashboard : {&dashboard_at_first, &dashboard_at_second}) {
    EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard->Changes()).empty(); }));
    EXPECT_THAT(Check(dashboard->Changes()), IsEmpty());
  }
  // What one accepted, the other knows.
  v1::SendMessageRequest request = RequestTo(kRecipient);
  ASSERT_TRUE(at_first_->Send(request).ok());
  const auto again = at_second_->Send(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->deduplicated());
}

TEST_F(TwoGatewaysTest, WhenTheOwnerIsKilledTheOtherSendsWhatIsQueuedAndStreamsGoOnThere) {
  ASSERT_NO_FATAL_FAILURE(Start(kSlow));
  const Watcher before(*at_first_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_first_, 20));
  ASSERT_NO_FATAL_FAILURE(Send(*at_second_, 20));
  ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
  first_->Kill();
  // 1: queued.
  EXPECT_GT(sql_.Number("SELECT count(*) FROM message WHERE state = 1"), 0);
  v1::StreamStatusRequest resume;
  resume.set_resume_token(before.ResumeToken());
  const Watcher after(*at_second_, resume);
  // Nobody owns the slots yet: accepting does not wait for that.
  ASSERT_NO_FATAL_FAILURE(Send(*at_second_, 5));

  EXPECT_TRUE(Await([this] { return OwnerOfAll() == "second"; }));
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
  const Watcher dashboard(*at_second_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_second_, 40));
  ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
  first_->process()->Signal(SIGSTOP);
  EXPECT_TRUE(Await([this] { return OwnerOfAll() == "second"; }));
  first_->process()->Signal(SIGCONT);
  // It serves again, as a replica that owns nothing.
  ASSERT_NO_FATAL_FAILURE(Send(*at_first_, 5));
  AwaitEnds();
  EXPECT_EQ(OwnerOfAll(), "second");
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }));
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
}

TEST_F(TwoGatewaysTest, AnOwnerThatStopsHandsOverAndComesBackWithoutTheSlots) {
  ASSERT_NO_FATAL_FAILURE(Start(kSlow));
  const Watcher dashboard(*at_second_, {});
  ASSERT_NO_FATAL_FAILURE(Send(*at_first_, 20));
  ASSERT_TRUE(Await([this] { return Posts().size() >= 5; }));
  first_->Stop();
  EXPECT_TRUE(Await([this] { return OwnerOfAll() == "second"; }));
  ASSERT_TRUE(first_->Start());
  ASSERT_NO_FATAL_FAILURE(Send(*at_first_, 5));
  AwaitEnds();
  EXPECT_EQ(OwnerOfAll(), "second");
  // An orderly end leaves nothing in doubt. 3: unknown.
  EXPECT_EQ(sql_.Number("SELECT count(*) FROM message WHERE state = 3"), 0);
  EXPECT_EQ(Posts().size(), 25U);
  EXPECT_TRUE(Await([&] { return NothingWasMissed(sql_, dashboard.Changes()).empty(); }));
  EXPECT_THAT(Check(dashboard.Changes()), IsEmpty());
}

}  // namespace
}  // namespace postrider
