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
  const struct {
    const char* name;
    std::vector<std::string> contacts;  // In turn.
    const char* recipient;
  } cases[] = {{"a number", {""}, "+15557650001"},
               {"a contact", {"mother"}, "+15557650002"},
               {"a number that becomes known", {"", "father", "father"}, "+15557650003"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < kCallers; ++i) clients.push_back(rig.NewClient());
    std::vector<std::string> got(kCallers);
    {
      std::latch all_are_there(kCallers);
      std::vector<std::jthread> callers;
      for (std::size_t i = 0; i < kCallers; ++i) {
        callers.emplace_back([&, i] {
          const auto request = ToContact(c.contacts[i % c.contacts.size()], c.recipient);
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
    EXPECT_EQ(ConversationOf(*rig.NewClient(), ToContact(c.contacts.back(), c.recipient)), got[0]);
    EXPECT_EQ(ConversationOf(*rig.NewClient(), ToContact("", c.recipient)), got[0]);
  }
  EXPECT_EQ(rig.sql.Number("SELECT count(*) FROM conversation"), 3);
}

TEST(ConversationTest, ContactsThatAnOperatorMergesAreOne) {
  Rig rig;
  const std::string home = ConversationOf(rig.client(), ToContact("home", "+15557650001"));
  const std::string work = ConversationOf(rig.client(), ToContact("work", "+15557650002"));
  ASSERT_NE(home, work);
  const auto merge = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {POSTRIDER, "conversation", "merge"});
    arguments.insert(arguments.end(), {"--address", rig.gateway.admin_address(), "--token-file",
                                       rig.gateway.operator_token_file()});
    return RunCommand(std::move(arguments), {"NO_COLOR=1"});
  };
  const std::vector<std::string> one = {"--contact", "work",     "--into",
                                        "home",      "--reason", "the same person"};
  const CommandResult merged = merge(one);
  ASSERT_EQ(merged.exit.status, 0) << merged.err;
  EXPECT_THAT(merged.out, ::testing::AllOf(HasSubstr("merged into home"), HasSubstr(kSender),
                                           HasSubstr(work), HasSubstr(home)));
  EXPECT_THAT(merge(one).out, HasSubstr("had been merged before into home"));
  const CommandResult back =
      merge({"--contact", "home", "--into", "work", "--reason", "the other way"});
  EXPECT_NE(back.exit.status, 0);
  EXPECT_THAT(back.err, HasSubstr("MERGE_CYCLE"));
  EXPECT_THAT(merge({"--to", "+15550000009", "--into", "home", "--reason", "x"}).err,
              HasSubstr("CONTACT_NOT_FOUND"));
  EXPECT_THAT(merge({"--into", "home", "--reason", "x"}).err, HasSubstr("--contact or --to"));

  EXPECT_EQ(ConversationOf(rig.client(), ToContact("work", "+15557650002")), home);
  v1::SendMessageRequest named = ToContact("work", "+15557650002");
  named.set_conversation_id(work);
  EXPECT_EQ(ConversationOf(rig.client(), named), home);
  EXPECT_EQ(HttpPost(rig.gateway.webhook_url(), TextFrom("+15557650002", "in-1", "From work")),
            200);
  ASSERT_TRUE(Await([&] { return rig.sql.Number("SELECT count(*) FROM inbound_message") == 1; }));
  const CommandResult shown = Conversation(rig, {"show", work});
  ASSERT_EQ(shown.exit.status, 0) << shown.err;
  EXPECT_THAT(shown.out, ::testing::AllOf(HasSubstr(home), HasSubstr("From work")));
  EXPECT_EQ(rig.sql.Text("SELECT concat_ws('|', target, reason, actor, "
                         "after ->> 'survivor', before IS NOT NULL) FROM operator_action "
                         "WHERE action = 'MERGE_CONTACTS'"),
            "contact work into contact home|the same person|operator token file|contact home|t");
  EXPECT_EQ(rig.sql.Text(StrCat("SELECT merged_into FROM conversation WHERE conversation_id = '",
                                work, "'")),
            home);
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
  EXPECT_THAT(number.violations.at(0).description, HasSubstr("leave it out"));
  EXPECT_EQ(ConversationOf(rig.client(), ToContact("mother", "+15557654321")), mother);
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
