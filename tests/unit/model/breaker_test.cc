#include "server/model/breaker.h"

#include <gtest/gtest.h>

#include "server/model/dispatch_limits.h"

namespace postrider {
namespace {

using Kind = OutcomeKind;
using State = MessageState;
using Verdict = BreakerVerdict;

TEST(BreakerVerdictTest, OfThePostsEnd) {
  struct Case {
    const char* name;
    Kind kind;
    int http_status;
    Verdict verdict;
    bool pauses_tenant = false;
    bool stops_tenant = false;
  };
  const Case cases[] = {
      {"accepted", Kind::kAccepted, 202, Verdict::kGood},
      {"refused for good: the way to it works", Kind::kRejected, 400, Verdict::kGood},
      {"500", Kind::kUnknown, 500, Verdict::kFailed},
      {"503", Kind::kUnknown, 503, Verdict::kFailed},
      {"timed out, or reset after the first byte", Kind::kUnknown, 0, Verdict::kFailed},
      {"no connection", Kind::kNotSent, 0, Verdict::kFailed},
      {"503 of the edge", Kind::kNotSent, 503, Verdict::kFailed},
      {"429", Kind::kNotSent, 429, Verdict::kNothing, true},
      {"429 by its number alone", Kind::kNotSent, 429, Verdict::kNothing},
      {"401", Kind::kNotSent, 401, Verdict::kNothing, false, true},
      {"403", Kind::kRejected, 403, Verdict::kNothing, false, true},
      {"no account", Kind::kNotSent, 0, Verdict::kNothing, false, true},
      {"quota", Kind::kHeld, 409, Verdict::kNothing},
      {"never posted", Kind::kTakenBack, 0, Verdict::kNothing},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Outcome outcome;
    outcome.kind = c.kind;
    outcome.http_status = c.http_status;
    outcome.pauses_tenant = c.pauses_tenant;
    outcome.stops_tenant = c.stops_tenant;
    EXPECT_EQ(TransportVerdictOf(outcome), c.verdict);
  }
}

TEST(BreakerVerdictTest, OfAFinalStatus) {
  struct Case {
    const char* name;
    State state;
    FailureReason failure;
    Verdict verdict;
  };
  const Case cases[] = {
      {"delivered", State::kDelivered, FailureReason::kNone, Verdict::kGood},
      {"sent is not the end", State::kSent, FailureReason::kNone, Verdict::kNothing},
      {"rejected by Genesys", State::kRejected, FailureReason::kContent, Verdict::kNothing},
      {"carrier rejected", State::kFailed, FailureReason::kCarrierRejected, Verdict::kFailed},
      {"filtered", State::kFailed, FailureReason::kContent, Verdict::kFailed},
      {"unknown code", State::kFailed, FailureReason::kOther, Verdict::kFailed},
      {"landline", State::kFailed, FailureReason::kInvalidNumber, Verdict::kNothing},
      {"opted out", State::kFailed, FailureReason::kRecipientOptedOut, Verdict::kNothing},
      {"handset away", State::kFailed, FailureReason::kUnreachable, Verdict::kNothing},
      {"too fast", State::kFailed, FailureReason::kTooFast, Verdict::kNothing},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(CarrierVerdictOf(c.state, c.failure), c.verdict);
  }
}

TEST(BreakerVerdictTest, AMessageSpeaksOnceAndWhileItIsYoung) {
  const WallTime accepted = WallTime{} + std::chrono::hours(100);
  MessageStatus sent;
  sent.state = State::kSent;
  MessageStatus failed;
  failed.state = State::kFailed;
  failed.failure = FailureReason::kCarrierRejected;
  MessageStatus delivered;
  delivered.state = State::kDelivered;
  MessageStatus undetermined;
  undetermined.state = State::kUndetermined;
  undetermined.final = true;
  EXPECT_EQ(CarrierVerdictOf(sent, failed, accepted, accepted + 1s), Verdict::kFailed);
  EXPECT_EQ(CarrierVerdictOf(undetermined, failed, accepted, accepted + 1s), Verdict::kFailed);
  EXPECT_EQ(CarrierVerdictOf(delivered, failed, accepted, accepted + 1s), Verdict::kNothing);
  EXPECT_EQ(CarrierVerdictOf(sent, failed, accepted, accepted + kBreakerMessageAge),
            Verdict::kFailed);
  EXPECT_EQ(CarrierVerdictOf(sent, failed, accepted, accepted + kBreakerMessageAge + 1s),
            Verdict::kNothing);
}

}  // namespace
}  // namespace postrider
