#include "client/cli/output.h"

#include <sstream>

#include <gtest/gtest.h>

#include "client/cli/progress.h"

namespace postrider::cli {
namespace {

using namespace std::chrono_literals;

TEST(TableTest, ColumnsAreAlignedByCharactersAndTheLastIsRagged) {
  Table table({"NAME", "STATE", "NOTE"});
  table.Add({"Zoë", "SENT", "a"});
  table.Add({"x", "DELIVERED", ""});
  std::ostringstream out;
  table.Print(out, /*colour=*/false);
  EXPECT_EQ(out.str(),
            "NAME  STATE      NOTE\n"
            "Zoë   SENT       a\n"
            "x     DELIVERED\n");
}

TEST(TableTest, ColoursDoNotCountAsWidth) {
  Table table({"STATE", "N"});
  table.Add({"FAILED", "1"});
  std::ostringstream out;
  table.Print(out, /*colour=*/true);
  EXPECT_EQ(out.str(),
            "\033[1mSTATE\033[0m   \033[1mN\033[0m\n"
            "\033[31mFAILED\033[0m  1\n");
}

TEST(TableTest, AValueCannotSteerTheTerminal) {
  Table table({"TEXT"});
  table.Add({"\033]0;title\a"});
  std::ostringstream out;
  table.Print(out, false);
  EXPECT_EQ(out.str(), "TEXT\n?]0;title?\n");
}

TEST(OutputTest, JsonHasTheProtosNamesAndEveryField) {
  v1::GetStatusResponse response;
  response.mutable_message()->set_message_id("m");
  const std::string line = JsonOf(response, Output::kJsonl);
  EXPECT_NE(line.find("\"message_id\":\"m\""), std::string::npos) << line;
  EXPECT_NE(line.find("\"history\":[]"), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_NE(JsonOf(response, Output::kJson).find("\n "), std::string::npos);
}

TEST(OutputTest, NamesOfKnownAndUnknownValues) {
  EXPECT_EQ(StateName(v1::MESSAGE_STATE_DELIVERED), "DELIVERED");
  EXPECT_EQ(StateName(static_cast<v1::MessageState>(99)), "99");
  EXPECT_EQ(CauseName(v1::CAUSE_OWNER_DIED), "OWNER_DIED");
  EXPECT_EQ(OutcomeName(v1::ATTEMPT_OUTCOME_UNSPECIFIED), "UNDER_WAY");
}

TEST(OutputTest, TimesAreUtcWithMilliseconds) {
  google::protobuf::Timestamp time;
  EXPECT_EQ(TimeText(time), "");
  time.set_seconds(7);
  EXPECT_EQ(TimeText(time), "1970-01-01T00:00:07.000Z");
  time.set_nanos(45'999'999);
  EXPECT_EQ(TimeText(time), "1970-01-01T00:00:07.045Z");
}

TEST(OutputTest, DetailTellsFailureHoldAndFinality) {
  v1::StatusChange failed;
  failed.set_final(true);
  failed.set_provider_code("30003");
  failed.mutable_failure()->set_reason(v1::FAILURE_REASON_UNREACHABLE);
  failed.mutable_failure()->set_correlation_id("c-1");
  EXPECT_EQ(DetailOf(failed), "UNREACHABLE, correlation c-1, 30003, final");
  v1::StatusChange held;
  held.mutable_hold()->set_reason(v1::HOLD_REASON_RETRY_AFTER);
  held.mutable_hold()->mutable_until()->set_seconds(7);
  EXPECT_EQ(DetailOf(held), "waits for RETRY_AFTER until 1970-01-01T00:00:07.000Z");
}

TEST(ProgressTest, TextTable) {
  struct Case {
    const char* name;
    std::uint64_t done;
    std::optional<double> fraction;
    std::chrono::milliseconds elapsed;
    const char* text;
  };
  const Case cases[] = {
      {"at the start", 0, 0.0, 0ms, "0 sent"},
      {"of unknown length", 1500, std::nullopt, 1000ms, "1,500 sent, 1,500/s"},
      {"seconds left", 1000, 0.5, 10'000ms, "1,000 sent, 100/s, 50 %, 10 s left"},
      {"minutes left", 1000, 0.1, 60'000ms, "1,000 sent, 16/s, 10 %, 9 min left"},
      {"hours left", 1'000'000, 0.01, 600'000ms, "1,000,000 sent, 1,666/s, 1 %, 17 h left"},
      {"the end", 10, 1.0, 1000ms, "10 sent, 10/s, 100 %, 0 s left"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ProgressText("sent", c.done, c.fraction, c.elapsed), c.text) << c.name;
  }
}

}  // namespace
}  // namespace postrider::cli
