#include "server/store/inbox.h"

#include "server/base/digest.h"
#include "server/base/strings.h"

namespace postrider {

std::string DedupeKeyOf(const NewInbound& entry) {
  const std::string& id = entry.text.provider_message_id;
  // A body is an object, so that no id can be taken for one.
  return Sha256Bytes(id.empty() ? entry.row.body : StrCat("id ", id));
}

}  // namespace postrider
