#include "server/provider/outcome_table.h"

#include <set>

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"

namespace postrider {
namespace {

using namespace std::chrono_literals;
using Kind = OutcomeKind;
using Failure = FailureReason;
using Hold = HoldReason;

// 2023-10-27T14:32:15Z
const WallTime kNow = WallTime{} + 1698417135s;

TEST(OutcomeTableTest, EachRowMeansWhatItSays) {
  struct Case {
    int status;
    const char* code;
    Kind kind;
    Failure failure;
    Hold hold;
    std::chrono::seconds wait;
    bool pauses;
    bool stops;
    ActiveConversation policy = ActiveConversation::kFail;
    bool refused_at_edge = false;
  };
  const Case cases[] = {
      {202, "", Kind::kAccepted, Failure::kNone, Hold::kNone, 0s, false, false},
      {302, "", Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone, 0s, false, false},
      {400, "active.conversation", Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone, 0s,
       false, false},
      {400, "existing.conversation", Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone, 0s,
       false, false},
      {400, "active.conversation", Kind::kHeld, Failure::kNone, Hold::kActiveConversation, 60s,
       false, false, ActiveConversation::kHold},
      {400, "existing.conversation", Kind::kHeld, Failure::kNone, Hold::kActiveConversation, 60s,
       false, false, ActiveConversation::kJoin},
      {400, "bad.request", Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone, 0s, false,
       false},
      {401, "bad.credentials", Kind::kNotSent, Failure::kNotAuthorized, Hold::kTenantStopped, 0s,
       false, true},
      {403, "missing.permissions", Kind::kRejected, Failure::kNotAuthorized, Hold::kNone, 0s, false,
       true},
      {404, "not.found", Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone, 0s, false,
       false},
      {408, "client.timeout", Kind::kUnknown, Failure::kNone, Hold::kNone, 0s, false, false},
      {409, "organization.outbound.usage.limit.exceeded", Kind::kHeld, Failure::kNone, Hold::kQuota,
       3600s, false, false},
      {413, "request.entity.too.large", Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone,
       0s, false, false},
      {415, "unsupported.media.type", Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone,
       0s, false, false},
      {429, "too.many.requests", Kind::kNotSent, Failure::kNone, Hold::kRetryAfter, 1s, true,
       false},
      {500, "internal.server.error", Kind::kUnknown, Failure::kNone, Hold::kNone, 0s, false, false},
      {502, "", Kind::kUnknown, Failure::kNone, Hold::kNone, 0s, false, false},
      {503, "service.unavailable", Kind::kUnknown, Failure::kNone, Hold::kNone, 0s, false, false},
      {503, "service.unavailable", Kind::kNotSent, Failure::kNone, Hold::kBackoff, 1s, false, false,
       ActiveConversation::kFail, true},
      {504, "request.timeout", Kind::kUnknown, Failure::kNone, Hold::kNone, 0s, false, false},
  };
  std::set<const OutcomeRow*> seen;
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::Message() << c.status << " " << c.code);
    const ReplyFacts reply{.http_status = c.status,
                           .code = c.code,
                           .active_conversation = c.policy,
                           .refused_at_edge = c.refused_at_edge};
    const Outcome outcome = OutcomeOf(reply, kNow);
    EXPECT_EQ(outcome.kind, c.kind);
    EXPECT_EQ(outcome.failure, c.failure);
    EXPECT_EQ(outcome.hold, c.hold);
    EXPECT_EQ(outcome.retry_after, c.wait);
    EXPECT_EQ(outcome.pauses_tenant, c.pauses);
    EXPECT_EQ(outcome.stops_tenant, c.stops);
    EXPECT_EQ(outcome.http_status, c.status);
    EXPECT_EQ(outcome.provider_code, c.code);
    EXPECT_FALSE(outcome.detail.empty());
    for (const OutcomeRow& row : OutcomeTable()) {
      if (reply.Fits(row)) {
        seen.insert(&row);
        break;
      }
    }
  }
  EXPECT_EQ(seen.size(), OutcomeTable().size()) << "a row of the table has no case here";
}

TEST(OutcomeTableTest, AStatusInNoRowMayMeanAnything) {
  for (const int status : {0, 99, 100, 101, 199, 402, 405, 409, 410, 418, 422, 505, 599, 999}) {
    SCOPED_TRACE(status);
    const Outcome outcome = OutcomeOf({.http_status = status}, kNow);
    EXPECT_EQ(outcome.kind, Kind::kUnknown);
    EXPECT_FALSE(outcome.pauses_tenant);
    EXPECT_FALSE(outcome.stops_tenant);
  }
}

TEST(OutcomeTableTest, TheWholeOfARangeIsMeant) {
  for (const int status : {200, 201, 202, 204, 299})
    EXPECT_EQ(OutcomeOf({.http_status = status}, kNow).kind, Kind::kAccepted) << status;
  for (const int status : {300, 301, 307, 308, 399})
    EXPECT_EQ(OutcomeOf({.http_status = status}, kNow).kind, Kind::kRejected) << status;
}

TEST(OutcomeTableTest, NoReplyIsNotSentOnlyWhenNothingLeft) {
  const Outcome nothing_left = OutcomeWithoutReply(false, "no connection");
  EXPECT_EQ(nothing_left.kind, Kind::kNotSent);
  EXPECT_EQ(nothing_left.hold, Hold::kBackoff);
  EXPECT_EQ(nothing_left.detail, "no connection");
  const Outcome perhaps = OutcomeWithoutReply(true, "no answer in time");
  EXPECT_EQ(perhaps.kind, Kind::kUnknown);
  EXPECT_EQ(perhaps.hold, Hold::kNone);
}

TEST(OutcomeTableTest, TheProvidersWaitWinsWhenItCanBeRead) {
  struct Case {
    int status;
    const char* code;
    const char* header;
    std::chrono::seconds wait;
  };
  const Case cases[] = {
      {429, "", "42", 42s},
      {429, "", "0", 1s},
      {429, "", "-5", 1s},
      {429, "", "soon", 1s},
      {429, "", "99999999999999999999999", kMaxRetryAfter},
      {429, "", "Fri, 27 Oct 2023 14:33:15 GMT", 60s},
      {409, "organization.outbound.usage.limit.exceeded", "7200", 7200s},
      {500, "", "42", 0s},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::Message() << c.status << " Retry-After: " << c.header);
    const Outcome outcome =
        OutcomeOf({.http_status = c.status, .code = c.code, .retry_after = c.header}, kNow);
    EXPECT_EQ(outcome.retry_after, c.wait);
  }
}

TEST(ParseRetryAfterTest, Table) {
  struct Case {
    const char* name;
    const char* header;
    std::optional<std::chrono::seconds> wait;
  };
  const Case cases[] = {
      {"seconds", "42", 42s},
      {"zero", "0", 0s},
      {"surrounding blanks", " 7\t", 7s},
      {"leading zeros", "007", 7s},
      {"a day", "86400", 24h},
      {"more than a day", "86401", 24h},
      {"absurd", "184467440737095516160000000", 24h},
      {"empty", "", std::nullopt},
      {"negative", "-1", std::nullopt},
      {"signed", "+1", std::nullopt},
      {"fraction", "1.5", std::nullopt},
      {"hexadecimal", "0x10", std::nullopt},
      {"words", "a while", std::nullopt},
      {"infinite", "infinite-future", std::nullopt},
      {"date", "Fri, 27 Oct 2023 14:32:45 GMT", 30s},
      {"date of the old form", "Friday, 27-Oct-23 14:32:45 GMT", 30s},
      {"date by asctime", "Fri Oct 27 14:32:45 2023", 30s},
      {"date in the past", "Fri, 27 Oct 2023 14:32:00 GMT", 0s},
      {"date far ahead", "Fri, 27 Oct 2090 14:32:45 GMT", 24h},
      {"date that is none", "Fri, 47 Oct 2023 14:32:45 GMT", std::nullopt},
  };
  for (const Case& c : cases) EXPECT_EQ(ParseRetryAfter(c.header, kNow), c.wait) << c.name;
}

TEST(ParseRetryAfterTest, NeverEarlierThanTheNamedSecond) {
  EXPECT_EQ(ParseRetryAfter("Fri, 27 Oct 2023 14:32:45 GMT", kNow + 1ms), 30s);
}

TEST(CleanCodeTest, KeepsCodesAndNothingElse) {
  EXPECT_EQ(CleanCode("too.many.requests.retry.after"), "too.many.requests.retry.after");
  EXPECT_EQ(CleanCode("DEST_ADDR_INVALID"), "DEST_ADDR_INVALID");
  EXPECT_EQ(CleanCode("+15551234567"), "");
  EXPECT_EQ(CleanCode("two words"), "");
  EXPECT_EQ(CleanCode("line\nbreak"), "");
  EXPECT_EQ(CleanCode(std::string(129, 'a')), "");
}

}  // namespace
}  // namespace postrider
