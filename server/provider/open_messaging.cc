#include "server/provider/open_messaging.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/strings.h"
#include "server/model/limits.h"
#include "server/policy/phone_number.h"
#include "server/provider/provider.h"
#include "server/provider/receipts.h"

namespace postrider {

namespace {

/// The string `key` of `json`, which is an id and stands at `field`; empty when there is none.
absl::StatusOr<std::string> ReadId(const Json& json, std::string_view key, std::string_view field) {
  std::string id = json.GetString(key).value_or("");
  if (id.size() <= kMaxProviderIdBytes) return id;
  return absl::InvalidArgumentError(StrCat(field, ": more than ", kMaxProviderIdBytes, " bytes"));
}

/// `json.key.id`: an address.
std::string AddressIn(const Json& json, std::string_view key) {
  const auto party = json.GetObject(key);
  return party ? party->GetString("id").value_or("") : "";
}

absl::StatusOr<Receipt> ReadReceipt(const Json& body, const Json& channel) {
  Receipt receipt;
  PR_ASSIGN_OR_RETURN(receipt.provider_message_id, ReadId(body, "id", "id"));
  PR_ASSIGN_OR_RETURN(receipt.channel_message_id,
                      ReadId(channel, "messageId", "channel.messageId"));
  if (receipt.provider_message_id.empty())
    std::swap(receipt.provider_message_id, receipt.channel_message_id);
  if (receipt.provider_message_id.empty())
    return absl::InvalidArgumentError("id: missing, and channel.messageId too");
  PR_ASSIGN_OR_RETURN(receipt.provider_conversation_id,
                      ReadId(body, "conversationId", "conversationId"));
  const absl::StatusOr<WallTime> at = TimeIn(channel, "time");
  if (!at.ok()) return absl::InvalidArgumentError(StrCat("channel.", ToStd(at.status().message())));
  receipt.status.provider_at = *at;

  const std::optional<std::string> word = body.GetString("status");
  if (!word) return absl::InvalidArgumentError("status: missing");
  const std::optional<MessageState> state = StateOf(*word);
  if (!state) return UnknownStatus(*word);
  receipt.status.state = *state;
  if (*state != MessageState::kFailed) return receipt;
  ReceiptReason reason = ReasonOf(body);
  receipt.status.provider_code = std::move(reason.code);
  if (body.GetBool("isFinalReceipt").value_or(true)) {
    receipt.status.failure = reason.failure;
  } else {
    receipt.status.state = MessageState::kSubmitted;
  }
  return receipt;
}

absl::StatusOr<InboundText> ReadText(const Json& body, const Json& channel) {
  InboundText text;
  PR_ASSIGN_OR_RETURN(text.provider_message_id, ReadId(body, "id", "id"));
  if (text.provider_message_id.empty()) {
    PR_ASSIGN_OR_RETURN(text.provider_message_id,
                        ReadId(channel, "messageId", "channel.messageId"));
  }
  PR_ASSIGN_OR_RETURN(text.provider_conversation_id,
                      ReadId(body, "conversationId", "conversationId"));
  // A time that cannot be read is no reason to lose a STOP.
  text.provider_at = TimeIn(channel, "time").value_or(WallTime{});
  text.sender = AddressIn(channel, "to");
  if (text.sender.empty() || text.sender.size() > kMaxSenderBytes)
    return absl::InvalidArgumentError(
        StrCat("channel.to.id: not 1 .. ", kMaxSenderBytes, " bytes"));
  text.recipient = AddressIn(channel, "from");
  if (!IsE164(text.recipient)) return absl::InvalidArgumentError("channel.from.id: not E.164");
  text.text = body.GetString("text").value_or("");
  return text;
}

}  // namespace

bool IsOpenMessaging(const Json& body) {
  const std::string type = body.GetString("type").value_or("");
  return type == "Receipt" || type == "Text";
}

absl::StatusOr<WebhookContent> ReadOpenMessaging(const Json& body) {
  const bool is_text = body.GetString("type") == "Text";
  const std::string direction = body.GetString("direction").value_or(is_text ? "" : "Outbound");
  if (direction != (is_text ? "Inbound" : "Outbound")) {
    return absl::InvalidArgumentError(is_text ? "direction: a text that is not Inbound is no news"
                                              : "direction: a receipt of a text that came in");
  }
  const std::optional<Json> channel = body.GetObject("channel");
  if (!channel) return absl::InvalidArgumentError("channel: missing");
  if (is_text) return ReadText(body, *channel);
  return ReadReceipt(body, *channel);
}

}  // namespace postrider
