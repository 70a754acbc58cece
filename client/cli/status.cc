#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

struct StatusFlags {
  std::string message_id;
  std::string request_id;
};

void PrintHistory(const Context& context, const v1::GetStatusResponse& response) {
  Table changes({"TIME", "REV", "STATE", "CAUSE", "ATTEMPT", "DETAIL"});
  for (const v1::StatusChange& change : response.history()) {
    changes.Add({TimeText(change.changed_at()), StrCat(change.revision()),
                 StateName(change.state()), CauseName(change.cause()), StrCat(change.attempt()),
                 DetailOf(change)});
  }
  if (!changes.empty()) {
    context.out << "\n";
    changes.Print(context.out, UseColour(context));
  }
  Table attempts({"ATTEMPT", "INTENDED", "ENDED", "OUTCOME", "HTTP", "DETAIL"});
  for (const v1::Attempt& attempt : response.attempts()) {
    std::string detail = attempt.detail();
    for (const std::string& more : {attempt.provider_code(), attempt.correlation_id()}) {
      if (!more.empty()) StrAppend(detail, detail.empty() ? "" : ", ", more);
    }
    attempts.Add({StrCat(attempt.attempt()), TimeText(attempt.intended_at()),
                  TimeText(attempt.outcome_at()), OutcomeName(attempt.outcome()),
                  attempt.http_status() == 0 ? "" : StrCat(attempt.http_status()), detail});
  }
  if (!attempts.empty()) {
    context.out << "\n";
    attempts.Print(context.out, UseColour(context));
  }
}

int ShowStatus(const Settings& settings, const Context& context, const StatusFlags& flags) {
  if (flags.message_id.empty() == flags.request_id.empty()) {
    return FailUsage(context, "status: give a message's ID or --request-id, one of them");
  }
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  const auto response = flags.request_id.empty()
                            ? (*client)->GetStatus(flags.message_id)
                            : (*client)->GetStatusByRequestId(flags.request_id);
  if (!response.ok()) return Fail(settings, context, response.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*response, settings.output);
  } else {
    PrintMessage(context, response->message());
    PrintHistory(context, *response);
  }
  return kExitOk;
}

}  // namespace

void AddStatus(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* command =
      app.add_subcommand("status", "Shows one message with its history and attempts");
  auto flags = std::make_shared<StatusFlags>();
  command->add_option("ID", flags->message_id, "The message's id, from send");
  command->add_option("--request-id", flags->request_id, "Or the request_id it was sent with");
  command->callback([&invocation, &context, flags] {
    invocation.run = [&invocation, &context, flags] {
      return ShowStatus(invocation.settings, context, *flags);
    };
  });
}

}  // namespace postrider::cli
