#include "server/provider/receipts.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/time/time.h"

#include "server/base/digest.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/json/json.h"
#include "server/model/limits.h"
#include "server/provider/open_messaging.h"
#include "server/provider/outcome_table.h"
#include "server/provider/provider.h"

namespace postrider {

namespace {

constexpr int kMaxAttempt = 1000;
constexpr std::size_t kMaxCodeBytes = 128;

// The guide shows queued, sent, delivered and failed; the others are the same states in the
// spelling of Genesys' own interfaces and of carriers.
struct StatusWord {
  std::string_view word;
  MessageState state;
};
constexpr StatusWord kStatusWords[] = {
    {"queued", MessageState::kSubmitted},
    {"accepted", MessageState::kSubmitted},
    {"submitted", MessageState::kSubmitted},
    {"sent", MessageState::kSent},
    {"delivered", MessageState::kDelivered},
    {"delivery-success", MessageState::kDelivered},
    {"read", MessageState::kDelivered},
    {"failed", MessageState::kFailed},
    {"delivery-failed", MessageState::kFailed},
    {"undelivered", MessageState::kFailed},
    {"DeliverySuccess", MessageState::kDelivered},
    {"DeliveryFailed", MessageState::kFailed},
    {"published", MessageState::kSent},
    {"removed", MessageState::kSent},
    {"rejected", MessageState::kFailed},
    {"expired", MessageState::kFailed},
};

struct CodeRow {
  std::string_view code;
  FailureReason reason;
};
constexpr CodeRow kCodeRows[] = {
    {"carrier_rejected", FailureReason::kCarrierRejected},
    {"ACCEPTED", FailureReason::kNone},
    {"CARRIER_ACCEPTED", FailureReason::kNone},
    {"ENROUTE", FailureReason::kNone},
    {"FORWARDED", FailureReason::kNone},
    {"PROCESSING", FailureReason::kNone},
    {"QUEUED", FailureReason::kNone},
    {"DELIVERED", FailureReason::kNone},
    {"RECIPIENT_OPTED_OUT", FailureReason::kRecipientOptedOut},
    {"RECIPIENT_BLOCKLISTED", FailureReason::kRecipientOptedOut},
    {"FLOW_CONTROL_TIMEOUT", FailureReason::kTooFast},
    {"CARRIER_CONGESTED", FailureReason::kTooFast},
    {"RECIPIENT_FLOODED", FailureReason::kTooFast},
    {"DEST_ADDR_INVALID", FailureReason::kInvalidNumber},
    {"DEST_ADDR_IS_LANDLINE", FailureReason::kInvalidNumber},
    {"DEST_ADDR_COUNTRY_INVALID", FailureReason::kInvalidNumber},
    {"MESSAGE_DATA_INVALID", FailureReason::kContent},
    {"MESSAGE_TYPE_NOT_SUPPORTED", FailureReason::kContent},
    {"DATA_CODING_SCHEME_INVALID", FailureReason::kContent},
    {"OTHER_TEMPORARY_FAILURE", FailureReason::kUnreachable},
    {"NETWORK_TIMEOUT", FailureReason::kUnreachable},
    {"RECIPIENT_BUSY", FailureReason::kUnreachable},
    {"RECIPIENT_HANDSET_TEMP_FAILURE", FailureReason::kUnreachable},
    {"RECIPIENT_TEMP_FAILURE", FailureReason::kUnreachable},
    {"CARRIER_RESOLUTION_TEMP_FAILURE", FailureReason::kUnreachable},
    {"EXPIRED", FailureReason::kUnreachable},
    {"AUTHENTICATION_FAILED", FailureReason::kOther},
    {"CARRIER_PROTOCOL_ERROR", FailureReason::kOther},
    {"CARRIER_RESOLUTION_FAILURE", FailureReason::kOther},
    {"CARRIER_DELIVERY_FAILED", FailureReason::kOther},
    {"RECIPIENT_HANDSET_FAILURE", FailureReason::kOther},
    {"OTHER_PERMANENT_FAILURE", FailureReason::kOther},
    // Reason codes of Open Messaging receipts.
    {"RecipientOptedOut", FailureReason::kRecipientOptedOut},
    {"RateLimited", FailureReason::kTooFast},
    {"InvalidDestination", FailureReason::kInvalidNumber},
    {"MessageExpired", FailureReason::kUnreachable},
    {"MessageNotAllowed", FailureReason::kContent},
    {"UnsupportedMessage", FailureReason::kContent},
    {"UnknownMessage", FailureReason::kContent},
    {"InvalidMessageStructure", FailureReason::kContent},
    {"MediaTypeNotAllowed", FailureReason::kContent},
    {"InvalidMediaContentLength", FailureReason::kContent},
    {"DataFiltered", FailureReason::kContent},
};

bool IsKnown(FailureReason failure) {
  return failure != FailureReason::kOther && failure != FailureReason::kNone;
}

// Carriers' codes do not fit the receipts' own, and come within a sentence.
std::string CarrierCodeIn(std::string_view sentence) {
  std::size_t at = 0;
  while (at < sentence.size()) {
    const auto is_word = [](char c) { return absl::ascii_isalpha(c) || c == '_'; };
    std::size_t end = at;
    while (end < sentence.size() && is_word(sentence[end])) ++end;
    const std::string_view word = sentence.substr(at, end - at);
    if (IsKnown(FailureOfCode(word))) return std::string(word);
    at = end + 1;
  }
  return {};
}

absl::StatusOr<MessageState> ReadState(const Json& body) {
  const std::optional<std::string> status = body.GetString("status");
  const std::optional<std::string> delivery = body.GetString("deliveryStatus");
  if (!status && !delivery) return absl::InvalidArgumentError("status: missing");
  const std::optional<MessageState> state = StateOf(status ? *status : *delivery);
  if (!state) return UnknownStatus(status ? *status : *delivery);
  // Both say the same in the guide; where they differ the one that is further along knows more.
  const std::optional<MessageState> other = delivery ? StateOf(*delivery) : std::nullopt;
  return std::max(*state, other.value_or(*state));
}

absl::StatusOr<int> ReadAttempt(const Json& metadata) {
  std::optional<std::int64_t> attempt = metadata.GetInt(kAttemptKey);
  if (const auto text = metadata.GetString(kAttemptKey)) {
    std::int64_t number = 0;
    if (absl::SimpleAtoi(ToAbsl(*text), &number)) attempt = number;
    if (!attempt) attempt = -1;
  }
  if (!attempt) return 0;
  if (*attempt < 1 || *attempt > kMaxAttempt)
    return absl::InvalidArgumentError("metadata.postriderAttempt: not 1 .. 1000");
  return static_cast<int>(*attempt);
}

absl::Status ReadWhose(const Json& body, Receipt& receipt) {
  receipt.provider_message_id = body.GetString("id").value_or("");
  receipt.provider_conversation_id = body.GetString("conversationId").value_or("");
  if (receipt.provider_message_id.size() > kMaxProviderIdBytes)
    return absl::InvalidArgumentError("id: more than 256 bytes");
  if (receipt.provider_conversation_id.size() > kMaxProviderIdBytes)
    return absl::InvalidArgumentError("conversationId: more than 256 bytes");
  if (const std::optional<Json> metadata = body.GetObject("metadata")) {
    if (const auto id = metadata->GetString(kMessageIdKey)) {
      const absl::StatusOr<MessageId> parsed = MessageId::Parse(*id);
      if (!parsed.ok())
        return absl::InvalidArgumentError("metadata.postriderMessageId: not a UUID");
      receipt.message_id = *parsed;
    }
    PR_ASSIGN_OR_RETURN(receipt.status.attempt, ReadAttempt(*metadata));
  }
  // The conversation alone does not say which of its messages is meant.
  if (receipt.message_id.IsNil() && receipt.provider_message_id.empty())
    return absl::InvalidArgumentError("id: missing, and metadata.postriderMessageId too");
  return absl::OkStatus();
}

std::string ReadCode(const Json& body) {
  std::string code = body.GetString("errorCode").value_or("");
  if (const auto number = body.GetInt("errorCode")) code = StrCat(*number);
  if (code.size() <= kMaxCodeBytes) return code;
  std::size_t cut = kMaxCodeBytes;
  while (cut > 0 && (static_cast<unsigned char>(code[cut]) & 0xC0) == 0x80) --cut;
  code.resize(cut);
  return code;
}

}  // namespace

absl::Status UnknownStatus(std::string_view word) {
  const std::string clean = CleanCode(word);
  return absl::InvalidArgumentError(
      StrCat("status: ", clean.empty() ? "not a word" : StrCat("unknown, \"", clean, "\"")));
}

ReceiptReason ReasonOf(const Json& receipt) {
  ReceiptReason found;
  for (const Json& reason : receipt.GetArray("reasons").value_or(std::vector<Json>())) {
    const std::string code = CleanCode(reason.GetString("code").value_or(""));
    const std::string carrier = CarrierCodeIn(reason.GetString("message").value_or(""));
    const FailureReason failure = FailureOfCode(carrier.empty() ? code : carrier);
    const bool better = found.code.empty() || (IsKnown(failure) && !IsKnown(found.failure));
    if (!better) continue;
    found.failure = failure == FailureReason::kNone ? FailureReason::kOther : failure;
    // Both are kept as they came; the carrier's says more.
    found.code =
        carrier.empty() || code.empty() ? StrCat(code, carrier) : StrCat(code, ": ", carrier);
  }
  return found;
}

absl::StatusOr<Receipt> ReadGuideReceipt(const Json& body) {
  Receipt receipt;
  PR_RETURN_IF_ERROR(ReadWhose(body, receipt));
  PR_ASSIGN_OR_RETURN(receipt.status.state, ReadState(body));
  PR_ASSIGN_OR_RETURN(receipt.status.provider_at, TimeIn(body, "timestamp"));
  receipt.status.provider_code = ReadCode(body);
  if (receipt.status.state == MessageState::kFailed) {
    receipt.status.failure = FailureOfCode(receipt.status.provider_code);
    // A code that means success does not make a failure one.
    if (receipt.status.failure == FailureReason::kNone)
      receipt.status.failure = FailureReason::kOther;
  }
  return receipt;
}

absl::StatusOr<WebhookContent> ParseWebhook(std::string_view profile, std::string_view text) {
  const bool guide = profile == "guide";
  if (!guide && profile != "platform")
    return absl::InvalidArgumentError(StrCat("profile: unknown, \"", CleanCode(profile), "\""));
  PR_ASSIGN_OR_RETURN(const Json body, ParseJson(text, {.bytes = kMaxWebhookBytes}));
  if (!body.IsObject()) return absl::InvalidArgumentError("body: not an object");
  WebhookContent content;
  if (IsOpenMessaging(body)) {
    PR_ASSIGN_OR_RETURN(content, ReadOpenMessaging(body));
  } else if (guide) {
    PR_ASSIGN_OR_RETURN(content, ReadGuideReceipt(body));
  } else {
    return absl::InvalidArgumentError("type: not Receipt or Text");
  }
  if (auto* const receipt = std::get_if<Receipt>(&content))
    receipt->status.hash = Sha256Bytes(text);
  return content;
}

std::optional<MessageState> StateOf(std::string_view word) {
  const auto* const found =
      std::find_if(std::begin(kStatusWords), std::end(kStatusWords), [word](const StatusWord& row) {
        return absl::EqualsIgnoreCase(ToAbsl(row.word), ToAbsl(word));
      });
  return found == std::end(kStatusWords) ? std::nullopt : std::optional(found->state);
}

FailureReason FailureOfCode(std::string_view provider_code) {
  for (const CodeRow& row : kCodeRows) {
    if (absl::EqualsIgnoreCase(ToAbsl(row.code), ToAbsl(provider_code))) return row.reason;
  }
  return FailureReason::kOther;
}

absl::StatusOr<WallTime> TimeIn(const Json& json, std::string_view key) {
  const auto text = json.GetString(key);
  if (!text) return WallTime{};
  const absl::StatusOr<WallTime> parsed = ParseRfc3339(*text);
  if (parsed.ok()) return *parsed;
  return absl::InvalidArgumentError(StrCat(key, ": ", ToStd(parsed.status().message())));
}

absl::StatusOr<WallTime> ParseRfc3339(std::string_view text) {
  // Abseil also takes surrounding blanks and "infinite-future"; RFC 3339 does not.
  const bool bare = !text.empty() && text.size() <= 64 && text.front() >= '0' &&
                    text.front() <= '9' && text.back() != ' ';
  absl::Time at;
  if (!bare || !absl::ParseTime(absl::RFC3339_full, ToAbsl(text), &at, nullptr))
    return absl::InvalidArgumentError("not an RFC 3339 instant");
  const auto year = absl::ToCivilYear(at, absl::UTCTimeZone()).year();
  if (year < 2000 || year > 2199)
    return absl::InvalidArgumentError("not in the years 2000 to 2199");
  return absl::ToChronoTime(at);
}

}  // namespace postrider
