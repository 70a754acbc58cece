#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/context.h"
#include "client/cli/exit_code.h"
#include "server/base/strings.h"

namespace postrider::cli {
namespace {

constexpr char kFooter[] =
    "Environment:\n"
    "  POSTRIDER_ADDRESS     the gateway, when --address is not given\n"
    "  POSTRIDER_TOKEN       the API token\n"
    "  POSTRIDER_TOKEN_FILE  the file that holds it\n"
    "  POSTRIDER_STATE_DIR   where the gateway on this machine keeps default.token, which is used\n"
    "                        when no token is given; else $XDG_STATE_HOME/postrider or\n"
    "                        ~/.local/state/postrider, and /var/lib/postrider for root\n"
    "  POSTRIDER_ADMIN_ADDRESS, POSTRIDER_OPERATOR_TOKEN, POSTRIDER_OPERATOR_TOKEN_FILE\n"
    "                        the same for operators' commands (admin, apply, consent,\n"
    "                        conversation merge, dlq, top): 127.0.0.1:7074, operator.token\n"
    "  POSTRIDER_SENDER      the sender, when --from is not given\n"
    "  NO_COLOR              no colours\n"
    "\n";

void AddSettings(CLI::App& app, Settings& settings) {
  app.add_option("--address", settings.address, "The gateway's HOST:PORT (127.0.0.1:7070)");
  app.add_option("--token-file", settings.token_file, "File that holds the API token");
  app.add_option("--ca", settings.ca_file, "Use TLS and trust the authorities in this PEM file");
  app.add_flag("--tls", settings.tls, "Use TLS and trust the system's authorities");
  app.add_option("--timeout", settings.timeout_s, "Seconds for each try of a call (10)")
      ->check(CLI::Range(0.001, 86400.0));
  app.add_option("--retry-for", settings.retry_for_s,
                 "Seconds for a call with all its tries while the gateway is away (30)")
      ->check(CLI::Range(0.0, 86400.0));
  app.add_option_function<std::string>(
         "-o,--output",
         [&settings](const std::string& name) {
           settings.output = name == "json"    ? Output::kJson
                             : name == "jsonl" ? Output::kJsonl
                                               : Output::kTable;
         },
         "table, json, or jsonl (one JSON object a line)")
      ->check(CLI::IsMember({"table", "json", "jsonl"}));
}

}  // namespace

int RunCli(const Context& context, std::vector<std::string> args) {
  CLI::App app("Sends texts through a Postrider gateway and follows them.", "postrider");
  Invocation invocation;
  app.set_version_flag("--version", "postrider " POSTRIDER_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(StrCat(kFooter, kExitCodeHelp));
  AddSettings(app, invocation.settings);
  AddSend(app, invocation, context);
  AddStatus(app, invocation, context);
  AddExplain(app, invocation, context);
  AddConversation(app, invocation, context);
  AddWatch(app, invocation, context);
  AddCancel(app, invocation, context);
  AddAdmin(app, invocation, context);
  AddDlq(app, invocation, context);
  AddConsent(app, invocation, context);
  AddApply(app, invocation, context);
  AddTop(app, invocation, context);
  std::reverse(args.begin(), args.end());  // As CLI11 wants a vector.
  try {
    app.parse(args);
  } catch (const CLI::Success& help) {
    return app.exit(help, context.out, context.err);
  } catch (const CLI::ParseError& error) {
    std::string name = "postrider";
    for (const CLI::App* command : app.get_subcommands()) StrAppend(name, " ", command->get_name());
    return FailUsage(context, StrCat(error.what(), " - see `", name, " --help`"));
  }
  return invocation.run();
}

}  // namespace postrider::cli
