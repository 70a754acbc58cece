#include "server/provider/api_client.h"

#include <gtest/gtest.h>

#include "server/base/strings.h"

namespace postrider {
namespace {

TEST(ReadAcceptanceTest, Table) {
  const std::string in_message = R"({"message":{"id":"msg-1","conversationId":"conv-1"}})";
  const struct {
    const char* name;
    std::string body;
    const char* id;
    const char* conversation;
    bool ours = true;
  } cases[] = {
      {"at the top", R"({"id":"msg-1","conversationId":"conv-1"})", "msg-1", "conv-1"},
      {"within message", in_message, "msg-1", "conv-1"},
      {"both", R"({"id":"msg-1","message":{"id":"msg-2","conversationId":"conv-2"}})", "msg-1",
       "conv-2"},
      {"no ids", "{}", "", ""},
      {"an id that is a number", R"({"id":7})", "", ""},
      {"an id without end", StrCat(R"({"id":")", std::string(257, 'x'), "\"}"), "", ""},
      {"the same recipient", R"({"id":"msg-1","toAddress":"+15551234567"})", "msg-1", ""},
      {"written another way", R"({"id":"msg-1","toAddress":"tel:+15551234567"})", "msg-1", ""},
      {"without the country", R"({"id":"msg-1","toAddress":"5551234567"})", "msg-1", ""},
      {"another recipient", R"({"id":"msg-1","toAddress":"+15551234568"})", "", "", false},
      {"no number at all", R"({"id":"msg-1","toAddress":"somebody"})", "", "", false},
  };
  SendRequest request;
  request.recipient = "+15551234567";
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Outcome outcome;
    EXPECT_EQ(ReadAcceptance(ParseJson(c.body).value(), request, outcome), c.ours);
    EXPECT_EQ(outcome.provider_message_id, c.id);
    EXPECT_EQ(outcome.provider_conversation_id, c.conversation);
  }
}

}  // namespace
}  // namespace postrider
