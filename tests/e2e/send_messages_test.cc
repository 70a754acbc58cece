// Many messages by one call, over what can happen to a gateway meanwhile.
#include <gtest/gtest.h>

#include "client/batch.h"
#include "server/base/strings.h"
#include "tests/e2e/rig.h"

namespace postrider {
namespace {

TEST(SendMessagesTest, ACampaignGoesOnOverAKillAndADrainAndEachMessageIsThereOnce) {
  constexpr std::uint64_t kMessages = 3000;
  constexpr std::uint64_t kKillAt = 700;
  constexpr std::uint64_t kDrainAt = 1900;
  Rig rig(Rig::Options{.flags = {"--queue-limit", "100000"}});
  const auto client = rig.NewClient();
  std::uint64_t answered = 0;
  client::Batch batch(*client, {}, [&](client::Batch::Answer answer) {
    EXPECT_TRUE(answer.response.ok()) << answer.request_id << ": " << answer.response.status();
    ++answered;
    if (answered == kKillAt) rig.gateway.Kill();
    if (answered == kDrainAt) rig.gateway.Stop();
    if (answered == kKillAt || answered == kDrainAt) {
      EXPECT_TRUE(rig.gateway.Start());
    }
  });
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    v1::SendMessageRequest request = RequestTo(kRecipient);
    request.set_request_id(StrCat("campaign-", i));
    batch.Send(std::move(request), i);
  }
  batch.Finish();
  EXPECT_EQ(answered, kMessages);
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM message"), kMessages);
  EXPECT_EQ(rig.sql.Number("SELECT count(DISTINCT request_id) FROM message"), kMessages);
}

}  // namespace
}  // namespace postrider
