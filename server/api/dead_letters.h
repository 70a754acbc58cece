#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "postrider/v1/admin_service.pb.h"
#include "server/api/field_rules.h"
#include "server/store/dead_letters.h"

/// What dead letters look like in the contract. All pure.
namespace postrider {

/// The filter of a request, but for its tenant; violations go to `rules`.
DeadLetterFilter FilterOf(const v1::DeadLetterFilter& asked, FieldRules& rules);

/// Those to be changed, but for the tenant: the ids, or what the filter says. Violations go to
/// `rules`. `Request`: a ReplayDeadLettersRequest or DiscardDeadLettersRequest.
template <typename Request>
DeadLetterChoice ChoiceOf(const Request& asked, FieldRules& rules);

/// Where the next page begins, as callers carry it.
std::string PageTokenOf(const DeadLetter& last);
/// Nothing when it is none.
std::optional<DeadLetterPlace> ParsePageToken(std::string_view token);

/// `body` with '*' for the digits of numbers: of seven or more in a row all but the last two. What
/// is not UTF-8 is shown as '?'.
std::string MaskedBody(std::string_view body);

void ToProto(const DeadLetter& letter, v1::DeadLetter& out);
void ToProto(const DeadLetterGroup& group, v1::DeadLetterGroup& out);

}  // namespace postrider
