#include "server/model/events.h"

#include <algorithm>

namespace postrider {

namespace {

template <typename T>
bool Allows(const std::vector<T>& wanted, const T& value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

}  // namespace

bool Matches(const EventFilter& filter, const StatusEvent& event) {
  return filter.tenant_id == event.tenant_id && Allows(filter.message_ids, event.message_id) &&
         Allows(filter.conversation_ids, event.conversation_id) &&
         Allows(filter.external_contact_ids, event.external_contact_id) &&
         (filter.campaign_id.empty() || filter.campaign_id == event.campaign_id) &&
         Allows(filter.states, event.status.state);
}

}  // namespace postrider
