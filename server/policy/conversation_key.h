#pragma once

#include <string>

#include "server/model/message.h"

namespace postrider {

/// Whom a message is for, as conversations are keyed: "x:" and the external contact id, else
/// "n:" and the recipient's number. Pure.
std::string ContactKeyOf(const MessageRequest& request);

/// What look-ups by number use: the number's bytes. Pure.
std::string RecipientKeyOf(const MessageRequest& request);

}  // namespace postrider
