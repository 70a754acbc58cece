#include "server/webhook/webhook_secrets.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/intake_limits.h"
#include "tests/support/fake_clock.h"

namespace postrider {
namespace {

class WebhookSecretsTest : public ::testing::Test {
 protected:
  WebhookSecretsTest() {
    std::string dir = ::testing::TempDir() + "secrets-XXXXXX";
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    dir_ = dir;
    path_ = dir + "/webhooks";
  }
  ~WebhookSecretsTest() override { std::filesystem::remove_all(dir_); }

  void Write(const std::string& text) const { std::ofstream(path_) << text; }
  /// What is known now, joined; or why nothing is.
  std::string Known() {
    const auto secrets = secrets_.Of(path_);
    if (!secrets.ok()) return std::string(secrets.status().message());
    std::string all;
    for (const Secret& secret : **secrets) StrAppend(all, "[", secret.Reveal(), "]");
    return all;
  }

  FakeClock clock_;
  WebhookSecrets secrets_{clock_};
  std::string dir_;
  std::string path_;
};

TEST_F(WebhookSecretsTest, ASecretALine) {
  Write("# for the change of 2 May\nold one\r\n\nnew one");
  EXPECT_EQ(Known(), "[old one][new one]");
}

TEST_F(WebhookSecretsTest, AChangedFileIsKnownAfterItsTime) {
  Write("old\n");
  EXPECT_EQ(Known(), "[old]");
  Write("new\n");
  EXPECT_EQ(Known(), "[old]");
  clock_.Advance(kWebhookSecretsRefresh);
  EXPECT_EQ(Known(), "[new]");
}

TEST_F(WebhookSecretsTest, AFileThatWentTakesNothingAwayThatIsKnown) {
  Write("old\n");
  EXPECT_EQ(Known(), "[old]");
  std::filesystem::remove(path_);
  clock_.Advance(kWebhookSecretsRefresh);
  EXPECT_EQ(Known(), "[old]");
}

TEST_F(WebhookSecretsTest, UnreadableTable) {
  const struct {
    const char* name;
    std::string text;
  } cases[] = {
      {"no secret", "# none yet\n\n"},
      {"too many", "1\n2\n3\n4\n5\n6\n7\n8\n9\n"},
      {"too long", std::string(kMaxWebhookSecretBytes + 1, 'x')},
  };
  EXPECT_THAT(Known(), ::testing::HasSubstr(path_)) << "no file";
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Write(c.text);
    clock_.Advance(kWebhookSecretsRefresh);
    EXPECT_THAT(Known(), ::testing::HasSubstr(path_));
  }
}

}  // namespace
}  // namespace postrider
