// Two gateways on one database: callers, receipts and streams may use either, one of them sends,
// and when that one is gone the other goes on.
#include <fstream>
#include <set>
#include <signal.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/sandbox/sandbox.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

constexpr const char* kClientId = "genesys-client";
constexpr const char* kClientSecret = "genesys-secret";
// Slow enough that a queue stands while a test looks.
const std::vector<std::string> kSlow = {"--rate-per-second", "10", "--burst", "1"};

/// Two gateways and the Genesys that both send to, which outlives either.
class TwoGatewaysTest : public ::testing::Test {
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

  /// The replica that owns all slots; empty when there is none such.
  std::string OwnerOfAll() const {
    return sql_.Text(
        "SELECT min(r.name) FROM slot_lease l LEFT JOIN replica r ON r.replica_id = l.owner "
        "HAVING count(r.replica_id) = count(*) AND count(DISTINCT l.owner) = 1");
  }

  /// Who made the attempts, by name.
  std::set<std::string> Senders() const {
    std::set<std::string> names;
    for (const Sql::Row& row :
         sql_.Ask("SELECT DISTINCT r.name FROM attempt JOIN replica r USING (replica_id)")) {
      names.insert(row[0]);
    }
    return names;
  }

  /// Sends `count` messages by `client`, and keeps what was answered.
  void Send(const Client& client, int count) {
    for (int i = 0; i < count; ++i) {
      const int number = static_cast<int>(acknowledged_.size());
      const auto sent =
          client.Send(RequestTo(StrCat("+1555300", 1000 + number), StrCat("Text ", number)));
      ASSERT_TRUE(sent.ok()) << sent.status();
      const v1::Message& message = sent->message();
      acknowledged_.push_back({message.request_id(), message.message_id(), message.recipient(),
                               message.sender(), message.text()});
    }
  }

  std::vector<LedgerPost> Posts() const { return ReadLedger(LedgerFile()); }

  /// Everything that left is known to be delivered; the rest is in doubt, and nothing waits.
  void AwaitEnds() const {
    const auto count = [this](const char* where) {
      return sql_.Number(StrCat("SELECT count(*) FROM message WHERE ", where));
    };
    // 1, 2: queued, dispatching; 3: unknown; 7: delivered.
    EXPECT_TRUE(Await([&] { return count("state <= 2") == 0; }));
    std::set<std::string> left;
    for (const LedgerPost& post : Posts()) {
      if (post.processed) left.insert(post.message_id);
    }
    EXPECT_TRUE(Await(
        [&] { return count("state = 7 AND final") == static_cast<std::int64_t>(left.size()); }));
    EXPECT_EQ(count("state NOT IN (3, 7)"), 0);
    EXPECT_TRUE(Await([this] { return InboxIsAccountedFor(sql_).empty(); }));
  }

  Breaches Check(const std::vector<StreamedChange>& streamed) const {
    return CheckInvariants(sql_, Posts(), acknowledged_, streamed);
  }

  std::string LedgerFile() const { return dir_.path() + "/ledger.jsonl"; }

  std::unique_ptr<GatewayProcess> NewGateway(const std::string& name,
                                             std::vector<std::string> flags) {
    const std::string secret_file = dir_.path() + "/genesys.secret";
    std::ofstream(secret_file) << kClientSecret << "\n";
    ::chmod(secret_file.c_str(), 0600);
    flags.insert(flags.end(),
                 {"--replica-name", name, "--genesys-base-url", genesys_.base_url(),
                  "--genesys-token-url", genesys_.token_url(), "--genesys-client-id", kClientId,
                  "--genesys-client-secret-file", secret_file, "--senders", kSender});
    return std::make_unique<GatewayProcess>(GatewayProcess::Options{
        .database_url = database_.url(), .flags = std::move(flags), .sandbox = false});
  }

  static std::unique_ptr<Client> ClientOf(const GatewayProcess& gateway) {
    auto opened =
        Client::Open({.address = gateway.grpc_address(), .token_file = gateway.token_file()});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }

  const TestDatabase database_;
  const TestDir dir_;
  const Sql sql_{database_.url()};
  const SystemClock clock_;
  OsRandom random_;
  Metrics metrics_;
  Sandbox genesys_{
      {.clients = {{kClientId, Secret(kClientSecret)}},
       .requests_per_minute = 0,
       .receipts = {.after = {std::chrono::milliseconds(20), std::chrono::milliseconds(40),
                              std::chrono::milliseconds(60)}},
       .ledger_file = LedgerFile()},
      clock_,
      random_,
      metrics_};
  std::unique_ptr<GatewayProcess> first_;
  std::unique_ptr<GatewayProcess> second_;
  std::unique_ptr<Client> at_first_;
  std::unique_ptr<Client> at_second_;
  std::vector<AcknowledgedSend> acknowledged_;
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
