#include "server/policy/compliance_rules.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

ComplianceCheck Good() { return {.url = "https://check.example/v1/check"}; }

TEST(ComplianceRulesTest, AGoodCheckAndNoneHaveNothingWrong) {
  EXPECT_THAT(CheckCompliance(Good()), IsEmpty());
  EXPECT_THAT(CheckCompliance({}), IsEmpty());
  for (const char* url :
       {"https://check.example", "https://check.example:8443/a/b", "http://127.0.0.1:7073/check",
        "http://localhost/c", "http://[::1]:1/c"}) {
    EXPECT_THAT(CheckCompliance({.url = url}), IsEmpty()) << url;
  }
}

TEST(ComplianceRulesTest, WhatIsWrongIsNamedByItsPath) {
  using Change = std::function<void(ComplianceCheck&)>;
  const std::pair<Change, const char*> cases[] = {
      {[](auto& c) {
         c.url = "";
         c.checks_per_minute = 5;
       },
       "compliance_check.url"},
      {[](auto& c) { c.url = "http://check.example/v1"; }, "compliance_check.url"},
      {[](auto& c) { c.url = "http://127.0.0.1.evil.example/v1"; }, "compliance_check.url"},
      {[](auto& c) { c.url = "https://user@check.example/v1"; }, "compliance_check.url"},
      {[](auto& c) { c.url = "https://check.example/v1?key=1"; }, "compliance_check.url"},
      {[](auto& c) { c.url = "https://check.example/v1/"; }, "compliance_check.url"},
      {[](auto& c) { c.url = "ftp://check.example"; }, "compliance_check.url"},
      {[](auto& c) { c.url = "https://check.example/" + std::string(500, 'a'); },
       "compliance_check.url"},
      {[](auto& c) { c.verdicts_expire_after = std::chrono::seconds(59); },
       "compliance_check.verdicts_expire_after"},
      {[](auto& c) {
         c.verdicts_expire_after = std::chrono::hours(24 * 30) + std::chrono::seconds(1);
       },
       "compliance_check.verdicts_expire_after"},
      {[](auto& c) { c.checks_per_minute = 0; }, "compliance_check.checks_per_minute"},
      {[](auto& c) { c.checks_per_minute = 301; }, "compliance_check.checks_per_minute"},
  };
  for (const auto& [change, path] : cases) {
    ComplianceCheck check = Good();
    change(check);
    const auto found = CheckCompliance(check);
    ASSERT_EQ(found.size(), 1U) << path << " " << check.url;
    EXPECT_EQ(found[0].path, path);
    TenantSetup setup;
    setup.compliance_check = check;
    EXPECT_EQ(CheckSetup(setup), found) << "as part of a setup";
  }
}

TEST(ComplianceRulesTest, ACheckAtTheOwnGenesysSharesTheAccountsMinute) {
  AccountRate account{.base_url = "https://acme.mypurecloud.com",
                      .rate_per_s = 4.5,
                      .burst = 5,
                      .requests_per_minute = 300};
  ComplianceCheck own{.url = "https://acme.mypurecloud.com/api/check", .checks_per_minute = 25};
  EXPECT_THAT(CheckComplianceFits(own, account), IsEmpty()) << "270 + 5 + 25";
  own.checks_per_minute = 26;
  const auto found = CheckComplianceFits(own, account);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].path, "compliance_check.checks_per_minute");
  EXPECT_THAT(found[0].why, HasSubstr("301 requests in a minute"));
  ComplianceCheck other = own;
  for (const char* url :
       {"https://acme.mypurecloud.com:444/api/check", "https://mypurecloud.com/api/check",
        "https://acme.mypurecloud.com.evil.example/check"}) {
    other.url = url;
    EXPECT_THAT(CheckComplianceFits(other, account), IsEmpty()) << url;
    EXPECT_FALSE(CountsForAccount(other, account.base_url)) << url;
  }
  other.url = "https://ACME.mypurecloud.com:443/api/check";
  EXPECT_TRUE(CountsForAccount(other, account.base_url));
  account.requests_per_minute = 600;
  EXPECT_THAT(CheckComplianceFits(own, account), IsEmpty()) << "more was granted";
  account.requests_per_minute = std::nullopt;
  EXPECT_THAT(CheckComplianceFits(own, account), IsEmpty()) << "this machine";
  EXPECT_THAT(CheckComplianceFits({}, account), IsEmpty());
}

TEST(ComplianceRulesTest, AChangeIsShownAndASectionStaysUntilItIsGiven) {
  TenantSetup before;
  before.compliance_check = ComplianceCheck();
  TenantSetup given;
  given.compliance_check = Good();
  const TenantSetup after = WithSections(before, given);
  EXPECT_EQ(
      ChangesBetween(before, after),
      (std::vector<SetupChange>{{"compliance_check.checks_per_minute", "", "10"},
                                {"compliance_check.url", "", "https://check.example/v1/check"},
                                {"compliance_check.verdicts_expire_after", "", "86400s"},
                                {"compliance_check.when_unavailable", "", "REFUSE"}}));
  EXPECT_EQ(WithSections(after, {}).compliance_check, Good());
  EXPECT_THAT(ChangesBetween(WithSections(after, before), before), IsEmpty());
}

}  // namespace
}  // namespace postrider
