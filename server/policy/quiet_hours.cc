#include "server/policy/quiet_hours.h"

#include <algorithm>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"

#include "server/model/limits.h"
#include "server/policy/recipient_zones.h"

namespace postrider {

namespace {

/// All of them must allow.
using AllHours = std::vector<WeekHours>;

const HourSpan& OfDay(const WeekHours& hours, absl::CivilDay day) {
  return hours[static_cast<std::size_t>(absl::GetWeekday(day))];
}

bool AllowedAt(const AllHours& all, absl::TimeZone zone, absl::Time at) {
  const absl::CivilSecond local = zone.At(at).cs;
  const int minute = local.hour() * 60 + local.minute();
  return std::all_of(all.begin(), all.end(), [&](const WeekHours& hours) {
    return OfDay(hours, absl::CivilDay(local)).Contains(minute);
  });
}

/// The first time after `at` when AllowedAt may change: when the clock comes to an end of a span or
/// to midnight, or is put forward or back over one.
absl::Time NextEdge(const AllHours& all, absl::TimeZone zone, absl::Time at) {
  absl::Time next = absl::InfiniteFuture();
  const auto meet = [&](absl::CivilDay day, int minute) {
    const auto local = absl::CivilSecond(day) + minute * 60;
    const absl::TimeZone::TimeInfo times = zone.At(local);
    for (const absl::Time time : {times.pre, times.trans, times.post}) {
      if (time > at) next = std::min(next, time);
    }
  };
  const absl::CivilDay today(zone.At(at).cs);
  for (const absl::CivilDay day : {today, today + 1, today + 2}) {
    meet(day, 0);
    for (const WeekHours& hours : all) {
      meet(day, OfDay(hours, day).from_min);
      meet(day, OfDay(hours, day).to_min);
    }
  }
  return next;
}

absl::Time NextIn(const AllHours& all, absl::TimeZone zone, absl::Time at, absl::Time until) {
  while (at < until && !AllowedAt(all, zone, at)) at = NextEdge(all, zone, at);
  return at;
}

std::optional<absl::TimeZone> LoadZone(std::string_view name) {
  absl::TimeZone zone;
  if (name.empty() || !absl::LoadTimeZone(std::string(name), &zone)) return std::nullopt;
  return zone;
}

std::vector<absl::TimeZone> ZonesOf(const QuietQuestion& question, const RecipientPlace& place) {
  if (const auto told = LoadZone(question.time_zone)) return {*told};
  std::vector<absl::TimeZone> zones;
  for (const std::string_view name : place.zones) {
    if (const auto zone = LoadZone(name)) zones.push_back(*zone);
  }
  // Of a place that this machine cannot tell the time of nothing is said.
  if (!zones.empty() || !place.zones.empty()) return zones;
  return {LoadZone(question.setting.default_zone).value_or(absl::UTCTimeZone())};
}

AllHours HoursOf(const QuietQuestion& question, std::string_view region) {
  AllHours all;
  const auto add = [&](std::string_view name) {
    const auto found = question.rules.hours.find({std::string(name), question.campaign_class});
    if (found != question.rules.hours.end()) all.push_back(found->second);
  };
  const std::string_view country = region.substr(0, region.find('-'));
  add(country);
  if (country != region) add(region);
  if (const auto& quiet = question.setting.own) {
    WeekHours own;
    own.fill({quiet->to_min, quiet->from_min});
    all.push_back(own);
  }
  return all;
}

}  // namespace

std::optional<WallTime> NextAllowed(const QuietQuestion& question, WallTime at) {
  const bool bound = question.campaign_class == CampaignClass::kMarketing;
  if (!bound || !question.setting.on) return at;
  const RecipientPlace place = PlaceOf(question.recipient);
  const AllHours all = HoursOf(question, place.region);
  if (all.empty()) return at;
  const std::vector<absl::TimeZone> zones = ZonesOf(question, place);
  if (zones.empty()) return std::nullopt;
  const absl::Time from = absl::FromChrono(at);
  const absl::Time until = from + absl::FromChrono(kQuietSearch);
  for (absl::Time time = from; time < until;) {
    absl::Time all_allow = time;
    for (const absl::TimeZone zone : zones) all_allow = NextIn(all, zone, all_allow, until);
    // What is later for one may be quiet for those before it.
    if (all_allow == time) return time == from ? at : WallTime(absl::ToChronoTime(time));
    time = all_allow;
  }
  return std::nullopt;
}

}  // namespace postrider
