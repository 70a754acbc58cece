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

/// The first time from `from` on that all zones allow.
std::optional<absl::Time> Search(const QuietQuestion& question, const RecipientPlace& place,
                                 absl::Time from) {
  const AllHours all = HoursOf(question, place.region);
  if (all.empty()) return from;
  const std::vector<absl::TimeZone> zones = ZonesOf(question, place);
  if (zones.empty()) return std::nullopt;
  const absl::Time until = from + absl::FromChrono(kQuietSearch);
  for (absl::Time time = from; time < until;) {
    absl::Time all_allow = time;
    for (const absl::TimeZone zone : zones) all_allow = NextIn(all, zone, all_allow, until);
    // What is later for one may be quiet for those before it.
    if (all_allow == time) return time;
    time = all_allow;
  }
  return std::nullopt;
}

std::optional<WallTime> AtOrNext(std::optional<absl::Time> next, WallTime at) {
  if (!next) return std::nullopt;
  return *next == absl::FromChrono(at) ? at : WallTime(absl::ToChronoTime(*next));
}

/// What an answer of the built-in rules depends on: spans and changes of clocks are of whole
/// minutes, so within one minute it is the same.
struct Asked {
  std::optional<HourSpan> own;
  std::string_view region;
  std::vector<std::string_view> zones;
  std::string told;
  std::string otherwise;
  absl::Time minute;

  friend bool operator==(const Asked&, const Asked&) = default;
};

/// The last few answers of a thread.
class Answers {
 public:
  const std::optional<absl::Time>* Find(const Asked& asked) const {
    for (const auto& [known, answer] : kept_) {
      if (known == asked) return &answer;
    }
    return nullptr;
  }
  /// `next`: the minute itself when it is allowed.
  void Keep(Asked asked, std::optional<absl::Time> next) {
    if (kept_.size() < kMost) {
      kept_.emplace_back(std::move(asked), next);
    } else {
      kept_[oldest_++ % kMost] = {std::move(asked), next};
    }
  }

 private:
  static constexpr std::size_t kMost = 16;
  std::vector<std::pair<Asked, std::optional<absl::Time>>> kept_;
  std::size_t oldest_ = 0;
};

}  // namespace

std::optional<WallTime> NextAllowed(const QuietQuestion& question, WallTime at) {
  const bool bound = question.campaign_class == CampaignClass::kMarketing;
  if (!bound || !question.setting.on) return at;
  const RecipientPlace place = PlaceOf(question.recipient);
  const absl::Time from = absl::FromChrono(at);
  if (&question.rules != &BuiltInQuietRules()) return AtOrNext(Search(question, place, from), at);
  // A campaign asks the same thousands of times a minute, and some codes may be in 42 zones.
  thread_local Answers answers;
  const absl::Time minute =
      absl::UnixEpoch() + absl::Floor(from - absl::UnixEpoch(), absl::Minutes(1));
  const Asked asked{
      question.setting.own,          place.region, place.zones, std::string(question.time_zone),
      question.setting.default_zone, minute};
  if (const auto* known = answers.Find(asked)) {
    const bool allowed = *known && **known == minute;
    return allowed ? at : AtOrNext(*known, at);
  }
  const std::optional<absl::Time> next = Search(question, place, from);
  answers.Keep(asked, next == from ? minute : next);
  return AtOrNext(next, at);
}

}  // namespace postrider
