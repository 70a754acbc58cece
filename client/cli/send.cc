#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/fields.h"
#include "client/cli/output.h"
#include "server/base/status_macros.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

struct SendFlags {
  std::vector<std::pair<std::string, std::string>> fields;  ///< Field name and text.
  std::vector<std::string> metadata;
  std::vector<std::string> values;
  bool validate_only = false;
  bool watch = false;
  SendFileJob file;
};

/// Of a flag that may be given several times, each KEY=VALUE.
absl::Status SetPairs(v1::SendMessageRequest& request, const std::string& name,
                      const std::vector<std::string>& pairs) {
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(StrCat("--", name, " ", pair, " is not KEY=VALUE"));
    }
    PR_RETURN_IF_ERROR(
        SetField(request, StrCat(name, ".", pair.substr(0, equals)), pair.substr(equals + 1)));
  }
  return absl::OkStatus();
}

/// The request that the flags describe; INVALID_ARGUMENT, for people.
absl::StatusOr<v1::SendMessageRequest> MessageOf(const SendFlags& flags, const Context& context) {
  v1::SendMessageRequest request;
  PR_RETURN_IF_ERROR(SetField(request, "sender", context.env("POSTRIDER_SENDER")));
  for (const auto& [name, text] : flags.fields) {
    if (!flags.file.path.empty() &&
        (name == "recipient" || name == "text" || name == "request_id")) {
      return absl::InvalidArgumentError(
          StrCat("with --file, ", name, " comes from the file: give a column"));
    }
    PR_RETURN_IF_ERROR(SetField(request, name, text));
  }
  PR_RETURN_IF_ERROR(SetPairs(request, "metadata", flags.metadata));
  PR_RETURN_IF_ERROR(SetPairs(request, "value", flags.values));
  request.set_validate_only(flags.validate_only);
  if (!flags.file.path.empty()) return request;
  if (request.recipient().empty()) return absl::InvalidArgumentError("--to is missing");
  if (request.content_case() == v1::SendMessageRequest::CONTENT_NOT_SET) {
    return absl::InvalidArgumentError("--text is missing, or --template");
  }
  if (request.sender().empty()) {
    return absl::InvalidArgumentError("--from is missing; or set POSTRIDER_SENDER");
  }
  return request;
}

void PrintAccepted(const Context& context, const v1::SendMessageResponse& response) {
  PrintMessage(context, response.message());
  if (response.message().message_id().empty()) {
    context.out << "valid; nothing was sent\n";
  } else if (response.deduplicated()) {
    context.out << "accepted before: this is the first message\n";
  }
  context.out << "segments: " << response.segment_count() << "\n";
  for (const std::string& warning : response.warnings()) {
    context.out << "warning: " << client::Printable(warning) << "\n";
  }
  context.out << std::flush;
}

/// Prints what becomes of the message until it is final.
int Follow(const Settings& settings, const Context& context, const client::Client& client,
           const std::string& message_id) {
  v1::StreamStatusRequest request;
  request.add_message_ids(message_id);
  request.set_until_final(true);
  request.set_include_snapshot(true);
  ElementPrinter printer(context, settings.output);
  v1::StatusChange last;
  const client::WatchEnd end = client.Watch(
      request,
      [&](const v1::StreamStatusResponse& element) {
        printer.Print(element);
        if (element.has_change()) last = element.change();
        if (element.has_snapshot()) last = element.snapshot().status();
      },
      context.stop);
  if (!end.status.ok()) return Fail(settings, context, end.status);
  return last.state() == v1::MESSAGE_STATE_DELIVERED ? kExitOk : kExitSomeFailed;
}

/// Whether nobody can say that it was not accepted. What the gateway refuses for any other reason
/// is not kept; had an earlier try been accepted, the last one would have been told so, but for
/// QUEUE_FULL in a flood of refused calls.
bool IsInDoubt(const client::Error& error) {
  return error.reason.empty() || error.reason == "STORE_UNAVAILABLE" ||
         error.reason == "SERVER_DRAINING" || error.reason == "QUEUE_FULL";
}

int SendOne(const Settings& settings, const Context& context, v1::SendMessageRequest request,
            bool watch) {
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  if (request.request_id().empty()) {
    request.set_request_id(client::NewRequestId(context.seams.random));
  }
  const auto response = (*client)->Send(request, context.stop);
  if (!response.ok()) {
    const int code = Fail(settings, context, response.status());
    if (code == kExitUnavailable && IsInDoubt(client::DecodeError(response.status()))) {
      context.err << "postrider: it may have been accepted; to repeat it without a second text, "
                     "add --request-id "
                  << request.request_id() << "\n";
    }
    return code;
  }
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*response, settings.output) << std::flush;
  } else {
    PrintAccepted(context, *response);
  }
  if (!watch || request.validate_only()) return kExitOk;
  if (settings.output == Output::kTable) context.out << "\n";
  return Follow(settings, context, **client, response->message().message_id());
}

int Send(const Settings& settings, const Context& context, SendFlags flags) {
  auto request = MessageOf(flags, context);
  if (!request.ok()) {
    return FailUsage(context, StrCat("send: ", ToStd(request.status().message()),
                                     " - see `postrider send --help`"));
  }
  if (flags.file.path.empty()) {
    return SendOne(settings, context, *std::move(request), flags.watch);
  }
  flags.file.watch = flags.watch;
  flags.file.defaults = *std::move(request);
  return SendFile(settings, context, flags.file);
}

constexpr char kFooter[] =
    "A CSV file has a header row that names its columns: recipient, sender, text, request_id,\n"
    "conversation_id, external_contact_id, campaign_id, priority, not_before, expire_at,\n"
    "time_zone, duplicate_policy, metadata.KEY, template, value.PLACE (quoting by RFC 4180).\n"
    "A JSONL file has one request a line, as SendMessageRequest in JSON. Flags such as --from\n"
    "are for lines that do not say. A line that is wrong is reported with its number, the others "
    "go out.\n"
    "Lines without request_id get one made from their content, so the same file sent twice\n"
    "sends nothing twice; lines that are equal within a file are sent each. To send a file again\n"
    "on purpose, give another --run.\n";

}  // namespace

void AddSend(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* command = app.add_subcommand("send", "Sends one text, or a file of texts, once each");
  command->footer(kFooter);
  auto flags = std::make_shared<SendFlags>();
  const auto field = [&](const char* flag, const char* name, const char* help) {
    command->add_option_function<std::string>(
        flag, [flags, name](const std::string& text) { flags->fields.emplace_back(name, text); },
        help);
  };
  field("--to", "recipient", "The recipient's number, such as +15551234567");
  field("--from", "sender", "The sender's number or name, as registered");
  field("--text", "text", "What to send");
  field("--template", "template", "One of the tenant's templates, instead of a text");
  command->add_option("--value", flags->values, "PLACE=VALUE of the template (repeatable)")
      ->allow_extra_args(false);
  field("--request-id", "request_id", "Your key: repeated with it, nothing is sent twice");
  field("--conversation", "conversation_id", "The conversation's UUID");
  field("--contact", "external_contact_id", "The contact in your own system");
  field("--campaign", "campaign_id", "The campaign it belongs to");
  field("--priority", "priority", "urgent, normal or bulk");
  field("--not-before", "not_before", "Hold it until this time, such as 2026-03-01T09:00:00Z");
  field("--expire-at", "expire_at", "Do not send it after this time");
  field("--time-zone", "time_zone", "The recipient's zone, such as America/New_York");
  field("--policy", "duplicate_policy",
        "at_most_once or at_least_once: what to do when nobody knows whether it was sent");
  command->add_option("--metadata", flags->metadata, "KEY=VALUE, passed through (repeatable)")
      ->allow_extra_args(false);
  command->add_flag("--validate-only", flags->validate_only, "Check, but send nothing");
  command->add_flag("--watch", flags->watch, "Follow it until it is final");
  command->add_option("--file", flags->file.path, "A CSV or JSONL file; - is stdin");
  command->add_option("--format", flags->file.format, "csv or jsonl, when the name does not say")
      ->check(CLI::IsMember({"csv", "jsonl"}));
  command->add_option("--run", flags->file.run, "Part of the request_ids made for a file");
  command->add_option("--window", flags->file.window, "Lines under way at a time (256)")
      ->check(CLI::Range(1, 4096));
  command->callback([&invocation, &context, flags] {
    invocation.run = [&invocation, &context, flags] {
      return Send(invocation.settings, context, *flags);
    };
  });
}

}  // namespace postrider::cli
