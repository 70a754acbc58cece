#include "server/policy/recipient_zones.h"

#include <set>
#include <string>

#include "absl/time/time.h"
#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(RecipientZonesTest, TheLongestPrefixThatIsKnownSaysWhere) {
  const struct {
    const char* what;
    const char* number;
    std::vector<std::string_view> zones;
    std::string_view region;
  } kCases[] = {
      {"an area code", "+12125550123", {"America/New_York"}, "US-NY"},
      {"one without daylight saving", "+16025550123", {"America/Phoenix"}, "US-AZ"},
      {"one of two zones", "+12083950123", {"America/Boise", "America/Los_Angeles"}, "US-ID"},
      {"its exchange tells which", "+12082450123", {"America/Los_Angeles"}, "US-ID"},
      {"a Canadian one", "+14165550123", {"America/Toronto"}, "CA-ON"},
      {"one of several provinces", "+19025550123", {"America/Halifax"}, "CA"},
      {"another country of +1", "+12425550123", {"America/Nassau"}, ""},
      {"a territory", "+16715550123", {"Pacific/Guam"}, "US-GU"},
      {"another country", "+4915112345678", {"Europe/Berlin"}, ""},
      {"one that was renamed", "+919812345678", {"Asia/Kolkata"}, ""},
      {"no such country", "+9991234567", {}, ""},
      {"not E.164", "15551234567", {}, ""},
      {"nothing", "", {}, ""},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.what);
    const RecipientPlace place = PlaceOf(c.number);
    EXPECT_EQ(place.zones, c.zones);
    EXPECT_EQ(place.region, c.region);
  }
}

TEST(RecipientZonesTest, ATollFreeNumberMayBeAnywhereInItsCountries) {
  const RecipientPlace place = PlaceOf("+18005550123");
  EXPECT_GT(place.zones.size(), 30U);
  EXPECT_EQ(place.region, "US");
}

TEST(RecipientZonesTest, EveryZoneOfTheTableIsOneOfThisMachines) {
  // All prefixes of up to four digits name all countries and area codes.
  std::set<std::string> names;
  for (int prefix = 1; prefix < 10'000; ++prefix) {
    for (const std::string_view zone : PlaceOf("+" + std::to_string(prefix)).zones) {
      names.emplace(zone);
    }
  }
  EXPECT_GT(names.size(), 200U);
  for (const std::string& name : names) {
    absl::TimeZone zone;
    EXPECT_TRUE(absl::LoadTimeZone(name, &zone)) << name;
  }
}

}  // namespace
}  // namespace postrider
