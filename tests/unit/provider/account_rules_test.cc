#include "server/provider/account_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

using ::testing::StartsWith;

TEST(CompleteAccountTest, EveryRegionGivesBothUrls) {
  EXPECT_EQ(RegionDomains().size(), 18U);
  for (const std::string_view region : RegionDomains()) {
    ProviderAccount account{.profile = "platform"};
    ASSERT_TRUE(CompleteAccount(account, region).ok()) << region;
    EXPECT_EQ(account.base_url, StrCat("https://api.", region));
    EXPECT_EQ(account.token_url, StrCat("https://login.", region, "/oauth/token"));
    account.client_id = "id";
    account.client_secret = Secret("secret");
    EXPECT_TRUE(CheckAccount(account).ok()) << region;
  }
}

TEST(CompleteAccountTest, GuideHasASendPathUnlessOneIsSet) {
  ProviderAccount account;
  ASSERT_TRUE(CompleteAccount(account, "").ok());
  EXPECT_EQ(account.send_path, "/api/v2/messaging/outbound/agentsless/messages");
  account.send_path = "/messages";
  ASSERT_TRUE(CompleteAccount(account, "").ok());
  EXPECT_EQ(account.send_path, "/messages");
}

TEST(CompleteAccountTest, RefusesByTheFieldsName) {
  const struct {
    const char* says;
    ProviderAccount account;
    const char* region;
  } cases[] = {
      {"profile: unknown, \"telegraph\"; there are: guide, platform", {.profile = "telegraph"}, ""},
      {"region: unknown, \"mypurecloud.con\"; did you mean mypurecloud.com?",
       {.profile = "platform"},
       "mypurecloud.con"},
      {"region: unknown, \"usw3.pure.cloud\"; did you mean usw2.pure.cloud?",
       {.profile = "platform"},
       "usw3.pure.cloud"},
      {"region: unknown, \"atlantis\"; there are: mypurecloud.com ",
       {.profile = "platform"},
       "atlantis"},
      {"base_url: follows from region",
       {.profile = "platform", .base_url = "https://api.mypurecloud.ie"},
       "mypurecloud.ie"},
      {"token_url: follows from region",
       {.profile = "platform", .token_url = "https://login.mypurecloud.ie/oauth/token"},
       "mypurecloud.ie"},
      {"send_path: only of profile guide", {.profile = "platform", .send_path = "/messages"}, ""},
      {"region: only of profile platform", {}, "mypurecloud.ie"},
      {"active_conversation: only of profile platform",
       {.active_conversation = ActiveConversation::kJoin},
       ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.says);
    ProviderAccount account = c.account;
    const absl::Status refused = CompleteAccount(account, c.region);
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.message()), StartsWith(c.says));
  }
}

}  // namespace
}  // namespace postrider
