// One tenant's Genesys takes seconds for each answer: that holds up nobody else, whose messages
// leave meanwhile, and no more posters than may.
#include <algorithm>
#include <chrono>
#include <iostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "tests/e2e/several_gateways.h"

namespace postrider {
namespace {

using ::testing::IsEmpty;

constexpr std::chrono::milliseconds kAnswerAfter{3000};
constexpr int kMostPosters = 8;
constexpr double kRatePerS = 20;
constexpr int kBurst = 4;

class SlowGenesysTest : public SeveralGatewaysTest {
 protected:
  /// The value of a metric without labels; 0 when there is none.
  double Metric(const std::string& name) const {
    std::string text;
    EXPECT_EQ(HttpGet(gateway_->ops_url() + "/metrics", &text), 200);
    const std::size_t at = text.find(StrCat("\n", name, " "));
    return at == text.npos ? 0 : std::stod(text.substr(at + name.size() + 2));
  }

  Sandbox slow_{{.clients = {{kTenants[0], Secret(kClientSecret)}},
                 .requests_per_minute = 0,
                 .answer_after = kAnswerAfter},
                clock_,
                random_,
                metrics_};
  std::unique_ptr<GatewayProcess> gateway_;
};

TEST_F(SlowGenesysTest, AnotherTenantsMessagesLeaveMeanwhileAndPostersStayWithinTheirBound) {
  // Half a minute of their Genesys, with half of the posters.
  constexpr int kSlowMessages = 40;
  constexpr int kQuickMessages = 100;
  ASSERT_TRUE(genesys_.Start().ok());
  ASSERT_TRUE(slow_.Start().ok());
  const std::string token = AddTenant(kTenants[0], 3, kRatePerS, kBurst);
  sql_.Ask(StrCat("UPDATE tenant SET base_url = '", slow_.base_url(), "', token_url = '",
                  slow_.token_url(), "'"));
  gateway_ = NewGateway("only", {"--posters-min", "2", "--posters-max", StrCat(kMostPosters),
                                 "--rate-per-second", "20", "--burst", "4"});
  const std::string webhook = gateway_->webhook_url();
  ASSERT_TRUE(genesys_.SetWebhook(kClientId, webhook).ok());
  ASSERT_TRUE(
      slow_.SetWebhook(kTenants[0], webhook.substr(0, webhook.rfind('/') + 1) + kTenants[0]).ok());
  const auto at_slow = ClientOf(*gateway_, token);
  const auto at_quick = ClientOf(*gateway_);
  ASSERT_TRUE(at_slow != nullptr && at_quick != nullptr);

  ASSERT_NO_FATAL_FAILURE(Send(*at_slow, kSlowMessages));
  // Half of the posters hang.
  ASSERT_TRUE(Await([&] { return slow_.ledger().totals().posts >= kMostPosters / 2; }));
  ASSERT_NO_FATAL_FAILURE(Send(*at_quick, kQuickMessages));
  double posters = 0;
  double in_flight = 0;
  const auto all_left = [&](const Sandbox& genesys, int count) {
    posters = std::max(posters, Metric("postrider_posters"));
    in_flight = std::max(in_flight, Metric("postrider_posts_in_flight"));
    return genesys.ledger().totals().posts >= count;
  };
  EXPECT_TRUE(Await([&] { return all_left(genesys_, kQuickMessages); }));
  EXPECT_LT(slow_.ledger().totals().posts, kSlowMessages) << "while the others hang";
  EXPECT_TRUE(Await([&] { return all_left(slow_, kSlowMessages); }));
  EXPECT_LE(posters, kMostPosters);
  EXPECT_LE(in_flight, kMostPosters);
  EXPECT_GT(in_flight, kMostPosters / 4) << "else there was nothing to hold up";

  const std::vector<LedgerPost> posts = Posts();
  WallTime::duration longest{};
  for (std::size_t i = 1; i < posts.size(); ++i) {
    longest = std::max(longest, posts[i].at - posts[i - 1].at);
  }
  const auto whole = posts.back().at - posts.front().at;
  std::cout << kQuickMessages << " messages within " << whole / 1ms << " ms, the longest gap "
            << longest / 1ms << " ms; posters " << posters << ", in flight " << in_flight << "\n";
  EXPECT_THAT(RateWasKept(posts, kRatePerS, kBurst, 0, hangs_.Longest()), IsEmpty());
  // 7: delivered. 3: unknown.
  EXPECT_TRUE(Await([&] {
    return sql_.Number("SELECT count(*) FROM message WHERE state = 7 AND final") ==
           kSlowMessages + kQuickMessages;
  }));
  EXPECT_EQ(sql_.Number("SELECT count(*) FROM status_event WHERE state = 3"), 0);
  EXPECT_EQ(slow_.ledger().totals().processed, kSlowMessages);
}

}  // namespace
}  // namespace postrider
