#include "server/provider/outcome_table.h"

#include <algorithm>

#include "absl/time/time.h"

#include "server/base/strings.h"
#include "server/model/dispatch_limits.h"

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
constexpr std::chrono::seconds kEdgeWait{1};
constexpr std::string_view kActiveCode = "active.conversation";
constexpr std::string_view kExistingCode = "existing.conversation";

constexpr OutcomeRow Row(int lowest, int highest, Kind kind, std::string_view detail) {
  return {.lowest_status = lowest,
          .highest_status = highest,
          .code = "",
          .kind = kind,
          .detail = detail};
}
constexpr OutcomeRow Unknown(int status, std::string_view detail) {
  return Row(status, status, Kind::kUnknown, detail);
}
constexpr OutcomeRow Rejected(int lowest, int highest, std::string_view detail) {
  OutcomeRow row = Row(lowest, highest, Kind::kRejected, detail);
  row.failure = Failure::kRejectedByProvider;
  return row;
}
constexpr OutcomeRow Held(int status, std::string_view code, Hold hold, std::chrono::seconds wait,
                          std::string_view detail) {
  OutcomeRow row = Row(status, status, Kind::kHeld, detail);
  row.code = code;
  row.hold = hold;
  row.wait = wait;
  return row;
}
// A row for a code that only some accounts take so.
constexpr OutcomeRow Only(OutcomeOnly which, std::string_view code, OutcomeRow row) {
  row.only = which;
  row.code = code;
  return row;
}
constexpr OutcomeRow NotSent(int status, Hold hold, std::chrono::seconds wait,
                             std::string_view detail) {
  OutcomeRow row = Row(status, status, Kind::kNotSent, detail);
  row.hold = hold;
  row.wait = wait;
  return row;
}
constexpr OutcomeRow StopsTenant(int status, Kind kind, Hold hold, std::string_view detail) {
  OutcomeRow row = Row(status, status, kind, detail);
  row.failure = Failure::kNotAuthorized;
  row.hold = hold;
  row.stops_tenant = true;
  return row;
}
constexpr OutcomeRow PausesTenant(int status, std::chrono::seconds wait, std::string_view detail) {
  OutcomeRow row = NotSent(status, Hold::kRetryAfter, wait, detail);
  row.pauses_tenant = true;
  return row;
}

// A redirect (3xx) is never followed: a POST must not end up elsewhere. Whose policy is to join a
// connected conversation asks for it in the POST; when it is refused all the same, it waits. A 503
// may come from an edge that refuses before anything is read; only the operator can know.
constexpr OutcomeRow kRows[] = {
    Row(200, 299, Kind::kAccepted, "accepted"),
    Rejected(300, 399, "redirected"),
    Only(OutcomeOnly::kConversationFails, kActiveCode, Rejected(400, 400, "in conversation")),
    Only(OutcomeOnly::kConversationFails, kExistingCode, Rejected(400, 400, "in conversation")),
    Held(400, kActiveCode, Hold::kActiveConversation, kConversationWait, "in conversation"),
    Held(400, kExistingCode, Hold::kActiveConversation, kConversationWait, "in conversation"),
    Rejected(400, 400, "refused"),
    StopsTenant(401, Kind::kNotSent, Hold::kTenantStopped, "credentials refused"),
    StopsTenant(403, Kind::kRejected, Hold::kNone, "permission missing"),
    Rejected(404, 404, "no such resource"),
    Unknown(408, "the provider timed out"),
    Held(409, kQuotaCode, Hold::kQuota, kQuotaWait, "quota used up"),
    Rejected(413, 413, "too large"),
    Rejected(415, 415, "media type refused"),
    PausesTenant(429, kTooFastWait, "too many requests"),
    Unknown(500, "the provider failed"),
    Unknown(502, "the provider's gateway failed"),
    Only(OutcomeOnly::kRefusedAtEdge, "",
         NotSent(503, Hold::kBackoff, kEdgeWait, "refused at the provider's edge")),
    Unknown(503, "the provider is not available"),
    Unknown(504, "the provider's gateway timed out"),
};

constexpr OutcomeRow kNoRow = Unknown(0, "a status that is not in the table");

const OutcomeRow& RowOf(const ReplyFacts& reply) {
  for (const OutcomeRow& row : kRows) {
    if (reply.Fits(row)) return row;
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

bool ReplyFacts::Fits(const OutcomeRow& row) const {
  const bool in_range = row.lowest_status <= http_status && http_status <= row.highest_status;
  if (!in_range || (!row.code.empty() && row.code != code)) return false;
  switch (row.only) {
    case OutcomeOnly::kEveryAccount:
      return true;
    case OutcomeOnly::kConversationFails:
      return active_conversation == ActiveConversation::kFail;
    case OutcomeOnly::kRefusedAtEdge:
      return refused_at_edge;
  }
  return false;
}

Outcome OutcomeOf(const ReplyFacts& reply, WallTime now) {
  const OutcomeRow& row = RowOf(reply);
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
