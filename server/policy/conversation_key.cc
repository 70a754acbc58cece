#include "server/policy/conversation_key.h"

#include "server/base/strings.h"

namespace postrider {

std::string ContactKeyOf(const MessageRequest& request) {
  return request.external_contact_id.empty() ? StrCat("n:", request.recipient)
                                             : StrCat("x:", request.external_contact_id);
}

std::string RecipientKeyOf(const MessageRequest& request) { return request.recipient; }

}  // namespace postrider
