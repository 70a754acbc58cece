#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "server/base/clock.h"
#include "server/model/campaign.h"
#include "server/model/quiet.h"

namespace postrider {

/// Local hours in which messages may leave, Monday first; an empty span: not on that day.
using WeekHours = std::array<HourSpan, 7>;

/// Hours by law: of regions ("US", "US-FL") for classes of campaigns. Who is not in it is free.
struct QuietRules {
  std::map<std::pair<std::string, CampaignClass>, WeekHours> hours;
};

/// Reads rules as policy/quiet_rules.txt has them, which says how. INVALID_ARGUMENT with the line's
/// number: what is no rule, or a second one for a day.
absl::StatusOr<QuietRules> ParseQuietRules(std::string_view text);

/// policy/quiet_rules.txt as it was compiled in.
const QuietRules& BuiltInQuietRules();

/// "21:00-08:00", also over midnight; 24:00 is the end of a day. Nothing when it is not such, or
/// says no time or all day.
std::optional<HourSpan> ParseHourSpan(std::string_view text);
/// The same back.
std::string TextOf(const HourSpan& span);

/// "transactional", "marketing", "one-time-code": as operators write it.
std::string_view WordOf(CampaignClass campaign_class);
/// The same back; nothing when it is none of them.
std::optional<CampaignClass> ParseCampaignClass(std::string_view word);

/// What decides whether a message may leave.
struct QuietQuestion {
  const QuietRules& rules;
  const QuietSetting& setting;
  CampaignClass campaign_class = CampaignClass::kTransactional;
  std::string_view recipient;  ///< E.164
  std::string_view time_zone;  ///< The caller's word where the recipient is; empty: none.
};

/// The first time from `at` on when the message may leave: `at` itself unless hours are quiet then.
/// Nothing when there is none within kQuietSearch. Pure.
///
/// Quiet hours bind marketing only. They go by the caller's zone, else by all zones that the number
/// may be in, each of which must allow, else by the tenant's default zone. Hours of all rules count
/// together: the country's, the state's (by the area code, whatever the zone), and the tenant's.
/// Exact to the second over changes of the clock: a local time that comes twice counts both times,
/// one that is left out not at all. Zones that this machine does not know are passed over. Source:
/// the time zone database of the machine.
std::optional<WallTime> NextAllowed(const QuietQuestion& question, WallTime at);

}  // namespace postrider
