#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "postrider/v1/admin_service.pb.h"
#include "server/api/field_rules.h"
#include "server/store/dead_letters.h"
#include "server/store/store.h"

/// What dead letters look like in the contract. All pure.
namespace postrider {

/// Whether a filter must name a tenant.
enum class TenantNeed { kRequired, kOptional };

/// The filter of a request, but for its tenant; violations go to `rules`.
DeadLetterFilter FilterOf(const v1::DeadLetterFilter& asked, TenantNeed need, FieldRules& rules);

/// Those to be changed, but for the tenant: the ids, or what the filter says. Violations go to
/// `rules`. `Request`: a ReplayDeadLettersRequest or DiscardDeadLettersRequest.
template <typename Request>
DeadLetterChoice ChoiceOf(const Request& asked, FieldRules& rules);

/// Where the next page begins, as callers carry it.
std::string PageTokenOf(const DeadLetter& last);
/// Nothing when it is none.
std::optional<DeadLetterPlace> ParsePageToken(std::string_view token);

/// `body` as it can be shown: what is not UTF-8 is '?'.
std::string ShownBody(std::string_view body);
/// The same with '*' for the digits of numbers: of seven or more in a row all but the last two.
std::string MaskedBody(std::string_view body);

void ToProto(const DeadLetter& letter, v1::DeadLetter& out);
/// But for the tenant's name.
void ToProto(const DeadLetterGroup& group, v1::DeadLetterGroup& out);
/// The message of a send.
void ToProto(const MessageRecord& record, bool unmask, v1::DeadSend& out);

}  // namespace postrider
