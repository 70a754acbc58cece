#include "server/store/conversations.h"

namespace postrider {

Uuid LastUuid() {
  Uuid id;
  id.bytes.fill(0xff);
  return id;
}

Uuid PlaceOf(const TimelineEntry& entry) {
  if (const auto* sent = std::get_if<Message>(&entry)) return sent->message_id.uuid;
  return std::get<InboundMessage>(entry).inbound_id.uuid;
}

}  // namespace postrider
