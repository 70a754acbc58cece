#include <gtest/gtest.h>

#include "server/api/authenticate.h"
#include "server/base/digest.h"
#include "tests/support/event_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

class GuardTest : public testing::Test {
 protected:
  GuardTest() { Add("good", {"send", "read"}); }

  void Add(const std::string& token, std::vector<std::string> scopes, WallTime expires_at = {},
           bool revoked = false) {
    ApiTokenRow row;
    row.token_sha256 = Sha256Bytes(token);
    row.tenant_id = {UuidOf(1)};
    row.name = token;
    row.scopes = std::move(scopes);
    row.expires_at = expires_at;
    row.revoked = revoked;
    ASSERT_TRUE(store_.AddToken(row).ok());
  }
  /// The reason, or the token's name; "later" while it is not known.
  std::string Check(const std::string& authorization, Scope scope = Scope::kSend) {
    std::string said = "later";
    guard_.Check(authorization, scope, [&said](const Result<Caller>& caller) {
      const auto* error = std::get_if<ApiError>(&caller);
      said = error != nullptr ? error->reason : std::get<Caller>(caller).token->name;
    });
    inline_ = said != "later";
    while (reads_.Step(std::stop_token()) > 0) {
    }
    return said;
  }

  FakeClock clock_;
  FakeStore store_{clock_};
  Metrics metrics_;
  ReadPool reads_{metrics_, {.workers = 0, .queue = 3}};
  Guard guard_{clock_, store_, reads_};
  bool inline_ = false;
};

TEST_F(GuardTest, ReasonTable) {
  Add("readonly", {"read"});
  Add("expired", {"send"}, clock_.Wall());
  Add("expiring", {"send"}, clock_.Wall() + 1s);
  Add("revoked", {"send"}, {}, true);
  struct Case {
    const char* authorization;
    const char* said;
  };
  const Case cases[] = {
      {"", "TOKEN_MISSING"},
      {"Bearer good", "good"},
      {"bearer good", "good"},
      {"BEARER good", "good"},
      {"good", "TOKEN_INVALID"},
      {"Basic good", "TOKEN_INVALID"},
      {"Bearer", "TOKEN_INVALID"},
      {"Bearer ", "TOKEN_INVALID"},
      {"Bearer  good", "TOKEN_INVALID"},
      {"Bearer goo", "TOKEN_INVALID"},
      {"Bearer revoked", "TOKEN_INVALID"},
      {"Bearer expired", "TOKEN_EXPIRED"},
      {"Bearer expiring", "expiring"},
      {"Bearer readonly", "SCOPE_MISSING"},
  };
  for (const Case& c : cases) EXPECT_EQ(Check(c.authorization), c.said) << c.authorization;
  EXPECT_EQ(Check("Bearer readonly", Scope::kRead), "readonly");
  EXPECT_EQ(Check("Bearer " + std::string(100'000, 'x')), "TOKEN_INVALID");
}

TEST_F(GuardTest, AnOperatorIsNoCallerAndACallerNoOperator) {
  Add("ops", {"operator"});
  EXPECT_EQ(Check("Bearer ops", Scope::kOperator), "ops");
  EXPECT_EQ(Check("Bearer ops", Scope::kSend), "SCOPE_MISSING");
  EXPECT_EQ(Check("Bearer ops", Scope::kRead), "SCOPE_MISSING");
  EXPECT_EQ(Check("Bearer good", Scope::kOperator), "SCOPE_MISSING");
}

TEST_F(GuardTest, AKnownTokenIsCheckedInlineForThirtySeconds) {
  Check("Bearer good");
  EXPECT_FALSE(inline_);
  Check("Bearer good");
  EXPECT_TRUE(inline_);
  clock_.Advance(30s);
  Check("Bearer good");
  EXPECT_FALSE(inline_);
  EXPECT_EQ(store_.Calls("FindToken"), 2);
}

TEST_F(GuardTest, AnUnknownTokenIsRememberedForASecondOnly) {
  EXPECT_EQ(Check("Bearer new"), "TOKEN_INVALID");
  Add("new", {"send"});
  EXPECT_EQ(Check("Bearer new"), "TOKEN_INVALID");
  EXPECT_TRUE(inline_);
  clock_.Advance(1s);
  EXPECT_EQ(Check("Bearer new"), "new");
}

TEST_F(GuardTest, ATokenThatExpiresMeanwhileIsRefusedFromMemory) {
  Add("short", {"send"}, clock_.Wall() + 5s);
  EXPECT_EQ(Check("Bearer short"), "short");
  clock_.Advance(5s);
  EXPECT_EQ(Check("Bearer short"), "TOKEN_EXPIRED");
}

TEST_F(GuardTest, ManyCallsWithOneTokenAskTheStoreOnce) {
  int answers = 0;
  for (int i = 0; i < 10; ++i) {
    guard_.Check("Bearer good", i % 2 == 0 ? Scope::kSend : Scope::kRead,
                 [&answers](const Result<Caller>& caller) {
                   answers += std::holds_alternative<Caller>(caller) ? 1 : 0;
                 });
  }
  EXPECT_EQ(answers, 0);
  while (reads_.Step(std::stop_token()) > 0) {
  }
  EXPECT_EQ(answers, 10);
  EXPECT_EQ(store_.Calls("FindToken"), 1);
}

TEST_F(GuardTest, TheStoreBeingAwayIsNoVerdictOnTheToken) {
  store_.FailNext(1);
  EXPECT_EQ(Check("Bearer good"), "STORE_UNAVAILABLE");
  EXPECT_EQ(Check("Bearer good"), "good");
}

TEST_F(GuardTest, AFullReadQueueRefusesAtOnce) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(reads_.TrySubmit([] {}));
  EXPECT_EQ(Check("Bearer good"), "STORE_UNAVAILABLE");
  EXPECT_TRUE(inline_);
  EXPECT_EQ(Check("Bearer good"), "good");
}

TEST(ReadPoolTest, DrainDoesWhatIsQueuedAndRefusesTheRest) {
  Metrics metrics;
  ReadPool reads(metrics, {.workers = 2, .queue = 10});
  std::atomic<int> done = 0;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(reads.TrySubmit([&done] { ++done; }));
  EXPECT_FALSE(reads.TrySubmit([] {})) << "full";
  reads.Start();
  reads.Drain();
  EXPECT_EQ(done, 10);
  EXPECT_FALSE(reads.TrySubmit([] {})) << "drained";
}

}  // namespace
}  // namespace postrider
