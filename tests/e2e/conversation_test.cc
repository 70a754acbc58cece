// One contact, one conversation, and what was said in it: through the gateway and `postrider`.
#include <algorithm>
#include <latch>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/strings.h"
#include "server/json/json.h"
#include "tests/e2e/rig.h"
#include "tests/support/child_program.h"

namespace postrider {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

CommandResult Conversation(const Rig& rig, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {POSTRIDER, "conversation"});
  return RunCommand(std::move(arguments),
                    {"POSTRIDER_ADDRESS=" + rig.gateway.grpc_address(),
                     "POSTRIDER_TOKEN_FILE=" + rig.gateway.token_file(), "NO_COLOR=1"});
}

/// A text as Open Messaging tells of it.
std::string TextFrom(const std::string& recipient, const std::string& id, const std::string& text) {
  return StrCat(R"({"id":")", id, R"(","channel":{"id":"i-1","platform":"Open","type":"Private",)",
                R"("messageId":"c-1","to":{"id":")", kSender, R"("},"from":{"id":")", recipient,
                R"(","idType":"Phone"},"time":"2026-02-01T15:04:05Z"},"type":"Text","text":")",
                text, R"(","conversationId":"conv-in","direction":"Inbound"})");
}

v1::SendMessageRequest ToContact(const std::string& contact,
                                 const std::string& recipient = kRecipient) {
  v1::SendMessageRequest request = RequestTo(recipient);
  request.set_external_contact_id(contact);
  return request;
}

/// Sends it on a connection of its own; the conversation that it got.
std::string ConversationOf(const Client& client, const v1::SendMessageRequest& request) {
  const auto sent = client.Send(request);
  EXPECT_TRUE(sent.ok()) << sent.status();
  return sent.ok() ? sent->message().conversation_id() : "";
}

TEST(ConversationTest, AHundredCallersAtOnceForOneContactGetOneConversationForEver) {
  constexpr int kCallers = 100;
  Rig rig;
  for (const char* contact : {"", "mother"}) {
    SCOPED_TRACE(contact);
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < kCallers; ++i) clients.push_back(rig.NewClient());
    std::vector<std::string> got(kCallers);
    {
      std::latch all_are_there(kCallers);
      std::vector<std::jthread> callers;
      for (std::size_t i = 0; i < kCallers; ++i) {
        callers.emplace_back([&, i] {
          const v1::SendMessageRequest request = ToContact(contact);
          all_are_there.arrive_and_wait();
          got[i] = ConversationOf(*clients[i], request);
        });
      }
    }
    EXPECT_THAT(std::set<std::string>(got.begin(), got.end()), SizeIs(1));
    EXPECT_THAT(got[0], MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
                                     "[0-9a-f]{12}"))
        << "a UUID of version 4";
    EXPECT_EQ(rig.sql.Number(
                  StrCat("SELECT count(*) FROM message WHERE conversation_id = '", got[0], "'")),
              kCallers);
    rig.gateway.Kill();
    ASSERT_TRUE(rig.gateway.Start());
    EXPECT_EQ(ConversationOf(*rig.NewClient(), ToContact(contact)), got[0]);
  }
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM conversation"), 2);
}

TEST(ConversationTest, ManyThatNameOneConversationAtOnceShareItOrAreToldWhatIsStored) {
  constexpr int kCallers = 20;
  Rig rig;
  std::vector<absl::Status> ends(kCallers);
  std::vector<std::string> named(kCallers);
  {
    std::latch all_are_there(kCallers);
    std::vector<std::jthread> callers;
    for (std::size_t i = 0; i < kCallers; ++i) {
      named[i] = StrCat("00000000-0000-4000-8000-0000000000", 10 + i);
      callers.emplace_back([&, i] {
        v1::SendMessageRequest request = ToContact("mother");
        request.set_conversation_id(named[i]);
        all_are_there.arrive_and_wait();
        ends[i] = rig.client().Send(request).status();
      });
    }
  }
  EXPECT_EQ(std::count_if(ends.begin(), ends.end(), [](const auto& end) { return end.ok(); }), 1);
  const std::string stored = rig.sql.Text("SELECT conversation_id FROM conversation");
  EXPECT_THAT(named, ::testing::Contains(stored));
  for (const absl::Status& end : ends) {
    if (end.ok()) continue;
    const client::Error error = client::DecodeError(end);
    EXPECT_EQ(error.reason, "CONVERSATION_MISMATCH");
    EXPECT_EQ(error.metadata.at("conversation_id"), stored);
  }
}

TEST(ConversationTest, AMismatchSaysWhatIsStoredAndAStrictTenantMustNameOne) {
  Rig rig;
  const std::string mother = ConversationOf(rig.client(), ToContact("mother"));
  const auto refusal_of = [&](v1::SendMessageRequest request, const std::string& conversation) {
    request.set_conversation_id(conversation);
    const absl::Status status = rig.client().Send(request).status();
    EXPECT_FALSE(status.ok());
    return client::DecodeError(status);
  };
  const client::Error contact = refusal_of(ToContact("daughter"), mother);
  EXPECT_EQ(contact.reason, "CONTACT_MISMATCH");
  EXPECT_EQ(contact.metadata.at("stored_external_contact_id"), "mother");
  EXPECT_EQ(contact.metadata.at("stored_sender"), kSender);
  EXPECT_FALSE(contact.metadata.contains("conversation_id")) << "daughter has none";
  const client::Error number = refusal_of(ToContact("mother", "+15557654321"), mother);
  EXPECT_EQ(number.reason, "CONVERSATION_MISMATCH");
  EXPECT_EQ(number.metadata.at("conversation_id"), mother);
  EXPECT_THAT(number.metadata.at("stored_recipient"), Not(HasSubstr("5551234567")));

  rig.sql.Ask("UPDATE tenant SET strict = true");
  absl::Status strict;
  EXPECT_TRUE(Await([&] {
    strict = rig.client().Send(ToContact("mother")).status();
    return !strict.ok();
  })) << "it becomes known within seconds";
  EXPECT_EQ(client::DecodeError(strict).reason, "CONVERSATION_REQUIRED");
  v1::SendMessageRequest named = ToContact("mother");
  named.set_conversation_id(mother);
  EXPECT_EQ(ConversationOf(rig.client(), named), mother);
}

TEST(ConversationTest, WhatIsSentAndWhatComesInIsOneTimeline) {
  Rig rig({.flags = {"--genesys-profile", "platform"}});
  const auto sent = rig.client().Send(ToContact("mother"));
  ASSERT_TRUE(sent.ok()) << sent.status();
  const std::string id = sent->message().conversation_id();
  rig.AwaitState(sent->message().message_id(), v1::MESSAGE_STATE_SUBMITTED);
  EXPECT_EQ(HttpPost(rig.gateway.webhook_url(), TextFrom(kRecipient, "in-1", "Thank you")), 200);
  ASSERT_TRUE(Await([&] { return rig.sql.Number("SELECT count(*) FROM inbound_message") == 1; }));
  const std::string reply = rig.Send(ToContact("mother"));
  rig.AwaitState(reply, v1::MESSAGE_STATE_SUBMITTED);
  EXPECT_TRUE(Await([&] {
    return rig.sql.Number("SELECT count(*) FROM message WHERE provider_conversation_id <> ''") == 2;
  })) << "Genesys tells them with its answer or soon after";

  const CommandResult table = Conversation(rig, {"show", "--from", kSender, "--contact", "mother"});
  ASSERT_EQ(table.exit.status, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr(id));
  const std::size_t received = table.out.find("received");
  EXPECT_LT(table.out.find(reply), received) << table.out;
  EXPECT_LT(received, table.out.find("Thank you")) << table.out;
  EXPECT_LT(received, table.out.find(sent->message().message_id())) << table.out;

  const CommandResult json = Conversation(rig, {"show", id, "-o", "json"});
  ASSERT_EQ(json.exit.status, 0) << json.err;
  const auto parsed = ParseJson(json.out);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto entries = parsed->GetArray("entries");
  ASSERT_TRUE(entries.has_value());
  ASSERT_THAT(*entries, SizeIs(3));
  const auto of = [&](std::size_t i, const char* way, const char* field) {
    const auto entry = (*entries)[i].GetObject(way);
    return entry ? entry->GetString(field).value_or("") : "";
  };
  EXPECT_EQ(of(0, "sent", "message_id"), reply);
  EXPECT_EQ(of(1, "received", "text"), "Thank you");
  EXPECT_EQ(of(1, "received", "provider_conversation_id"), "conv-in");
  EXPECT_EQ(of(2, "sent", "message_id"), sent->message().message_id());
  EXPECT_TRUE(of(2, "sent", "provider_conversation_id").starts_with("conv-")) << json.out;

  const CommandResult older =
      Conversation(rig, {"show", "--from", kSender, "--contact", "mother", "--limit", "1"});
  EXPECT_THAT(older.out, HasSubstr("older"));
  EXPECT_THAT(older.out, Not(HasSubstr("Thank you")));
  const CommandResult list = Conversation(rig, {"list", "--to", kRecipient});
  EXPECT_EQ(list.exit.status, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr(id));
  EXPECT_THAT(Conversation(rig, {"list", "--to", "+15550000009"}).out,
              HasSubstr("no conversations"));
  const CommandResult none = Conversation(rig, {"show", "--from", kSender, "--to", "+15550000009"});
  EXPECT_EQ(none.exit.status, 4);
  EXPECT_THAT(none.err, HasSubstr("CONVERSATION_NOT_FOUND"));
}

}  // namespace
}  // namespace postrider
