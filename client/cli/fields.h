#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "postrider/v1/message_service.pb.h"

namespace postrider::cli {

/// The names SetField() takes, for messages to people.
extern const char kFieldNames[];

/// True for the name of a request field that holds text: recipient, sender, text, request_id,
/// conversation_id, external_contact_id, campaign_id, priority, not_before, expire_at, time_zone,
/// duplicate_policy, metadata.KEY; template, or value.PLACE of its values.
bool IsFieldName(std::string_view name);

/// Sets the field `name` from its text. An empty text leaves the field as it is.
///
/// Times are RFC 3339 ("2026-03-01T09:00:00Z", "...+01:00"); priorities urgent, normal, bulk;
/// policies at_most_once, at_least_once; in any case, with or without the enum's prefix.
/// INVALID_ARGUMENT, "name: what is wrong", when the text is not such, is not UTF-8, or has a
/// NUL; and for an unknown name. What the gateway checks is left to it.
absl::Status SetField(v1::SendMessageRequest& request, std::string_view name,
                      std::string_view text);

/// Where `text` stops being UTF-8 (RFC 3629) or has a NUL; nullopt when it does neither.
std::optional<std::size_t> FirstBadByte(std::string_view text);

}  // namespace postrider::cli
