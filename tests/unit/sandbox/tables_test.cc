#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/sandbox/ledger.h"
#include "server/sandbox/magic_numbers.h"
#include "server/sandbox/posts.h"
#include "server/sandbox/token_desk.h"
#include "tests/support/fake_clock.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;

TEST(MagicNumbersTest, EachHasANumberANameAndASentenceOfItsOwn) {
  std::set<std::string_view> numbers;
  std::set<std::string_view> names;
  for (const MagicNumber& row : MagicNumbers()) {
    SCOPED_TRACE(row.name);
    EXPECT_TRUE(row.number.starts_with("+1555000")) << row.number;
    EXPECT_EQ(row.number.size(), 12U);
    EXPECT_TRUE(numbers.insert(row.number).second);
    EXPECT_TRUE(names.insert(row.name).second);
    EXPECT_TRUE(row.shows.ends_with("."));
    EXPECT_EQ(&MagicNumberOf(row.number), &row);
    EXPECT_EQ(row.behaviour.last_status == "failed", !row.behaviour.error_code.empty());
    EXPECT_EQ(row.behaviour.answer == SandboxAnswer::kRefuse, row.behaviour.http_status >= 300);
  }
  EXPECT_EQ(MagicNumberOf("+15551234567").name, "DELIVERED");
}

TEST(MagicNumbersTest, TheTextHasALineForEach) {
  const std::string text = MagicNumbersText();
  for (const MagicNumber& row : MagicNumbers()) {
    EXPECT_NE(text.find(row.number), std::string::npos) << row.name;
    EXPECT_NE(text.find(row.shows), std::string::npos) << row.name;
  }
}

std::variant<SandboxPost, SandboxRefusal> Read(const std::string& body) {
  return ReadPost(ParseJson(body).value());
}

TEST(ReadPostTest, TakesTheGuidesExample) {
  const auto read = Read(
      R"({"to":"+15551234567","from":"+15559876543","message":"Hello","type":"sms",
          "conversationId":"conv-1","metadata":{"campaignId":"c","postriderAttempt":"3",
          "postriderMessageId":"01891f2e-7b1c-7a3d-8f00-0123456789ab"}})");
  const auto* post = std::get_if<SandboxPost>(&read);
  ASSERT_NE(post, nullptr);
  EXPECT_EQ(post->recipient, "+15551234567");
  EXPECT_EQ(post->sender, "+15559876543");
  EXPECT_EQ(post->conversation_id, "conv-1");
  EXPECT_EQ(post->message_id.ToString(), "01891f2e-7b1c-7a3d-8f00-0123456789ab");
  EXPECT_EQ(post->attempt, 3);
  EXPECT_EQ(post->metadata.at("campaignId"), "c");
}

TEST(ReadPostTest, RefusesAsGenesysDoes) {
  struct Case {
    std::string body;
    const char* code;
    const char* field;
  };
  const std::string rest = R"(,"from":"+15559876543","message":"Hello","type":"sms"})";
  const Case cases[] = {
      {R"({"from":"+15559876543","message":"Hello","type":"sms"})", "invalid.value", "to"},
      {R"({"to":"5551234567")" + rest, "invalid.value", "to"},
      {R"({"to":"+0551234567")" + rest, "invalid.value", "to"},
      {R"({"to":"+1555123456789012")" + rest, "invalid.value", "to"},
      {R"({"to":"+15551234567","message":"Hello","type":"sms"})", "bad.request", "from"},
      {R"({"to":"+15551234567","from":"+15559876543","type":"sms"})", "bad.request", "message"},
      {R"({"to":"+15551234567","from":"+15559876543","message":"","type":"sms"})", "bad.request",
       "message"},
      {R"({"to":"+15551234567","from":"+15559876543","type":"sms","message":")" +
           std::string(766, 'x') + "\"}",
       "max.length.exceeded", "message"},
      {R"({"to":"+15551234567","from":"+15559876543","message":"Hello"})", "invalid.value", "type"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body.substr(0, 80));
    const auto read = Read(c.body);
    const auto* refusal = std::get_if<SandboxRefusal>(&read);
    ASSERT_NE(refusal, nullptr);
    EXPECT_EQ(refusal->http_status, 400);
    EXPECT_EQ(refusal->code, c.code);
    EXPECT_EQ(refusal->field, c.field);
  }
}

TEST(ReadPostTest, CountsCharactersNotBytes) {
  std::string text;
  for (int i = 0; i < 765; ++i) text += "\xC3\xA9";
  const auto read =
      Read(R"({"to":"+15551234567","from":"+15559876543","type":"sms","message":")" + text + "\"}");
  EXPECT_TRUE(std::holds_alternative<SandboxPost>(read));
}

TEST(ReceiptJsonTest, IsTheGuidesShape) {
  SandboxPost post;
  post.recipient = "+15551234567";
  post.sender = "+15559876543";
  post.metadata = {{"campaignId", "c"}};
  const WallTime at = WallTime{} + 1698417135s + 900ms;
  EXPECT_EQ(ReceiptJson(post, "msg-1", "conv-1", "delivered", "", at),
            R"({"id":"msg-1","type":"sms","from":"+15559876543","to":"+15551234567",)"
            R"("conversationId":"conv-1","status":"delivered","timestamp":"2023-10-27T14:32:15Z",)"
            R"("deliveryStatus":"delivered","errorCode":null,"metadata":{"campaignId":"c"}})");
  post.metadata.clear();
  const std::string failed = ReceiptJson(post, "msg-1", "conv-1", "failed", "carrier_rejected", at);
  EXPECT_NE(failed.find(R"("errorCode":"carrier_rejected"})"), std::string::npos) << failed;
}

LedgerEntry Entry(bool processed) {
  LedgerEntry entry;
  entry.recipient = "+15551234567";
  entry.processed = processed;
  entry.http_status = 202;
  return entry;
}

TEST(LedgerTest, NumbersEntriesAndForgetsTheOldest) {
  const auto ledger = Ledger::Open(3, "").value();
  for (int i = 0; i < 5; ++i) ledger->Append(Entry(i % 2 == 0));
  EXPECT_EQ(ledger->totals().posts, 5);
  EXPECT_EQ(ledger->totals().processed, 3);
  const auto numbers = [&](std::int64_t after, std::size_t limit) {
    std::vector<std::int64_t> found;
    for (const LedgerEntry& entry : ledger->After(after, limit)) found.push_back(entry.number);
    return found;
  };
  using Numbers = std::vector<std::int64_t>;
  EXPECT_EQ(numbers(0, 10), (Numbers{3, 4, 5}));
  EXPECT_EQ(numbers(3, 10), (Numbers{4, 5}));
  EXPECT_EQ(numbers(3, 1), (Numbers{4}));
  EXPECT_EQ(numbers(5, 10), Numbers{});
  EXPECT_EQ(numbers(INT64_MAX, 10), Numbers{});
}

TEST(LedgerTest, TheFileHasEachEntryAndOutlivesTheLedger) {
  const std::string file = testing::TempDir() + "postrider-ledger-" + std::to_string(::getpid());
  std::string expected;
  for (int run = 0; run < 2; ++run) {
    const auto ledger = Ledger::Open(10, file).value();
    ledger->Append(Entry(true));
    expected += ledger->After(0, 1)[0].ToJson() + "\n";
    std::ifstream stream(file);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), expected);
  }
  ::unlink(file.c_str());
}

TEST(LedgerTest, ALineThatAKillCutOffSpoilsNoOther) {
  const std::string file = testing::TempDir() + "postrider-torn-" + std::to_string(::getpid());
  std::ofstream(file) << "{\"number\":1}\n{\"numb";
  const auto ledger = Ledger::Open(10, file).value();
  ledger->Append(Entry(true));
  std::ifstream stream(file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}),
            "{\"number\":1}\n{\"numb\n" + ledger->After(0, 1)[0].ToJson() + "\n");
  ::unlink(file.c_str());
}

TEST(LedgerTest, AFileThatCannotBeOpenedIsSaid) {
  EXPECT_EQ(Ledger::Open(10, "/nowhere/ledger").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(TokenDeskTest, GivesTokensToWhomItKnowsAndEndsThem) {
  FakeClock clock;
  SeededRandom random(7);
  TokenDesk desk({{"an-id", Secret("a-secret")}}, 60s, clock, random);
  EXPECT_EQ(desk.Authenticate("Basic " + Base64Of("an-id:a-secret")), "an-id");
  EXPECT_EQ(desk.Authenticate("Basic " + Base64Of("an-id:wrong")), std::nullopt);
  EXPECT_EQ(desk.Authenticate(""), std::nullopt);
  const std::string bearer = "Bearer " + desk.Issue("an-id");
  EXPECT_EQ(desk.ClientOf(bearer), "an-id");
  EXPECT_EQ(desk.ClientOf(bearer.substr(7)), std::nullopt);
  clock.Advance(60s);
  EXPECT_EQ(desk.ClientOf(bearer), std::nullopt);
  const std::string other = "Bearer " + desk.Issue("an-id");
  desk.RevokeAll();
  EXPECT_EQ(desk.ClientOf(other), std::nullopt);
  EXPECT_EQ(desk.issued(), 2);
}

TEST(TokenDeskTest, RemembersTheNewestOnly) {
  FakeClock clock;
  SeededRandom random(7);
  TokenDesk desk({{"an-id", Secret("a-secret")}}, 60s, clock, random);
  const std::string oldest = "Bearer " + desk.Issue("an-id");
  const std::string second = "Bearer " + desk.Issue("an-id");
  for (std::size_t i = 1; i < TokenDesk::kTokens; ++i) desk.Issue("an-id");
  EXPECT_EQ(desk.ClientOf(oldest), std::nullopt);
  EXPECT_EQ(desk.ClientOf(second), "an-id");
}

TEST(RateWindowsTest, CountsInFixedMinutesForEachClient) {
  FakeClock clock;
  RateWindows windows(2, clock);
  EXPECT_TRUE(windows.Count("a").allowed);
  clock.Advance(59s + 500ms);
  const RateWindows::Verdict second = windows.Count("a");
  EXPECT_TRUE(second.allowed);
  EXPECT_EQ(second.count, 2);
  EXPECT_EQ(second.reset, 1s);
  EXPECT_FALSE(windows.Count("a").allowed);
  EXPECT_TRUE(windows.Count("b").allowed);
  clock.Advance(500ms);
  EXPECT_TRUE(windows.Count("a").allowed);
}

TEST(RateWindowsTest, ZeroIsNoLimit) {
  FakeClock clock;
  RateWindows windows(0, clock);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(windows.Count("a").allowed);
}

}  // namespace
}  // namespace postrider
