// Quiet hours through the front door, with a window that lies around now.
#include "server/policy/quiet_hours.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/quiet.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"

namespace postrider {
namespace {

using google::protobuf::util::TimeUtil;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// In a country without hours by law.
constexpr const char* kAbroad = "+4915112345678";

int MinuteOfDayNow() {
  return static_cast<int>(TimeUtil::GetCurrentTime().seconds() / 60 % kMinutesOfDay);
}

/// "21:00-08:00": from so many minutes from now in UTC, for so many.
std::string Window(int from_in, int minutes) {
  const int from = (MinuteOfDayNow() + from_in + kMinutesOfDay) % kMinutesOfDay;
  return TextOf({from, (from + minutes) % kMinutesOfDay});
}

v1::SendMessageRequest Offer() {
  v1::SendMessageRequest request = RequestTo(kAbroad, "Two for one");
  request.set_time_zone("UTC");
  return request;
}

class QuietHoursTest : public ::testing::Test {
 protected:
  /// As `tenant put` has it; what is sent from then on is held, or not.
  CommandResult PutClinic(std::vector<std::string> flags) const {
    std::vector<std::string> arguments = {POSTRIDERD,
                                          "tenant",
                                          "put",
                                          "--name",
                                          "clinic",
                                          "--base-url",
                                          rig_.gateway.sandbox_url(),
                                          "--token-url",
                                          rig_.gateway.sandbox_url() + "/oauth/token",
                                          "--client-id",
                                          "clinic",
                                          "--client-secret-file",
                                          rig_.gateway.state_dir() + "/sandbox.secret",
                                          "--state-dir",
                                          rig_.gateway.state_dir()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return RunCommand(arguments);
  }
  v1::SendMessageResponse Sent(const v1::SendMessageRequest& request) {
    const auto sent = rig_.client().Send(request);
    EXPECT_TRUE(sent.ok()) << sent.status();
    return sent.ok() ? *sent : v1::SendMessageResponse();
  }

  /// From half an hour ago to an hour and a half from now: however slow the machine is.
  const std::string window_ = Window(-30, 120);
  Rig rig_{{.flags = {"--default-class", "marketing", "--quiet-hours", window_}}};
};

TEST_F(QuietHoursTest, MarketingIsHeldExplainedAndRefusedWhenItCannotFit) {
  const v1::Message held = Sent(Offer()).message();
  EXPECT_EQ(held.status().hold().reason(), v1::HOLD_REASON_QUIET_HOURS);
  const google::protobuf::Timestamp until = held.status().hold().until();
  EXPECT_EQ(until.seconds() % 60, 0);
  EXPECT_EQ(until.seconds() / 60 % kMinutesOfDay, ParseHourSpan(window_)->to_min);
  EXPECT_GT(until.seconds(), held.accepted_at().seconds());

  const auto stored = rig_.client().GetStatus(held.message_id());
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->message().status().hold().reason(), v1::HOLD_REASON_QUIET_HOURS);
  EXPECT_EQ(stored->message().status().hold().until().seconds(), until.seconds());
  const auto why = rig_.client().Explain(held.message_id());
  ASSERT_TRUE(why.ok()) << why.status();
  ASSERT_GE(why->gates_size(), 1);
  EXPECT_EQ(why->gates(0).kind(), v1::GATE_KIND_QUIET_HOURS);
  EXPECT_EQ(why->gates(0).until().seconds(), until.seconds());
  const CommandResult told =
      RunCommand({POSTRIDER, "explain", held.message_id(), "--address", rig_.gateway.grpc_address(),
                  "--token-file", rig_.gateway.token_file()});
  EXPECT_EQ(told.exit.status, 0) << told.err;
  EXPECT_THAT(told.out, HasSubstr("QUIET_HOURS"));
  EXPECT_EQ(rig_.sql.Text(StrCat("SELECT audit.hold_name(hold_reason) FROM message WHERE "
                                 "message_id = '",
                                 held.message_id(), "'")),
            "QUIET_HOURS");

  v1::SendMessageRequest brief = Offer();
  *brief.mutable_expire_at() = until;
  const auto refused = rig_.client().Send(brief);
  ASSERT_FALSE(refused.ok());
  const client::Error error = client::DecodeError(refused.status());
  EXPECT_EQ(error.code, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(error.reason, "QUIET_HOURS");
  google::protobuf::Timestamp next;
  ASSERT_TRUE(TimeUtil::FromString(error.metadata.at("next_allowed_at"), &next));
  EXPECT_EQ(next.seconds(), until.seconds());

  v1::SendMessageRequest looked = Offer();
  looked.set_validate_only(true);
  EXPECT_THAT(Sent(looked).warnings(0), HasSubstr("quiet hours"));

  // Where it is another time of day, it leaves at once; the held one has not.
  v1::SendMessageRequest elsewhere = Offer();
  elsewhere.set_time_zone("Asia/Tokyo");
  rig_.AwaitState(Sent(elsewhere).message().message_id(), v1::MESSAGE_STATE_DELIVERED);
  EXPECT_EQ(rig_.StateOf(held.message_id()), v1::MESSAGE_STATE_QUEUED);
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM attempt"), 1);
}

TEST_F(QuietHoursTest, WhatWaitedUntilTheyBeganIsTakenBack) {
  const auto admin = rig_.NewAdmin();
  ASSERT_TRUE(admin->Pause(PauseFor("until the evening")).ok());
  v1::SendMessageRequest elsewhere = Offer();
  elsewhere.set_time_zone("Asia/Tokyo");
  const std::string id = Sent(elsewhere).message().message_id();
  // The evening has come to where they live.
  rig_.sql.Ask("UPDATE message SET time_zone = 'UTC'");
  ASSERT_TRUE(admin->Resume(ResumeFor("it was long")).ok());
  EXPECT_TRUE(Await([&] {
    const auto stored = rig_.client().GetStatus(id);
    return stored.ok() && stored->message().status().hold().reason() == v1::HOLD_REASON_QUIET_HOURS;
  }));
  EXPECT_EQ(rig_.sql.Number("SELECT count(*) FROM attempt WHERE outcome = 6"), 1);
}

TEST_F(QuietHoursTest, PutSetsThemAndNamesWhatIsWrong) {
  EXPECT_EQ(PutClinic({"--quiet-hours", "21:00-08:00", "--quiet-zone", "Europe/Berlin",
                       "--default-class", "marketing"})
                .exit.status,
            0);
  CommandResult list =
      RunCommand({POSTRIDERD, "tenant", "list", "--state-dir", rig_.gateway.state_dir()});
  EXPECT_THAT(list.out,
              AllOf(HasSubstr("  quiet hours  the law's and 21:00-08:00, where nothing is known in "
                              "Europe/Berlin; messages are marketing\n"),
                    HasSubstr(StrCat("  quiet hours  the law's and ", window_))));
  EXPECT_EQ(PutClinic({"--quiet-hours", "off"}).exit.status, 0);
  EXPECT_EQ(rig_.sql.Text("SELECT concat_ws(' ', quiet_hours, quiet_from_min, quiet_zone, "
                          "default_class) FROM tenant WHERE name = 'clinic'"),
            "f Europe/Berlin 2")
      << "what is not given stays";
  EXPECT_EQ(PutClinic({"--quiet-hours", "22:00-07:00", "--opt-out-scope", "tenant"}).exit.status,
            0);
  EXPECT_EQ(PutClinic({"--rate", "2", "--quiet-zone", ""}).exit.status, 0);
  EXPECT_EQ(rig_.sql.Text("SELECT concat_ws(' ', quiet_hours, quiet_from_min, quiet_zone, "
                          "default_class, opt_out_scope) FROM tenant WHERE name = 'clinic'"),
            "t 1320  2 2");
  const struct {
    std::vector<std::string> flags;
    const char* says;
  } kCases[] = {
      {{"--quiet-hours", "at night"}, "--quiet-hours: must be law, off, or local times"},
      {{"--quiet-hours", "08:00-08:00"}, "--quiet-hours: must be"},
      {{"--quiet-zone", "Berlin"}, "--quiet-zone: must be an IANA time zone"},
      {{"--default-class", "mail"}, "--default-class: must be transactional, marketing"},
  };
  for (const auto& c : kCases) {
    const CommandResult refused = PutClinic(c.flags);
    EXPECT_EQ(refused.exit.status, 78) << c.says;
    EXPECT_THAT(refused.err, HasSubstr(c.says));
  }
}

}  // namespace
}  // namespace postrider
