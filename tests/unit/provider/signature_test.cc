#include "server/provider/signature.h"

#include <gtest/gtest.h>

#include "server/base/digest.h"
#include "server/base/strings.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;
using Verdict = SignatureVerdict;

const WallTime kSignedAt{std::chrono::seconds(1'700'000'000)};
constexpr const char* kSignedAtText = "1700000000";
constexpr const char* kBody = R"({"id":"msg-1"})";

std::string HexSignatureOf(std::string_view body, const Secret& secret) {
  return StrCat("sha256=", HexOf(HmacSha256(secret, body)));
}

TEST(SignatureTest, AnswersTheExampleOfRfc4231) {
  // Test case 2: key "Jefe".
  EXPECT_EQ(HexSignatureOf("what do ya want for nothing?", Secret("Jefe")),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(SignatureTest, VerdictTable) {
  const Secret ours("old secret");
  const Secret next("new secret");
  const Secret both[] = {ours, next};
  const std::string right = SignatureOf(kBody, "", ours);
  const std::string timed = SignatureOf(kBody, kSignedAtText, next);
  struct Case {
    const char* name;
    std::string signature;
    std::string time;
    std::chrono::seconds window;
    std::chrono::seconds later;
    Verdict verdict;
  };
  const Case cases[] = {
      {"base64", right, "", 0s, 0s, Verdict::kRight},
      {"hexadecimal", HexSignatureOf(kBody, ours), "", 0s, 0s, Verdict::kRight},
      {"of the secret to come", SignatureOf(kBody, "", next), "", 0s, 0s, Verdict::kRight},
      {"none", "", "", 0s, 0s, Verdict::kMissing},
      {"another body's", SignatureOf("{}", "", ours), "", 0s, 0s, Verdict::kWrong},
      {"another secret's", SignatureOf(kBody, "", Secret("x")), "", 0s, 0s, Verdict::kWrong},
      {"another digest", "sha1=2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "", 0s, 0s, Verdict::kUnreadable},
      {"no scheme", right.substr(7), "", 0s, 0s, Verdict::kUnreadable},
      {"cut off", right.substr(0, right.size() - 4), "", 0s, 0s, Verdict::kUnreadable},
      {"neither hex nor base64", "sha256=" + std::string(64, '?'), "", 0s, 0s,
       Verdict::kUnreadable},
      {"64 that are no hex", "sha256=" + std::string(64, 'z'), "", 0s, 0s, Verdict::kUnreadable},
      {"in time", timed, kSignedAtText, 300s, 300s, Verdict::kRight},
      {"a fast clock's", timed, kSignedAtText, 300s, -300s, Verdict::kRight},
      {"too late: a replay", timed, kSignedAtText, 300s, 301s, Verdict::kOutOfTime},
      {"from the far future", SignatureOf(kBody, "999999999999", next), "999999999999", 300s, 0s,
       Verdict::kOutOfTime},
      {"from the future", timed, kSignedAtText, 300s, -301s, Verdict::kOutOfTime},
      {"without the time demanded", right, "", 300s, 0s, Verdict::kMissing},
      {"a time that was not signed", right, kSignedAtText, 300s, 0s, Verdict::kWrong},
      {"another time", timed, "1700000001", 300s, 0s, Verdict::kWrong},
      {"no time at all", timed, "yesterday", 300s, 0s, Verdict::kUnreadable},
      {"a time beyond all times", timed, "17000000000000000", 300s, 0s, Verdict::kUnreadable},
      {"a time that nobody demanded is signed all the same", timed, kSignedAtText, 0s, 9999s,
       Verdict::kRight},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(NameOf(CheckSignature({.body = kBody, .signature = c.signature, .time = c.time}, both,
                                    c.window, kSignedAt + c.later)),
              NameOf(c.verdict));
  }
}

TEST(SignatureTest, WithoutASecretNothingIsRight) {
  EXPECT_EQ(CheckSignature({.body = kBody, .signature = SignatureOf(kBody, "", Secret(""))}, {}, 0s,
                           kSignedAt),
            Verdict::kWrong);
}

}  // namespace
}  // namespace postrider
