#include "server/sandbox/magic_numbers.h"

#include <algorithm>

#include "server/base/strings.h"

namespace postrider {

namespace {

using Answer = SandboxAnswer;
using std::chrono::milliseconds;
using std::chrono::seconds;

// 00xx how it ends, 02xx how the receipts come, 03xx to 05xx which HTTP status the POST gets,
// 06xx what happens to the POST's answer.
constexpr MagicNumber kNumbers[] = {
    {"+15550000000", "DELIVERED", "Accepted, then queued, sent, delivered: ends DELIVERED.", {}},
    {"+15550000001",
     "CARRIER_REJECTED",
     "The carrier rejects it (carrier_rejected): ends FAILED.",
     {.last_status = "failed", .error_code = "carrier_rejected"}},
    {"+15550000002",
     "INVALID_NUMBER",
     "The number does not exist (DEST_ADDR_INVALID): ends FAILED.",
     {.last_status = "failed", .error_code = "DEST_ADDR_INVALID"}},
    {"+15550000003",
     "LANDLINE",
     "The number is a landline (DEST_ADDR_IS_LANDLINE): ends FAILED.",
     {.last_status = "failed", .error_code = "DEST_ADDR_IS_LANDLINE"}},
    {"+15550000004",
     "OPTED_OUT",
     "The recipient opted out at the carrier (RECIPIENT_OPTED_OUT): ends FAILED.",
     {.last_status = "failed", .error_code = "RECIPIENT_OPTED_OUT"}},
    {"+15550000005",
     "UNREACHABLE",
     "The handset cannot be reached (RECIPIENT_HANDSET_TEMP_FAILURE): ends FAILED.",
     {.last_status = "failed", .error_code = "RECIPIENT_HANDSET_TEMP_FAILURE"}},
    {"+15550000201",
     "STAYS_SENT",
     "Receipts queued and sent, never a last one: stays SENT.",
     {.last_status = "sent"}},
    {"+15550000202",
     "NO_RECEIPTS",
     "Accepted, and no receipt ever comes: stays SUBMITTED.",
     {.last_status = ""}},
    {"+15550000203",
     "RECEIPTS_FIRST",
     "All receipts come before the POST is answered: ends DELIVERED.",
     {.receipts = SandboxReceipts::kBeforeAnswer}},
    {"+15550000204",
     "RECEIPTS_BACKWARDS",
     "Receipts come twice each and in reverse order: ends DELIVERED.",
     {.receipts = SandboxReceipts::kBackwardsTwice}},
    {"+15550000205",
     "RECEIPTS_WITHOUT_METADATA",
     "Receipts do not echo the metadata, only the provider's id: ends DELIVERED.",
     {.echoes_metadata = false}},
    {"+15550000302",
     "REDIRECT",
     "302 to elsewhere, which nobody follows: ends REJECTED.",
     {.answer = Answer::kRefuse, .http_status = 302, .processed = false}},
    {"+15550000400",
     "BAD_REQUEST",
     "400 invalid.value: ends REJECTED.",
     {.answer = Answer::kRefuse, .http_status = 400, .code = "invalid.value", .processed = false}},
    {"+15550000401",
     "BAD_CREDENTIALS",
     "401 each time: waits QUEUED, and the tenant is stopped.",
     {.answer = Answer::kRefuse,
      .http_status = 401,
      .code = "bad.credentials",
      .processed = false}},
    {"+15550000403",
     "NO_PERMISSION",
     "403 missing.permissions: ends REJECTED, and the tenant is stopped.",
     {.answer = Answer::kRefuse,
      .http_status = 403,
      .code = "missing.permissions",
      .processed = false}},
    {"+15550000409",
     "QUOTA",
     "409 organization.outbound.usage.limit.exceeded each time: held QUEUED for long.",
     {.answer = Answer::kRefuse,
      .http_status = 409,
      .code = "organization.outbound.usage.limit.exceeded",
      .processed = false}},
    {"+15550000410",
     "ACTIVE_CONVERSATION",
     "400 active.conversation unless joined: REJECTED, held or sent, by the tenant's setting.",
     {.answer = Answer::kRefuse,
      .http_status = 400,
      .code = "active.conversation",
      .unless_joined = true,
      .processed = false}},
    {"+15550000411",
     "TOKEN_GONE",
     "401 once, as after a revoked token; the repetition is accepted: ends DELIVERED.",
     {.answer = Answer::kRefuse,
      .http_status = 401,
      .code = "authentication.required",
      .first_only = true,
      .processed = false}},
    {"+15550000429",
     "TOO_MANY_REQUESTS",
     "429 with Retry-After: 1 once, then accepted: ends DELIVERED a second later.",
     {.answer = Answer::kRefuse,
      .http_status = 429,
      .code = "too.many.requests.retry.after",
      .retry_after = seconds(1),
      .first_only = true,
      .processed = false}},
    {"+15550000430",
     "TOO_MANY_REQUESTS_LONG",
     "429 with Retry-After: 30 once, then accepted: the tenant waits half a minute.",
     {.answer = Answer::kRefuse,
      .http_status = 429,
      .code = "too.many.requests.retry.after",
      .retry_after = seconds(30),
      .first_only = true,
      .processed = false}},
    {"+15550000500",
     "SERVER_ERROR",
     "500 although it was processed: UNKNOWN until the receipts come, ends DELIVERED.",
     {.answer = Answer::kRefuse, .http_status = 500, .code = "internal.server.error"}},
    {"+15550000503",
     "UNAVAILABLE",
     "503 and not processed, which nobody can know: stays UNKNOWN.",
     {.answer = Answer::kRefuse,
      .http_status = 503,
      .code = "service.unavailable",
      .processed = false}},
    {"+15550000601",
     "ANSWER_LOST",
     "Processed, the connection closes without an answer: UNKNOWN, then DELIVERED.",
     {.answer = Answer::kHangUp, .http_status = 0}},
    {"+15550000602",
     "ANSWER_LOST_NO_RECEIPTS",
     "Processed, no answer and no receipts: stays UNKNOWN.",
     {.answer = Answer::kHangUp, .http_status = 0, .last_status = ""}},
    {"+15550000603",
     "SLOW_ANSWER",
     "The answer takes 2 s: ends DELIVERED.",
     {.answer_after = milliseconds(2000)}},
    {"+15550000604",
     "HTML_ANSWER",
     "200 with an HTML page, so no provider id: ends DELIVERED by the echoed metadata.",
     {.answer = Answer::kAcceptHtml, .http_status = 200}},
    {"+15550000605",
     "ANSWER_WITHOUT_ID",
     "202 without an id: ends DELIVERED by the echoed metadata.",
     {.answer = Answer::kAcceptWithoutId}},
};

}  // namespace

std::span<const MagicNumber> MagicNumbers() { return kNumbers; }

const MagicNumber& MagicNumberOf(std::string_view recipient) {
  const auto* const found =
      std::find_if(std::begin(kNumbers), std::end(kNumbers),
                   [recipient](const MagicNumber& row) { return row.number == recipient; });
  return found == std::end(kNumbers) ? kNumbers[0] : *found;
}

std::string MagicNumbersText() {
  std::size_t widest = 0;
  for (const MagicNumber& row : kNumbers) widest = std::max(widest, row.name.size());
  std::string text;
  for (const MagicNumber& row : kNumbers) {
    StrAppend(text, row.number, "  ", row.name, std::string(widest + 2 - row.name.size(), ' '),
              row.shows, "\n");
  }
  return text;
}

}  // namespace postrider
