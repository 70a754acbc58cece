#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/policy/message_template.h"

namespace postrider {

/// What is the same of messages that say the same to different people: the words of the template
/// that `text` fits best (the one with most words), with its places left open; without one, the
/// text with runs of digits and links reduced. The hosts of its links belong to it in either case.
/// `text`: UTF-8. Pure.
std::string ContentKey(std::string_view text, const std::vector<ParsedTemplate>& templates);

}  // namespace postrider
