#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "server/base/check.h"
#include "server/base/strings.h"
#include "server/policy/quiet_hours.h"
#include "server/policy/tables_embedded.h"

namespace postrider {

namespace {

constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/// hh:mm, in minutes.
std::optional<int> ParseMinute(std::string_view text) {
  int hours = 0;
  int minutes = 0;
  const auto read = [](std::string_view digits, int& number) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return digits.size() == 2 && error == std::errc() && end == digits.data() + digits.size();
  };
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  if (!read(text.substr(0, 2), hours) || !read(text.substr(3), minutes)) return std::nullopt;
  const int all = hours * 60 + minutes;
  if (hours < 0 || minutes < 0 || minutes > 59 || all > kMinutesOfDay) return std::nullopt;
  return all;
}

std::optional<std::size_t> ParseDay(std::string_view word) {
  const auto found = std::find(kDays.begin(), kDays.end(), word);
  if (found == kDays.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kDays.begin());
}

/// "mon-fri,sun": which days it names; empty when it is not such.
std::vector<std::size_t> ParseDays(const std::string& text) {
  std::vector<std::size_t> days;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(text, ','))) {
    const std::string_view range = part;
    const std::size_t dash = range.find('-');
    const auto first = ParseDay(range.substr(0, dash));
    const auto last = dash == range.npos ? first : ParseDay(range.substr(dash + 1));
    if (!first || !last || *last < *first) return {};
    for (std::size_t day = *first; day <= *last; ++day) days.push_back(day);
  }
  return days;
}

/// One line; what is wrong with it, or nothing.
std::optional<std::string> AddRule(const std::string& line, QuietRules& rules) {
  constexpr std::size_t kWords = 6;
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (words.size() < kWords) return "must be REGION CLASS WEEKDAYS FROM TO SOURCE";
  const auto of = ParseCampaignClass(words[1]);
  if (!of) return "the class must be transactional, marketing or one-time-code";
  const std::vector<std::size_t> days = ParseDays(words[2]);
  if (days.empty()) return "the weekdays must be such as mon-fri,sun";
  const auto from = ParseMinute(words[3]);
  const auto to = ParseMinute(words[4]);
  if (!from || !to || *from >= *to) return "the hours must be such as 08:00 21:00, of one day";
  WeekHours& week = rules.hours[{words[0], *of}];
  for (const std::size_t day : days) {
    if (week[day] != HourSpan{}) return StrCat("a second rule for ", kDays[day]);
    week[day] = {*from, *to};
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<QuietRules> ParseQuietRules(std::string_view text) {
  QuietRules rules;
  int number = 0;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(std::string(text), '\n'))) {
    ++number;
    if (line.empty() || line.front() == '#') continue;
    if (const auto wrong = AddRule(line, rules)) {
      return absl::InvalidArgumentError(StrCat("line ", number, ": ", *wrong));
    }
  }
  return rules;
}

const QuietRules& BuiltInQuietRules() {
  static const QuietRules& rules = *[] {
    absl::StatusOr<QuietRules> parsed = ParseQuietRules(kQuietRulesText);
    PR_CHECK(parsed.ok());
    return new QuietRules(*std::move(parsed));
  }();
  return rules;
}

std::string_view WordOf(CampaignClass campaign_class) {
  switch (campaign_class) {
    case CampaignClass::kTransactional:
      return "transactional";
    case CampaignClass::kMarketing:
      return "marketing";
    case CampaignClass::kOneTimeCode:
      return "one-time-code";
  }
  return "";
}

std::optional<CampaignClass> ParseCampaignClass(std::string_view word) {
  for (const CampaignClass campaign_class :
       {CampaignClass::kTransactional, CampaignClass::kMarketing, CampaignClass::kOneTimeCode}) {
    if (word == WordOf(campaign_class)) return campaign_class;
  }
  return std::nullopt;
}

std::optional<HourSpan> ParseHourSpan(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == text.npos) return std::nullopt;
  const auto from = ParseMinute(text.substr(0, dash));
  const auto to = ParseMinute(text.substr(dash + 1));
  if (!from || !to || *from % kMinutesOfDay == *to % kMinutesOfDay) return std::nullopt;
  return HourSpan{*from % kMinutesOfDay, *to};
}

std::string TextOf(const HourSpan& span) {
  const auto two = [](int number) { return absl::Dec(number, absl::kZeroPad2); };
  return StrCat(two(span.from_min / 60), ":", two(span.from_min % 60), "-", two(span.to_min / 60),
                ":", two(span.to_min % 60));
}

}  // namespace postrider
