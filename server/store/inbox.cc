#include "server/store/inbox.h"

#include "server/base/digest.h"
#include "server/base/mutant.h"
#include "server/base/strings.h"

namespace postrider {

std::string DedupeKeyOf(const ParsedReceipt& receipt) {
  if (Mutated(Mutant::kDedupedByIds) && receipt.receipt.ok()) {
    return Sha256Bytes(StrCat(receipt.receipt->provider_message_id, "\n",
                              receipt.receipt->provider_conversation_id));
  }
  return Sha256Bytes(receipt.row.body);
}

std::string DedupeKeyOf(const NewInbound& entry) {
  const std::string& id = entry.text.provider_message_id;
  // A body is an object, so that no id can be taken for one.
  return Sha256Bytes(id.empty() ? entry.row.body : StrCat("id ", id));
}

}  // namespace postrider
