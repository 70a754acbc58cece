#pragma once

#include <optional>
#include <string_view>

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/base/clock.h"
#include "server/model/message.h"
#include "server/store/refusals.h"
#include "server/store/tenants.h"

namespace postrider {

/// Why the setup of `tenant` does not let `request` be sent: CAMPAIGN_NOT_ACTIVE,
/// DESTINATION_NOT_ALLOWED or CONTENT_NOT_APPROVED; nothing when it does. `asked` is the text
/// before it was made plain: places are told in that. What needs to know other messages is in
/// BoundBySetup. Pure.
std::optional<ApiError> RefusedBySetup(const MessageRequest& request, std::string_view asked,
                                       const TenantRow& tenant, WallTime now);

/// The same of a message of that tenant that is held until `until`: its campaign may be over. Pure.
std::optional<ApiError> RefusedAtHoldEnd(const MessageRequest& request, const TenantRow& tenant,
                                         WallTime until);

/// Adds what the store holds `request` to: caps, and whether it may open a conversation. Pure.
void BoundBySetup(const MessageRequest& request, const TenantRow& tenant, AcceptBounds& bounds);

/// CONTENT_NOT_APPROVED of a message that may not open a conversation.
ApiError OptOutTextMissing(const MessageRequest& request, const TenantRow& tenant);

/// Whether `error` says that a rule, not a moment, keeps the message from being sent: such is on
/// record. Pure.
bool IsByRule(const ApiError& error);
/// For the record: nothing of the text, the number masked. Pure.
RefusalRow RefusalOf(TenantId tenant, const v1::SendMessageRequest& asked, const ApiError& error);

}  // namespace postrider
