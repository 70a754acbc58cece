#include "server/provider/message_data.h"

#include <algorithm>

#include "absl/strings/ascii.h"

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/provider/api_client.h"
#include "server/provider/receipts.h"

namespace postrider {

namespace {

struct Reason {
  FailureReason failure = FailureReason::kOther;
  std::string code;
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

// Both are kept as they came; the carrier's says more.
Reason ReasonOf(const Json& receipt) {
  Reason found;
  for (const Json& reason : receipt.GetArray("reasons").value_or(std::vector<Json>())) {
    const std::string code = CleanCode(reason.GetString("code").value_or(""));
    const std::string carrier = CarrierCodeIn(reason.GetString("message").value_or(""));
    const FailureReason failure = FailureOfCode(carrier.empty() ? code : carrier);
    const bool better = found.code.empty() || (IsKnown(failure) && !IsKnown(found.failure));
    if (!better) continue;
    found.failure = failure == FailureReason::kNone ? FailureReason::kOther : failure;
    found.code =
        carrier.empty() || code.empty() ? StrCat(code, carrier) : StrCat(code, ": ", carrier);
  }
  return found;
}

std::optional<MessageState> StateIn(const Json& json) {
  const auto word = json.GetString("status");
  return word ? StateOf(*word) : std::nullopt;
}

std::string TextIn(const Json& json) {
  if (auto text = json.GetString("textBody")) return *std::move(text);
  const auto normalized = json.GetObject("normalizedMessage");
  return normalized ? normalized->GetString("text").value_or("") : "";
}

void ReadReceipts(const Json& json, std::optional<MessageState>& state, Reason& reason) {
  for (const Json& receipt : json.GetArray("normalizedReceipts").value_or(std::vector<Json>())) {
    const std::optional<MessageState> told = StateIn(receipt);
    if (!told) continue;
    const bool failed = *told == MessageState::kFailed;
    // A failure that is not the last word is one try of the carrier's.
    if (failed && !receipt.GetBool("isFinalReceipt").value_or(true)) continue;
    state = std::max(state.value_or(*told), *told);
    if (failed) reason = ReasonOf(receipt);
  }
}

}  // namespace

std::optional<MessageData> ReadMessageData(const Json& json) {
  if (json.GetString("direction").value_or("outbound") == "inbound") return std::nullopt;
  MessageData data;
  data.message.provider_message_id = IdOf(json, "id");
  data.message.provider_conversation_id = IdOf(json, "conversationId");
  std::optional<MessageState> state = StateIn(json);
  Reason reason;
  ReadReceipts(json, state, reason);
  if (data.message.provider_message_id.empty() || !state) return std::nullopt;
  ReceiptStatus& status = data.message.status;
  status.state = *state;
  if (*state == MessageState::kFailed) {
    status.failure = reason.failure;
    status.provider_code = reason.code;
  }
  if (const auto at = json.GetString("timestamp")) {
    if (const absl::StatusOr<WallTime> parsed = ParseRfc3339(*at); parsed.ok())
      status.provider_at = *parsed;
  }
  data.text = TextIn(json);
  HashStatus(data.message);
  return data;
}

void HashStatus(ProviderMessage& message) {
  message.status.hash =
      Sha256Bytes(StrCat(message.provider_message_id, "\n", NameOf(message.status.state), "\n",
                         message.status.provider_code));
}

bool SameText(std::string_view a, std::string_view b) {
  const auto words = [](std::string_view text) {
    std::string kept;
    for (const char c : text) {
      if (!absl::ascii_isspace(static_cast<unsigned char>(c))) kept += c;
    }
    return kept;
  };
  return words(a) == words(b);
}

}  // namespace postrider
