#include "server/model/events.h"

#include <gtest/gtest.h>

#include "tests/support/event_log.h"

namespace postrider {
namespace {

TEST(EventFilterTest, MatchesTable) {
  StatusEvent event;
  event.tenant_id = {UuidOf(1)};
  event.message_id = {UuidOf(2)};
  event.conversation_id = {UuidOf(3)};
  event.external_contact_id = "contact";
  event.campaign_id = "campaign";
  event.status.state = MessageState::kSent;

  const auto filter = [](auto set) {
    EventFilter made;
    made.tenant_id = {UuidOf(1)};
    set(made);
    return made;
  };
  using Filter = EventFilter&;
  struct Case {
    const char* name;
    EventFilter filter;
    bool matches;
  };
  const Case cases[] = {
      {"all of the tenant", filter([](Filter) {}), true},
      {"another tenant", filter([](Filter f) { f.tenant_id = {UuidOf(9)}; }), false},
      {"no tenant", filter([](Filter f) { f.tenant_id = {}; }), false},
      {"the message", filter([](Filter f) { f.message_ids = {{UuidOf(2)}}; }), true},
      {"one of several", filter([](Filter f) { f.message_ids = {{UuidOf(8)}, {UuidOf(2)}}; }),
       true},
      {"another message", filter([](Filter f) { f.message_ids = {{UuidOf(8)}}; }), false},
      {"the conversation", filter([](Filter f) { f.conversation_ids = {{UuidOf(3)}}; }), true},
      {"another conversation", filter([](Filter f) { f.conversation_ids = {{UuidOf(8)}}; }), false},
      {"the contact", filter([](Filter f) { f.external_contact_ids = {"contact"}; }), true},
      {"another contact", filter([](Filter f) { f.external_contact_ids = {"Contact"}; }), false},
      {"the campaign", filter([](Filter f) { f.campaign_id = "campaign"; }), true},
      {"another campaign", filter([](Filter f) { f.campaign_id = "campaig"; }), false},
      {"the state", filter([](Filter f) { f.states = {MessageState::kSent}; }), true},
      {"another state", filter([](Filter f) { f.states = {MessageState::kFailed}; }), false},
      {"all must hold", filter([](Filter f) {
         f.message_ids = {{UuidOf(2)}};
         f.campaign_id = "other";
       }),
       false},
      {"and do", filter([](Filter f) {
         f.message_ids = {{UuidOf(2)}};
         f.campaign_id = "campaign";
         f.states = {MessageState::kFailed, MessageState::kSent};
       }),
       true},
  };
  for (const Case& c : cases) EXPECT_EQ(Matches(c.filter, event), c.matches) << c.name;
}

}  // namespace
}  // namespace postrider
