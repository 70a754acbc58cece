#pragma once

#include <optional>

#include "postrider/v1/message_service.pb.h"
#include "server/api/api_error.h"
#include "server/api/content_check.h"
#include "server/model/message.h"
#include "server/store/tenants.h"

namespace postrider {

/// What `tenant`'s compliance check is asked about `request`, which came as `asked`. Pure.
ContentQuestion ContentQuestionOf(const v1::SendMessageRequest& asked,
                                  const MessageRequest& request, const TenantRow& tenant);

/// Why a message with that verdict is not accepted: CONTENT_NOT_APPROVED,
/// COMPLIANCE_CHECK_UNAVAILABLE, STORE_UNAVAILABLE or SERVER_DRAINING; nothing when it is. Pure.
std::optional<ApiError> RefusedByVerdict(const ContentVerdict& verdict,
                                         const ComplianceCheck& check);

}  // namespace postrider
