#include "server/app/bootstrap.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "server/app/accounts.h"
#include "server/base/digest.h"
#include "server/base/private_file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

class BootstrapTest : public ::testing::Test {
 protected:
  BootstrapTest() {
    std::string dir = ::testing::TempDir() + "bootstrap-XXXXXX";
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    config_.state_dir = dir;
    config_.genesys.base_url = "https://example.mypurecloud.com";
    config_.genesys.token_url = "https://login.mypurecloud.com/oauth/token";
    config_.genesys.client_id = "client";
    config_.rate_per_second = 4.9;
    config_.burst = 5;
    config_.senders = {"+15559876543"};
  }
  ~BootstrapTest() override { std::filesystem::remove_all(config_.state_dir); }

  absl::StatusOr<TenantRow> Ensure() {
    return EnsureDefaultTenant(store_, random_, clock_, config_);
  }
  std::string TokenFile() const { return config_.state_dir + "/default.token"; }

  FakeClock clock_;
  FakeStore store_{clock_};
  SeededRandom random_{1};
  Config config_;
};

TEST_F(BootstrapTest, TheDefaultTenantComesWithATokenThatOnlyItsOwnerCanRead) {
  const auto tenant = Ensure();
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  const auto token = ReadSecretFile(TokenFile());
  ASSERT_TRUE(token.ok()) << token.status();
  const auto row = store_.FindToken(Sha256Bytes(token->Reveal()));
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->tenant_id, tenant->tenant_id);
  EXPECT_EQ(row->scopes, (std::vector<std::string>{"send", "read"}));
  struct stat file{};
  ASSERT_EQ(stat(TokenFile().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600U);
}

TEST_F(BootstrapTest, ReadsHaveWhatTheCredentialMayDoBesideMessages) {
  config_.rate_per_second = 1;
  config_.genesys.client_secret_file = config_.state_dir + "/client.secret";
  std::ofstream(config_.genesys.client_secret_file) << "secret\n";
  const auto tenant = Ensure();
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  TenantDirectory directory(store_);
  ASSERT_TRUE(directory.Refresh().ok());
  const auto settings = Accounts(directory).SettingsOf(tenant->tenant_id);
  ASSERT_NE(settings, nullptr);
  EXPECT_EQ(settings->rate_per_s, 1);
  EXPECT_DOUBLE_EQ(settings->requests_per_s * 60 + settings->requests_burst, 300)
      << "of an organisation that may make 300 requests a minute";
}

TEST_F(BootstrapTest, WhatTheComplianceCheckMayAskTheAccountIsNotForReads) {
  config_.rate_per_second = 1;
  config_.genesys.client_secret_file = config_.state_dir + "/client.secret";
  std::ofstream(config_.genesys.client_secret_file) << "secret\n";
  auto tenant = Ensure();
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  TenantDirectory directory(store_);
  Accounts accounts(directory);
  const auto requests_a_minute = [&](const std::string& url) {
    tenant->compliance_check = {.url = url, .checks_per_minute = 30};
    store_.SetSetup(*tenant);
    EXPECT_TRUE(directory.Refresh().ok());
    const auto settings = accounts.SettingsOf(tenant->tenant_id);
    return settings->requests_per_s * 60 + settings->requests_burst;
  };
  EXPECT_DOUBLE_EQ(requests_a_minute("https://example.mypurecloud.com/check"), 270);
  EXPECT_DOUBLE_EQ(requests_a_minute("https://elsewhere.example/check"), 300);
}

TEST_F(BootstrapTest, ARateThatLeavesNoRoomForTheComplianceCheckIsRefused) {
  config_.rate_per_second = 4;
  auto tenant = Ensure();
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  tenant->compliance_check = {.url = "https://example.mypurecloud.com/check",
                              .checks_per_minute = 55};
  store_.SetSetup(*tenant);
  EXPECT_TRUE(Ensure().ok());
  config_.rate_per_second = 4.5;
  const absl::Status faster = Ensure().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(faster)) << faster;
  EXPECT_EQ(faster.message().substr(0, 5), "rate:");
}

TEST_F(BootstrapTest, ASecondStartKeepsTenantKeyAndToken) {
  const auto first = Ensure();
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string token(ReadSecretFile(TokenFile())->Reveal());
  config_.rate_per_second = 2;
  const auto second = Ensure();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->tenant_id, first->tenant_id);
  EXPECT_EQ(second->webhook_key, first->webhook_key);
  EXPECT_EQ(second->rate_per_s, 2);
  EXPECT_EQ(ReadSecretFile(TokenFile())->Reveal(), token);
}

TEST_F(BootstrapTest, TheSenderRateGoesToEverySender) {
  config_.senders = {"+15559876543", "+15559876544"};
  config_.sender_rate = 7;
  const auto tenant = Ensure();
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  ASSERT_EQ(tenant->senders.size(), 2U);
  for (const SenderRow& sender : tenant->senders) EXPECT_EQ(sender.segments_per_s, 7);
  config_.sender_rate = 0;
  const auto again = Ensure();
  ASSERT_TRUE(again.ok()) << again.status();
  for (const SenderRow& sender : again->senders) EXPECT_EQ(sender.segments_per_s, std::nullopt);
}

TEST_F(BootstrapTest, QuietHoursAreAsTheConfigurationSays) {
  const auto tenant = Ensure();
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  EXPECT_EQ(tenant->quiet, QuietSetting{}) << "the law's";
  EXPECT_EQ(tenant->default_class, CampaignClass::kTransactional);
  config_.quiet = {
      .hours = "21:30-24:00", .zone = "Europe/Berlin", .default_class = "one-time-code"};
  const auto set = Ensure();
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->quiet, (QuietSetting{.on = true,
                                      .own = HourSpan{21 * 60 + 30, kMinutesOfDay},
                                      .default_zone = "Europe/Berlin"}));
  EXPECT_EQ(set->default_class, CampaignClass::kOneTimeCode);
  config_.quiet.hours = "off";
  EXPECT_FALSE(Ensure()->quiet.on);
}

TEST_F(BootstrapTest, TextsAndNumbersAreKeptAsTheConfigurationSays) {
  config_.keep_texts_days = 45;
  const auto tenant = Ensure();
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  EXPECT_EQ(tenant->keep_texts_days, 45);
  EXPECT_EQ(tenant->keep_numbers_days, std::nullopt);
  config_.keep_texts_days = 0;
  const auto again = Ensure();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->keep_texts_days, std::nullopt);
}

TEST_F(BootstrapTest, ATokenOfAnotherDatabaseIsReplaced) {
  ASSERT_TRUE(WritePrivateFile(TokenFile(), "prt_of-another-database\n").ok());
  ASSERT_TRUE(Ensure().ok());
  EXPECT_NE(ReadSecretFile(TokenFile())->Reveal(), "prt_of-another-database");
}

TEST_F(BootstrapTest, WhatWasQueuedForTheSandboxNeverGoesOutForReal) {
  config_.sandbox.enabled = true;
  config_.genesys.client_id = kSandboxClientId;
  ASSERT_TRUE(Ensure().ok());
  config_.sandbox.enabled = false;
  config_.genesys.client_id = "client";
  const auto real = Ensure();
  EXPECT_TRUE(absl::IsFailedPrecondition(real.status())) << real.status();
}

TEST_F(BootstrapTest, WhatWasQueuedForGenesysNeverEndsInTheSandbox) {
  ASSERT_TRUE(Ensure().ok());
  config_.sandbox.enabled = true;
  config_.genesys.client_id = kSandboxClientId;
  EXPECT_TRUE(absl::IsFailedPrecondition(Ensure().status()));
}

}  // namespace
}  // namespace postrider
