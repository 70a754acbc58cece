#include "server/policy/quiet_hours.h"

#include <random>
#include <string>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/policy/recipient_zones.h"

namespace postrider {
namespace {

constexpr auto kMarketing = CampaignClass::kMarketing;

WallTime At(const std::string& text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, text, &time, &error)) << text << error;
  return WallTime(absl::ToChronoTime(time));
}

std::string Show(std::optional<WallTime> time) {
  if (!time) return "never";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", absl::FromChrono(*time), absl::UTCTimeZone());
}

std::string Next(const QuietSetting& setting, const std::string& number, const std::string& zone,
                 const std::string& at, CampaignClass of = kMarketing) {
  return Show(NextAllowed({.rules = BuiltInQuietRules(),
                           .setting = setting,
                           .campaign_class = of,
                           .recipient = number,
                           .time_zone = zone},
                          At(at)));
}

constexpr const char* kNewYork = "+12125550123";
constexpr const char* kPhoenix = "+16025550123";
constexpr const char* kIdaho = "+12083950123";  // Of two zones.
constexpr const char* kBerlin = "+4915112345678";
constexpr const char* kNowhere = "+9991234567";

TEST(QuietHoursTest, TheLawsHoursByZoneAndStateTable) {
  const struct {
    const char* what;
    const char* number;
    const char* zone;
    const char* at;
    const char* next;
  } kCases[] = {
      {"noon", kNewYork, "", "2026-01-10T17:00:00Z", "2026-01-10T17:00:00Z"},
      {"the last second", kNewYork, "", "2026-01-10T01:59:59Z", "2026-01-10T01:59:59Z"},
      {"nine in the evening", kNewYork, "", "2026-01-10T02:00:00Z", "2026-01-10T13:00:00Z"},
      {"the last quiet moment", kNewYork, "", "2026-01-10T12:59:59.5Z", "2026-01-10T13:00:00Z"},
      {"eight in the morning", kNewYork, "", "2026-01-10T13:00:00Z", "2026-01-10T13:00:00Z"},
      {"clocks go forward in the night", kNewYork, "", "2026-03-08T03:00:00Z",
       "2026-03-08T12:00:00Z"},
      {"clocks go back in the night", kNewYork, "", "2026-11-01T02:00:00Z", "2026-11-01T13:00:00Z"},
      {"in summer", kNewYork, "", "2026-07-02T01:00:00Z", "2026-07-02T12:00:00Z"},
      {"where clocks never change", kPhoenix, "", "2026-07-02T05:00:00Z", "2026-07-02T15:00:00Z"},
      {"Florida ends earlier", "+13055550123", "", "2026-07-02T00:30:00Z", "2026-07-02T12:00:00Z"},
      {"Texas begins at noon on Sunday", "+12145550123", "", "2026-07-05T15:00:00Z",
       "2026-07-05T17:00:00Z"},
      {"and at nine on Monday", "+12145550123", "", "2026-07-06T02:30:00Z", "2026-07-06T14:00:00Z"},
      {"Alabama has no Sunday", "+12055550123", "", "2026-07-05T01:30:00Z", "2026-07-06T13:00:00Z"},
      {"Rhode Island's Saturday", "+14015550123", "", "2026-07-03T22:00:00Z",
       "2026-07-04T14:00:00Z"},
      {"two zones: the later morning", kIdaho, "", "2026-07-02T14:30:00Z", "2026-07-02T15:00:00Z"},
      {"two zones: the earlier evening", kIdaho, "", "2026-07-02T03:30:00Z",
       "2026-07-02T15:00:00Z"},
      {"who knows better", kIdaho, "America/Boise", "2026-07-02T14:30:00Z", "2026-07-02T14:30:00Z"},
      {"who has moved", kNewYork, "America/Los_Angeles", "2026-07-02T04:30:00Z",
       "2026-07-02T15:00:00Z"},
      {"the state's rules go along", "+13055550123", "America/Los_Angeles", "2026-07-02T03:30:00Z",
       "2026-07-02T15:00:00Z"},
      {"a zone that nobody knows", kNewYork, "Mars/Olympus", "2026-01-10T02:00:00Z",
       "2026-01-10T13:00:00Z"},
      {"a territory", "+16715550123", "", "2026-07-02T12:00:00Z", "2026-07-02T22:00:00Z"},
      {"Canada has none", "+14165550123", "", "2026-07-02T07:00:00Z", "2026-07-02T07:00:00Z"},
      {"nor has Germany", kBerlin, "", "2026-07-02T01:00:00Z", "2026-07-02T01:00:00Z"},
      {"nor nowhere", kNowhere, "", "2026-07-02T01:00:00Z", "2026-07-02T01:00:00Z"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Next({}, c.number, c.zone, c.at), c.next) << c.what;
  }
}

TEST(QuietHoursTest, ATenantsOwnHoursTable) {
  const struct {
    const char* what;
    const char* own;
    const char* default_zone;
    const char* number;
    const char* at;
    const char* next;
  } kCases[] = {
      {"over midnight, before it", "21:00-08:00", "", kBerlin, "2026-07-01T20:00:00Z",
       "2026-07-02T06:00:00Z"},
      {"over midnight, after it", "21:00-08:00", "", kBerlin, "2026-07-02T01:00:00Z",
       "2026-07-02T06:00:00Z"},
      {"by day", "21:00-08:00", "", kBerlin, "2026-07-02T10:00:00Z", "2026-07-02T10:00:00Z"},
      {"within a day", "12:00-14:00", "", kBerlin, "2026-07-02T10:30:00Z", "2026-07-02T12:00:00Z"},
      {"to midnight", "20:00-24:00", "", kBerlin, "2026-07-02T19:00:00Z", "2026-07-02T22:00:00Z"},
      {"from midnight", "00:00-08:00", "", kBerlin, "2026-07-01T22:00:00Z", "2026-07-02T06:00:00Z"},
      {"the stricter counts: own", "18:00-10:00", "", kNewYork, "2026-01-10T13:00:00Z",
       "2026-01-10T15:00:00Z"},
      {"the stricter counts: law", "23:00-06:00", "", kNewYork, "2026-01-10T12:00:00Z",
       "2026-01-10T13:00:00Z"},
      {"nothing known: default zone", "21:00-08:00", "Asia/Tokyo", kNowhere, "2026-07-01T13:00:00Z",
       "2026-07-01T23:00:00Z"},
      {"nothing known at all: UTC", "21:00-08:00", "", kNowhere, "2026-07-01T22:00:00Z",
       "2026-07-02T08:00:00Z"},
      {"what is known goes before it", "21:00-08:00", "Asia/Tokyo", kBerlin, "2026-07-01T20:00:00Z",
       "2026-07-02T06:00:00Z"},
      // Berlin: 02:00 becomes 03:00 at 2026-03-29T01:00Z, 03:00 becomes 02:00 at 2026-10-25T01:00Z.
      {"the end is left out", "22:00-02:30", "", kBerlin, "2026-03-29T00:30:00Z",
       "2026-03-29T01:00:00Z"},
      {"the beginning is left out", "02:30-08:00", "", kBerlin, "2026-03-29T01:00:00Z",
       "2026-03-29T06:00:00Z"},
      {"the end comes twice: first", "22:00-02:30", "", kBerlin, "2026-10-25T00:15:00Z",
       "2026-10-25T00:30:00Z"},
      {"between both", "22:00-02:30", "", kBerlin, "2026-10-25T00:45:00Z", "2026-10-25T00:45:00Z"},
      {"the end comes twice: again", "22:00-02:30", "", kBerlin, "2026-10-25T01:10:00Z",
       "2026-10-25T01:30:00Z"},
      {"no common hour", "00:00-21:00", "", kNewYork, "2026-01-10T13:00:00Z", "never"},
  };
  for (const auto& c : kCases) {
    QuietSetting setting;
    setting.own = ParseHourSpan(c.own);
    ASSERT_TRUE(setting.own) << c.own;
    setting.default_zone = c.default_zone;
    EXPECT_EQ(Next(setting, c.number, "", c.at), c.next) << c.what;
  }
}

TEST(QuietHoursTest, OnlyMarketingIsBoundAndOnlyWhereTheyAreOn) {
  const char* const night = "2026-01-10T05:00:00Z";
  EXPECT_EQ(Next({}, kNewYork, "", night), "2026-01-10T13:00:00Z");
  EXPECT_EQ(Next({}, kNewYork, "", night, CampaignClass::kTransactional), night);
  EXPECT_EQ(Next({}, kNewYork, "", night, CampaignClass::kOneTimeCode), night);
  EXPECT_EQ(Next({.on = false}, kNewYork, "", night), night);
}

/// Whether each zone's clock shows an hour in which each rule allows it, written down once more.
bool AllowedByTheClock(const std::vector<WeekHours>& rules, const std::vector<std::string>& names,
                       absl::Time at) {
  for (const std::string& name : names) {
    absl::TimeZone zone;
    EXPECT_TRUE(absl::LoadTimeZone(name, &zone));
    const absl::CivilSecond local = zone.At(at).cs;
    const auto day = static_cast<std::size_t>(absl::GetWeekday(local));
    for (const WeekHours& rule : rules) {
      const HourSpan& span = rule[day];
      const int minute = local.hour() * 60 + local.minute();
      const bool inside =
          span.from_min < span.to_min
              ? minute >= span.from_min && minute < span.to_min
              : span.from_min > span.to_min && (minute >= span.from_min || minute < span.to_min);
      if (!inside) return false;
    }
  }
  return true;
}

TEST(QuietHoursTest, ByChanceItIsWhatTheClockShowsMinuteByMinute) {
  // Days around changes of clocks, one of half an hour, and one that was left out.
  const struct {
    std::vector<std::string> zones;
    const char* number;  ///< That is in these zones.
    const char* day;
  } kPlaces[] = {
      {{"America/New_York"}, kNowhere, "2026-03-07T00:00:00Z"},
      {{"America/New_York"}, kNowhere, "2026-10-31T00:00:00Z"},
      {{"Australia/Lord_Howe"}, kNowhere, "2026-04-03T00:00:00Z"},
      {{"Australia/Lord_Howe"}, kNowhere, "2026-10-02T00:00:00Z"},
      {{"Pacific/Apia"}, kNowhere, "2011-12-28T00:00:00Z"},
      {{"America/Havana"}, kNowhere, "2026-10-31T00:00:00Z"},  // At midnight.
      {{"Africa/Cairo"}, kNowhere, "2026-10-28T00:00:00Z"},
  };
  std::mt19937 random(20'261'128);
  const auto up_to = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  for (const auto& place : kPlaces) {
    for (int round = 0; round < 40; ++round) {
      QuietSetting setting;
      setting.own = HourSpan{up_to(47) * 30, up_to(48) * 30};
      setting.default_zone = place.zones.front();
      WeekHours own;
      own.fill({setting.own->to_min, setting.own->from_min});
      WeekHours by_day;
      for (HourSpan& span : by_day) {
        const int from = up_to(40) * 30;
        span = up_to(3) == 0 ? HourSpan{} : HourSpan{from, from + 30 + up_to(7) * 30};
      }
      // Rules are of +1 only: the rest is judged by the own hours alone.
      QuietRules rules;
      rules.hours[{"", kMarketing}] = by_day;
      const absl::Time from = absl::FromChrono(At(place.day)) + absl::Minutes(up_to(3000));
      absl::Time expected = from;
      const absl::Time until = from + absl::FromChrono(kQuietSearch);
      while (expected < until && !AllowedByTheClock({own, by_day}, place.zones, expected)) {
        expected += absl::Minutes(1);
      }
      const std::optional<WallTime> next = NextAllowed({.rules = rules,
                                                        .setting = setting,
                                                        .campaign_class = kMarketing,
                                                        .recipient = place.number,
                                                        .time_zone = place.zones.front()},
                                                       WallTime(absl::ToChronoTime(from)));
      const std::string shown =
          expected < until ? Show(WallTime(absl::ToChronoTime(expected))) : "never";
      EXPECT_EQ(Show(next), shown) << place.zones.front() << " own " << TextOf(*setting.own)
                                   << " from " << Show(WallTime(absl::ToChronoTime(from)));
    }
  }
}

TEST(QuietHoursTest, ATollFreeNumberLeavesWhenItIsDayEverywhere) {
  const std::optional<WallTime> next = NextAllowed({.rules = BuiltInQuietRules(),
                                                    .setting = {},
                                                    .campaign_class = kMarketing,
                                                    .recipient = "+18005550123",
                                                    .time_zone = ""},
                                                   At("2026-07-02T12:00:00Z"));
  ASSERT_TRUE(next);
  WeekHours day;
  day.fill({8 * 60, 21 * 60});
  std::vector<std::string> zones;
  for (const std::string_view zone : PlaceOf("+18005550123").zones) zones.emplace_back(zone);
  EXPECT_TRUE(AllowedByTheClock({day}, zones, absl::FromChrono(*next))) << Show(next);
  EXPECT_FALSE(AllowedByTheClock({day}, zones, absl::FromChrono(*next) - absl::Seconds(1)));
}

TEST(QuietRulesTest, TheBuiltInOnesNameTheCountryAndStricterStates) {
  const QuietRules& rules = BuiltInQuietRules();
  const WeekHours& country = rules.hours.at({"US", kMarketing});
  for (const HourSpan& day : country) EXPECT_EQ(day, (HourSpan{8 * 60, 21 * 60}));
  for (const auto& [of, week] : rules.hours) {
    EXPECT_TRUE(of.first.starts_with("US")) << of.first;
    EXPECT_EQ(of.second, kMarketing);
  }
  EXPECT_GE(rules.hours.size(), 10U);
}

TEST(QuietRulesTest, WhatIsNoRuleIsNamedByItsLineTable) {
  const struct {
    const char* text;
    const char* error;
  } kCases[] = {
      {"US marketing mon-sun 08:00 21:00", "line 1: must be"},
      {"# a comment\n\nUS mail mon-sun 08:00 21:00 x", "line 3: the class"},
      {"US marketing sun-mon 08:00 21:00 x", "line 1: the weekdays"},
      {"US marketing mon,dienstag 08:00 21:00 x", "line 1: the weekdays"},
      {"US marketing mon 8:00 21:00 x", "line 1: the hours"},
      {"US marketing mon 08:60 21:00 x", "line 1: the hours"},
      {"US marketing mon 08:00 24:01 x", "line 1: the hours"},
      {"US marketing mon 21:00 08:00 x", "line 1: the hours"},
      {"US marketing mon-sun 08:00 21:00 x\nUS marketing sun 09:00 21:00 x",
       "line 2: a second rule for sun"},
  };
  for (const auto& c : kCases) {
    const auto rules = ParseQuietRules(c.text);
    ASSERT_FALSE(rules.ok()) << c.text;
    EXPECT_TRUE(ToStd(rules.status().message()).starts_with(c.error)) << rules.status();
  }
  const auto rules = ParseQuietRules("US one-time-code mon,wed-thu 08:00 24:00 by nobody\n");
  ASSERT_TRUE(rules.ok());
  const WeekHours& week = rules->hours.at({"US", CampaignClass::kOneTimeCode});
  EXPECT_EQ(week[0], (HourSpan{480, 1440}));
  EXPECT_EQ(week[1], HourSpan{});
  EXPECT_EQ(week[3], (HourSpan{480, 1440}));
}

TEST(HourSpanTest, IsReadAndWrittenTable) {
  for (const char* const text : {"21:00-08:00", "00:00-06:30", "12:15-24:00", "23:59-00:00"}) {
    const auto span = ParseHourSpan(text);
    ASSERT_TRUE(span) << text;
    EXPECT_EQ(TextOf(*span), text);
  }
  EXPECT_EQ(ParseHourSpan("24:00-08:00"), (HourSpan{0, 480}));
  for (const char* const text : {"", "21:00", "21-08", "21:00-8:00", "21:00-08:00 ", "25:00-08:00",
                                 "21:00-24:30", "00:00-24:00", "08:00-08:00", "-1:00-08:00"}) {
    EXPECT_FALSE(ParseHourSpan(text)) << text;
  }
}

// The built-in rules' answers are remembered; a copy's are not.
TEST(QuietHoursTest, WhatIsRememberedIsWhatIsFound) {
  const QuietRules copy = BuiltInQuietRules();
  std::mt19937 engine(3);
  const auto below = [&engine](unsigned most) { return static_cast<int>(engine() % most); };
  const char* const numbers[] = {"+12125550001", "+13055550001", "+15551234567", "+18005550001",
                                 "+4915112345678"};
  const char* const zones[] = {"", "", "", "America/Phoenix"};
  const WallTime start = WallTime(std::chrono::hours(24 * 365 * 56));
  for (int i = 0; i < 20000; ++i) {
    QuietSetting setting;
    if (below(3) == 0) setting.own = HourSpan{below(2) * 60, 600};
    const std::string_view number = numbers[below(5)];
    const std::string_view zone = zones[below(4)];
    // Few moments, so that many are asked again; with the seconds that a clock has.
    const WallTime at =
        start + std::chrono::minutes(below(40) * 61) + std::chrono::milliseconds(below(60'000));
    const auto ask = [&](const QuietRules& rules) {
      return NextAllowed({.rules = rules,
                          .setting = setting,
                          .campaign_class = CampaignClass::kMarketing,
                          .recipient = number,
                          .time_zone = zone},
                         at);
    };
    ASSERT_EQ(ask(BuiltInQuietRules()), ask(copy)) << i << " " << number;
  }
}

}  // namespace
}  // namespace postrider
