#include "server/provider/outcome_table.h"

#include <algorithm>

#include "absl/time/time.h"

#include "server/base/strings.h"
#include "server/model/limits.h"

namespace postrider {

namespace {

using Kind = OutcomeKind;
using Failure = FailureReason;
using Hold = HoldReason;

constexpr std::string_view kQuotaCode = "organization.outbound.usage.limit.exceeded";

// "Hold long" where the provider does not say how long.
constexpr std::chrono::seconds kQuotaWait = std::chrono::hours(1);
// A connected conversation of the pair lasts minutes.
constexpr std::chrono::seconds kConversationWait = std::chrono::minutes(1);
constexpr std::chrono::seconds kTooFastWait{1};
constexpr std::chrono::seconds kNoWait{0};

// A redirect (3xx) is never followed: a POST must not end up elsewhere. A 503 may come from an
// edge that refuses before anything is read; not every 503 does.
// clang-format off
constexpr OutcomeRow kRows[] = {
    // status   code                    outcome          failure                       hold                 wait               pauses stops  detail
    {200, 299, "",                      Kind::kAccepted, Failure::kNone,               Hold::kNone,         kNoWait,           false, false, "accepted"},
    {300, 399, "",                      Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone,         kNoWait,           false, false, "redirected"},
    {400, 400, "active.conversation",   Kind::kHeld,     Failure::kNone,               Hold::kBackoff,      kConversationWait, false, false, "a conversation is open"},
    {400, 400, "existing.conversation", Kind::kHeld,     Failure::kNone,               Hold::kBackoff,      kConversationWait, false, false, "a conversation is open"},
    {400, 400, "",                      Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone,         kNoWait,           false, false, "refused"},
    {401, 401, "",                      Kind::kNotSent,  Failure::kNotAuthorized,      Hold::kTenantStopped, kNoWait,          false, true,  "credentials refused"},
    {403, 403, "",                      Kind::kRejected, Failure::kNotAuthorized,      Hold::kNone,         kNoWait,           false, true,  "permission missing"},
    {404, 404, "",                      Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone,         kNoWait,           false, false, "no such resource"},
    {408, 408, "",                      Kind::kUnknown,  Failure::kNone,               Hold::kNone,         kNoWait,           false, false, "the provider timed out"},
    {409, 409, kQuotaCode,              Kind::kHeld,     Failure::kNone,               Hold::kQuota,        kQuotaWait,        false, false, "quota used up"},
    {413, 413, "",                      Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone,         kNoWait,           false, false, "too large"},
    {415, 415, "",                      Kind::kRejected, Failure::kRejectedByProvider, Hold::kNone,         kNoWait,           false, false, "media type refused"},
    {429, 429, "",                      Kind::kNotSent,  Failure::kNone,               Hold::kRetryAfter,   kTooFastWait,      true,  false, "too many requests"},
    {500, 500, "",                      Kind::kUnknown,  Failure::kNone,               Hold::kNone,         kNoWait,           false, false, "the provider failed"},
    {502, 502, "",                      Kind::kUnknown,  Failure::kNone,               Hold::kNone,         kNoWait,           false, false, "the provider's gateway failed"},
    {503, 503, "",                      Kind::kUnknown,  Failure::kNone,               Hold::kNone,         kNoWait,           false, false, "the provider is not available"},
    {504, 504, "",                      Kind::kUnknown,  Failure::kNone,               Hold::kNone,         kNoWait,           false, false, "the provider's gateway timed out"},
};
// clang-format on

constexpr OutcomeRow kNoRow = {.lowest_status = 0,
                               .highest_status = 0,
                               .code = "",
                               .kind = Kind::kUnknown,
                               .detail = "a status that is not in the table"};

const OutcomeRow& RowOf(int http_status, std::string_view code) {
  for (const OutcomeRow& row : kRows) {
    const bool in_range = row.lowest_status <= http_status && http_status <= row.highest_status;
    if (in_range && (row.code.empty() || row.code == code)) return row;
  }
  return kNoRow;
}

bool IsDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// For an attempt's row: what a transport says is for people, and may be anything.
std::string OneLine(std::string_view text) {
  std::string line(text.substr(0, 200));
  for (char& c : line) {
    if (c < ' ' || c > '~') c = ' ';
  }
  return line;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<absl::Time> ParseHttpDate(std::string_view text) {
  // A recipient must understand all three (RFC 9110 section 5.6.7).
  constexpr const char* kForms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                    "%a %b %e %H:%M:%S %Y"};
  for (const char* form : kForms) {
    absl::Time at;
    if (absl::ParseTime(form, ToAbsl(text), &at, nullptr) && at != absl::InfiniteFuture() &&
        at != absl::InfinitePast())
      return at;
  }
  return std::nullopt;
}

}  // namespace

std::span<const OutcomeRow> OutcomeTable() { return kRows; }

Outcome OutcomeOf(const ReplyFacts& reply, WallTime now) {
  const OutcomeRow& row = RowOf(reply.http_status, reply.code);
  Outcome outcome;
  outcome.kind = row.kind;
  outcome.http_status = reply.http_status;
  outcome.failure = row.failure;
  outcome.hold = row.hold;
  outcome.pauses_tenant = row.pauses_tenant;
  outcome.stops_tenant = row.stops_tenant;
  if (row.kind != Kind::kAccepted) outcome.provider_code = CleanCode(reply.code);
  if (row.wait > std::chrono::seconds(0)) {
    const auto asked = ParseRetryAfter(reply.retry_after, now);
    // "At once" is no word to a client that was too fast: it would come back too fast.
    outcome.retry_after =
        asked.value_or(std::chrono::seconds(0)) > std::chrono::seconds(0) ? *asked : row.wait;
  }
  outcome.detail = row.detail;
  return outcome;
}

Outcome OutcomeWithoutReply(bool may_have_left, std::string_view detail) {
  Outcome outcome;
  outcome.kind = may_have_left ? Kind::kUnknown : Kind::kNotSent;
  if (!may_have_left) outcome.hold = Hold::kBackoff;
  outcome.detail = OneLine(detail);
  return outcome;
}

std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view header, WallTime now) {
  const std::string_view text = Trimmed(header);
  constexpr std::chrono::seconds kLongest = kMaxRetryAfter;
  if (IsDigits(text)) {
    std::chrono::seconds wait{0};
    for (const char digit : text) {
      wait = wait * 10 + std::chrono::seconds(digit - '0');
      if (wait > kLongest) return kLongest;
    }
    return wait;
  }
  const std::optional<absl::Time> at = ParseHttpDate(text);
  if (!at) return std::nullopt;
  const absl::Duration wait =
      std::clamp(*at - absl::FromChrono(now), absl::ZeroDuration(), absl::FromChrono(kLongest));
  // Rounded up: never before the time that was named.
  return absl::ToChronoSeconds(absl::Ceil(wait, absl::Seconds(1)));
}

std::string CleanCode(std::string_view text) {
  if (text.empty() || text.size() > 128) return {};
  const bool clean = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  return clean ? std::string(text) : std::string();
}

}  // namespace postrider
