#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

struct WatchFlags {
  std::vector<std::string> messages;
  std::vector<std::string> conversations;
  std::vector<std::string> contacts;
  std::string campaign;
  std::vector<std::string> states;
  std::string resume;
  bool snapshot = false;
  bool until_final = false;
  int checkpoint_s = 0;
};

/// The request by the flags; empty, after a message, when they make none.
absl::StatusOr<v1::StreamStatusRequest> StreamOf(const WatchFlags& flags) {
  v1::StreamStatusRequest request;
  request.mutable_message_ids()->Assign(flags.messages.begin(), flags.messages.end());
  request.mutable_conversation_ids()->Assign(flags.conversations.begin(),
                                             flags.conversations.end());
  request.mutable_external_contact_ids()->Assign(flags.contacts.begin(), flags.contacts.end());
  request.set_campaign_id(flags.campaign);
  for (std::string name : flags.states) {
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (!name.starts_with("MESSAGE_STATE_")) name = "MESSAGE_STATE_" + name;
    v1::MessageState state = v1::MESSAGE_STATE_UNSPECIFIED;
    if (!v1::MessageState_Parse(name, &state)) {
      return absl::InvalidArgumentError(
          StrCat("watch: --state ", name.substr(14), " is not a state such as delivered"));
    }
    request.add_states(state);
  }
  request.set_resume_token(flags.resume);
  request.set_include_snapshot(flags.snapshot);
  request.set_until_final(flags.until_final);
  if (flags.checkpoint_s > 0) {
    request.mutable_checkpoint_interval()->set_seconds(flags.checkpoint_s);
  }
  if (flags.snapshot && !flags.resume.empty()) {
    return absl::InvalidArgumentError("watch: --snapshot and --resume exclude each other");
  }
  if (flags.until_final && flags.messages.empty()) {
    return absl::InvalidArgumentError("watch: --until-final needs --message");
  }
  return request;
}

int Watch(const Settings& settings, const Context& context, const WatchFlags& flags) {
  const auto request = StreamOf(flags);
  if (!request.ok()) return FailUsage(context, std::string(request.status().message()));
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  std::stop_source done;
  const std::stop_callback on_signal(context.stop, [&done] { done.request_stop(); });
  ElementPrinter printer(context, settings.output);
  const client::WatchEnd end = (*client)->Watch(
      *request,
      [&](const v1::StreamStatusResponse& element) {
        printer.Print(element);
        if (!context.out) done.request_stop();  // Whoever read us has gone.
      },
      done.get_token());
  if (!end.resume_token.empty() && !flags.until_final) {
    context.err << "postrider: to go on from here: postrider watch --resume " << end.resume_token
                << "\n";
  }
  return end.status.ok() ? kExitOk : Fail(settings, context, end.status);
}

}  // namespace

void AddWatch(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* command = app.add_subcommand(
      "watch",
      "Prints every change of status as it happens, until Ctrl-C. Goes on by itself after the\n"
      "connection was lost. All filters that are given must hold; without any, every message.");
  auto flags = std::make_shared<WatchFlags>();
  command->add_option("--message", flags->messages, "Of this message (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--conversation", flags->conversations, "Of this conversation (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--contact", flags->contacts, "Of this external contact (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--campaign", flags->campaign, "Of this campaign");
  command->add_option("--state", flags->states, "Changes into this state only (repeatable)")
      ->allow_extra_args(false);
  command->add_option("--resume", flags->resume, "Go on after this resume token");
  command->add_flag("--snapshot", flags->snapshot, "First the current state of what matches");
  command->add_flag("--until-final", flags->until_final, "End when every --message is final");
  command
      ->add_option("--checkpoint", flags->checkpoint_s,
                   "Seconds between the gateway's signs of life (15)")
      ->check(CLI::Range(5, 60));
  command->callback([&invocation, &context, flags] {
    invocation.run = [&invocation, &context, flags] {
      return Watch(invocation.settings, context, *flags);
    };
  });
}

}  // namespace postrider::cli
