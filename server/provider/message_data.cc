#include "server/provider/message_data.h"

#include <algorithm>

#include "absl/strings/ascii.h"

#include "server/base/digest.h"
#include "server/base/strings.h"
#include "server/provider/api_client.h"
#include "server/provider/receipts.h"

namespace postrider {

namespace {

std::optional<MessageState> StateIn(const Json& json) {
  const auto word = json.GetString("status");
  return word ? StateOf(*word) : std::nullopt;
}

std::string TextIn(const Json& json) {
  if (auto text = json.GetString("textBody")) return *std::move(text);
  const auto normalized = json.GetObject("normalizedMessage");
  return normalized ? normalized->GetString("text").value_or("") : "";
}

void ReadReceipts(const Json& json, std::optional<MessageState>& state, ReceiptReason& reason) {
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
  ReceiptReason reason;
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
