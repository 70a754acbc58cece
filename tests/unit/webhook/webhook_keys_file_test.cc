#include "server/webhook/webhook_keys_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kDatabase = "postgresql://postgres@/postrider";

std::vector<TenantRow> TwoTenants() {
  SeededRandom random(1);
  TenantRow plain;
  plain.tenant_id = {MakeUuidV4(random)};
  plain.name = "plain";
  plain.webhook_key = "key-1";
  TenantRow full;
  full.tenant_id = {MakeUuidV4(random)};
  full.name = "full";
  full.profile = "platform";
  full.webhook_key = "key-2";
  full.webhook_key_before = "key-0";
  full.webhook_key_before_until = WallTime{std::chrono::seconds(1'900'000'000)};
  full.webhook_secret_file = "/etc/a \"quoted\"\nfile";
  full.webhook_window = std::chrono::seconds(300);
  return {plain, full};
}

class WebhookKeysFileTest : public ::testing::Test {
 protected:
  WebhookKeysFileTest() {
    std::string dir = ::testing::TempDir() + "keys-XXXXXX";
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    dir_ = dir;
    path_ = dir + "/webhook.keys";
  }
  ~WebhookKeysFileTest() override { std::filesystem::remove_all(dir_); }

  void Write(const std::string& text) const { std::ofstream(path_) << text; }
  std::string Written() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string Problem() const {
    return std::string(WebhookKeysFile(path_, kDatabase).Read().status().message());
  }

  std::string dir_;
  std::string path_;
};

TEST_F(WebhookKeysFileTest, WhatIsKeptIsReadByTheNextStart) {
  WebhookKeysFile(path_, kDatabase).Keep(TenantSnapshot(TwoTenants()));
  const auto read = WebhookKeysFile(path_, kDatabase).Read();
  ASSERT_TRUE(read.ok()) << read.status();
  const std::vector<TenantRow> wanted = TwoTenants();
  ASSERT_THAT(*read, SizeIs(wanted.size()));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const TenantRow& row = (*read)[i];
    EXPECT_EQ(row.tenant_id, wanted[i].tenant_id);
    EXPECT_EQ(row.name, wanted[i].name);
    EXPECT_EQ(row.profile, wanted[i].profile);
    EXPECT_EQ(row.webhook_key, wanted[i].webhook_key);
    EXPECT_EQ(row.webhook_key_before, wanted[i].webhook_key_before);
    EXPECT_EQ(row.webhook_key_before_until, wanted[i].webhook_key_before_until);
    EXPECT_EQ(row.webhook_secret_file, wanted[i].webhook_secret_file);
    EXPECT_EQ(row.webhook_window, wanted[i].webhook_window);
  }
}

TEST_F(WebhookKeysFileTest, NobodyElseMayReadItAlsoWhereAnotherFileWas) {
  for (const std::string& file : {path_, path_ + ".new"}) {
    std::ofstream(file) << "x";
    ASSERT_EQ(chmod(file.c_str(), 0644), 0);
  }
  WebhookKeysFile(path_, kDatabase).Keep(TenantSnapshot(TwoTenants()));
  struct stat file{};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0600U);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
}

TEST_F(WebhookKeysFileTest, AChangeIsWrittenAndOnlyAChange) {
  WebhookKeysFile file(path_, kDatabase);
  std::vector<TenantRow> tenants = TwoTenants();
  file.Keep(TenantSnapshot(tenants));
  std::filesystem::remove(path_);
  file.Keep(TenantSnapshot(tenants));
  EXPECT_FALSE(std::filesystem::exists(path_)) << "nothing changed";
  tenants[0].rate_per_s = 100;
  file.Keep(TenantSnapshot(tenants));
  EXPECT_FALSE(std::filesystem::exists(path_)) << "webhooks do not care for rates";
  tenants[0].webhook_key = "key-3";
  file.Keep(TenantSnapshot(tenants));
  const auto read = file.Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)[0].webhook_key, "key-3");
}

TEST_F(WebhookKeysFileTest, WhatCannotBeWrittenIsTriedAgain) {
  WebhookKeysFile file(path_, kDatabase);
  std::filesystem::create_directory(path_);  // a rename cannot replace it
  file.Keep(TenantSnapshot(TwoTenants()));
  std::filesystem::remove(path_);
  file.Keep(TenantSnapshot(TwoTenants()));
  EXPECT_TRUE(file.Read().ok());
}

TEST_F(WebhookKeysFileTest, NoTenantIsAnAnswerToo) {
  WebhookKeysFile(path_, kDatabase).Keep(TenantSnapshot({}));
  const auto read = WebhookKeysFile(path_, kDatabase).Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(*read, SizeIs(0));
}

TEST_F(WebhookKeysFileTest, ATornOrChangedFileIsNotTakenForAnything) {
  WebhookKeysFile(path_, kDatabase).Keep(TenantSnapshot(TwoTenants()));
  const std::string whole = Written();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Write(whole.substr(0, length));
    ASSERT_THAT(Problem(), HasSubstr(path_)) << "its first " << length << " bytes";
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    Write(changed);
    ASSERT_THAT(Problem(), HasSubstr(path_)) << "byte " << at << " changed";
  }
  Write(whole + "x");
  EXPECT_THAT(Problem(), HasSubstr("damaged"));
  Write(whole);
  EXPECT_EQ(Problem(), "");
}

TEST_F(WebhookKeysFileTest, AnotherVersionOrDatabaseIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(WebhookKeysFile(path_, kDatabase).Read().status()));
  WebhookKeysFile(path_, "postgresql://elsewhere").Keep(TenantSnapshot(TwoTenants()));
  EXPECT_THAT(Problem(), HasSubstr("--database-url"));
  std::string text = Written();
  text.replace(text.find(" 1 "), 3, " 2 ");
  Write(text);
  EXPECT_THAT(Problem(), HasSubstr("another version"));
}

}  // namespace
}  // namespace postrider
