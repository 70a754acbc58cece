#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <ostream>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

struct MergeFlags {
  std::string tenant = "default";
  std::string contact;
  std::string number;
  std::string into;
  std::string reason;
};

struct ConversationFlags {
  std::string conversation_id;
  std::string sender;
  std::string recipient;
  std::string contact;
  int limit = 50;
};

constexpr int kMostEntries = 10'000;  ///< All are held until they are printed.

std::string KeywordName(v1::Keyword keyword) {
  if (keyword == v1::KEYWORD_UNSPECIFIED) return "";
  const std::string name = v1::Keyword_Name(keyword);
  constexpr std::string_view kPrefix = "KEYWORD_";
  if (name.empty()) return StrCat(static_cast<int>(keyword));
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

std::string ContactOf(const v1::Conversation& conversation) {
  return conversation.external_contact_id().empty() ? "(the number)"
                                                    : conversation.external_contact_id();
}

void PrintTimeline(const Context& context, const v1::GetConversationResponse& all) {
  const v1::Conversation& conversation = all.conversation();
  Table facts({"conversation", conversation.conversation_id()});
  facts.Add({"contact", ContactOf(conversation)});
  facts.Add({"recipient", conversation.recipient()});
  facts.Add({"sender", conversation.sender()});
  facts.Add({"created", TimeText(conversation.created_at())});
  facts.Print(context.out, false);
  Table timeline({"TIME", "WAY", "STATE", "ID", "GENESYS' CONVERSATION", "TEXT"});
  for (const v1::TimelineEntry& entry : all.entries()) {
    if (entry.has_sent()) {
      const v1::Message& sent = entry.sent();
      timeline.Add({TimeText(sent.accepted_at()), "sent", StateName(sent.status().state()),
                    sent.message_id(), sent.provider_conversation_id(),
                    sent.text_erased() ? "(erased)" : sent.text()});
    } else if (entry.has_received()) {
      const v1::InboundMessage& received = entry.received();
      timeline.Add({TimeText(received.received_at()), "received", KeywordName(received.keyword()),
                    received.inbound_id(), received.provider_conversation_id(),
                    received.text_erased() ? "(erased)" : received.text()});
    }
  }
  context.out << "\n";
  if (timeline.empty()) {
    context.out << "no texts that are kept\n";
  } else {
    timeline.Print(context.out, UseColour(context));
  }
  if (!all.next_page_token().empty()) context.out << "... and older ones: see --limit\n";
}

int ShowConversation(const Settings& settings, const Context& context,
                     const ConversationFlags& flags) {
  const int ways = (flags.conversation_id.empty() ? 0 : 1) + (flags.contact.empty() ? 0 : 1) +
                   (flags.recipient.empty() ? 0 : 1);
  if (ways != 1) {
    return FailUsage(
        context, "conversation show: give an ID, or --from with --contact or --to, one of them");
  }
  const std::string sender = flags.sender.empty() ? context.env("POSTRIDER_SENDER") : flags.sender;
  if (flags.conversation_id.empty() && sender.empty()) {
    return FailUsage(context, "conversation show: --from is missing; or set POSTRIDER_SENDER");
  }
  v1::GetConversationRequest request;
  if (!flags.conversation_id.empty()) {
    request.set_conversation_id(flags.conversation_id);
  } else {
    v1::ConversationContact& contact = *request.mutable_contact();
    contact.set_sender(sender);
    if (flags.contact.empty()) {
      contact.set_recipient(flags.recipient);
    } else {
      contact.set_external_contact_id(flags.contact);
    }
  }
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  v1::GetConversationResponse all;
  do {
    request.set_page_size(std::min(flags.limit - all.entries_size(), 200));
    auto page = (*client)->GetConversation(request);
    if (!page.ok()) return Fail(settings, context, page.status());
    request.set_page_token(page->next_page_token());
    *all.mutable_conversation() = page->conversation();
    all.set_next_page_token(page->next_page_token());
    for (v1::TimelineEntry& entry : *page->mutable_entries()) *all.add_entries() = std::move(entry);
  } while (!all.next_page_token().empty() && all.entries_size() < flags.limit);
  if (settings.output != Output::kTable) {
    context.out << JsonOf(all, settings.output);
  } else {
    PrintTimeline(context, all);
  }
  return kExitOk;
}

int ListConversations(const Settings& settings, const Context& context,
                      const ConversationFlags& flags) {
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  v1::ListConversationsRequest request;
  request.set_sender(flags.sender);
  request.set_recipient(flags.recipient);
  request.set_external_contact_id(flags.contact);
  Table table({"CONVERSATION", "CREATED", "SENDER", "RECIPIENT", "CONTACT"});
  int left = flags.limit;
  do {
    request.set_page_size(std::min(left, 500));
    const auto page = (*client)->ListConversations(request);
    if (!page.ok()) return Fail(settings, context, page.status());
    for (const v1::Conversation& conversation : page->conversations()) {
      if (settings.output != Output::kTable) {
        context.out << JsonOf(conversation, settings.output);
      } else {
        table.Add({conversation.conversation_id(), TimeText(conversation.created_at()),
                   conversation.sender(), conversation.recipient(), ContactOf(conversation)});
      }
    }
    left -= page->conversations_size();
    request.set_page_token(page->next_page_token());
  } while (left > 0 && !request.page_token().empty() && !context.stop.stop_requested());
  if (settings.output != Output::kTable) return kExitOk;
  if (table.empty()) {
    context.out << "no conversations\n";
  } else {
    table.Print(context.out, UseColour(context));
  }
  if (!request.page_token().empty()) context.out << "... and more: see --limit\n";
  return kExitOk;
}

int MergeContacts(const Settings& settings, const Context& context, const MergeFlags& flags) {
  if (flags.contact.empty() == flags.number.empty()) {
    return FailUsage(context, "conversation merge: give --contact or --to, one of them");
  }
  const auto admin = OpenAdmin(settings, context);
  if (!admin.ok()) return Fail(settings, context, admin.status());
  v1::MergeContactsRequest request;
  request.set_tenant(flags.tenant);
  if (flags.contact.empty()) {
    request.mutable_from()->set_recipient(flags.number);
  } else {
    request.mutable_from()->set_external_contact_id(flags.contact);
  }
  request.set_into_external_contact_id(flags.into);
  request.set_reason(flags.reason);
  const auto merged = (*admin)->MergeContacts(request);
  if (!merged.ok()) return Fail(settings, context, merged.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*merged, settings.output);
    return kExitOk;
  }
  context.out << (merged->merged_before() ? "had been merged before into " : "merged into ")
              << client::Printable(merged->external_contact_id()) << "\n";
  Table table({"SENDER", "CONVERSATION", "GOES ON IN"});
  for (const v1::MergedConversation& one : merged->conversations()) {
    table.Add({one.sender(), one.conversation_id(), one.into_conversation_id()});
  }
  if (!table.empty()) table.Print(context.out, UseColour(context));
  return kExitOk;
}

void AddContact(CLI::App& command, ConversationFlags& flags, const char* from_help,
                const char* to_help, const char* contact_help) {
  command.add_option("--from", flags.sender, from_help);
  command.add_option("--to", flags.recipient, to_help);
  command.add_option("--contact", flags.contact, contact_help);
}

}  // namespace

void AddConversation(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* conversation = app.add_subcommand(
      "conversation", "Shows what was sent to a contact and what came back; merges");
  conversation->require_subcommand(1);
  conversation->fallthrough();
  const auto run = [&invocation, &context](const auto& flags, auto what) {
    return [&invocation, &context, flags, what] {
      invocation.run = [&invocation, &context, flags, what] {
        return what(invocation.settings, context, *flags);
      };
    };
  };

  CLI::App* show = conversation->add_subcommand(
      "show", "One with its timeline, both directions, the newest first; by its id, or by contact");
  auto shown = std::make_shared<ConversationFlags>();
  show->add_option("ID", shown->conversation_id, "The conversation's UUID");
  AddContact(*show, *shown, "By contact: the sender's number or name, as registered",
             "With --from: the contact that is this number itself",
             "With --from: the contact in your own system");
  show->add_option("--limit", shown->limit, "How many texts at most")
      ->capture_default_str()
      ->check(CLI::Range(1, kMostEntries));
  show->callback(run(shown, ShowConversation));

  CLI::App* list = conversation->add_subcommand(
      "list", "Those that match all that is given, in an order that says nothing of time");
  auto listed = std::make_shared<ConversationFlags>();
  AddContact(*list, *listed, "Only this sender's; POSTRIDER_SENDER is not looked at",
             "Only those that began with this number", "Only this contact's in your own system");
  list->add_option("--limit", listed->limit, "How many at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  list->callback(run(listed, ListConversations));

  CLI::App* merge = conversation->add_subcommand(
      "merge",
      "For operators: two contacts are one. What is sent to either, and what comes back, goes on "
      "in\n"
      "one conversation a sender, which shows what was said before in both. For ever.");
  auto merged = std::make_shared<MergeFlags>();
  merge->add_option("--tenant", merged->tenant, "The tenant's name")->capture_default_str();
  merge->add_option("--contact", merged->contact,
                    "The contact that is no other: its id in the tenant's own system");
  merge->add_option("--to", merged->number,
                    "Or the number that is no other, written to without an id: E.164");
  merge->add_option("--into", merged->into, "The contact that goes on: its id")->required();
  merge->add_option("--reason", merged->reason, "Why; goes on record")->required();
  merge->callback(AsOperator(invocation, context, merged, MergeContacts));
}

}  // namespace postrider::cli
