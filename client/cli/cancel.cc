#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"

namespace postrider::cli {
namespace {

int CancelMessage(const Settings& settings, const Context& context, const std::string& id) {
  const auto client = OpenClient(settings, context);
  if (!client.ok()) return Fail(settings, context, client.status());
  const auto response = (*client)->Cancel(id);
  if (!response.ok()) return Fail(settings, context, response.status());
  if (settings.output != Output::kTable) {
    context.out << JsonOf(*response, settings.output);
  } else {
    PrintMessage(context, response->message());
  }
  return kExitOk;
}

}  // namespace

void AddCancel(CLI::App& app, Invocation& invocation, const Context& context) {
  CLI::App* command = app.add_subcommand("cancel", "Stops a message that has not left yet");
  auto id = std::make_shared<std::string>();
  command->add_option("ID", *id, "The message's id, from send")->required();
  command->callback([&invocation, &context, id] {
    invocation.run = [&invocation, &context, id] {
      return CancelMessage(invocation.settings, context, *id);
    };
  });
}

}  // namespace postrider::cli
