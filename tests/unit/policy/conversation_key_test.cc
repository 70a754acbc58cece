#include "server/policy/conversation_key.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(ConversationKeyTest, AnExternalIdIsTheContactElseTheNumber) {
  struct Case {
    const char* external_contact_id;
    const char* recipient;
    const char* wants;
  };
  const Case cases[] = {
      {"", "+15550000001", "n:+15550000001"},
      {"crm-1", "+15550000001", "x:crm-1"},
      {"crm-1", "+15550000002", "x:crm-1"},
      // An external id that looks like another contact's key is still its own.
      {"n:+15550000001", "+15550000002", "x:n:+15550000001"},
      {"+15550000001", "+15550000001", "x:+15550000001"},
  };
  for (const Case& c : cases) {
    MessageRequest request;
    request.external_contact_id = c.external_contact_id;
    request.recipient = c.recipient;
    EXPECT_EQ(ContactKeyOf(request), c.wants);
    EXPECT_EQ(RecipientKeyOf(request), c.recipient) << "whoever the contact is";
  }
}

}  // namespace
}  // namespace postrider
